"""What Dagster sees, as a snapshot: a change to the graph is a change to this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from paiid_pipeline_tests.defs.world import defs

GRAPH = {
    "market_bars": ("ingestion", "date|segment", set()),
    "news_articles": ("ingestion", "date", set()),
    "article_sentiment": ("sentiment", "date", {"news_articles"}),
    "symbol_sentiment": ("sentiment", "date|segment", {"article_sentiment"}),
    "technical_indicators": ("technicals", "date|segment", {"market_bars"}),
    "trading_signals": ("signals", "date|segment", {"technical_indicators", "symbol_sentiment"}),
    "hot_results": (
        "serving",
        "date|segment",
        {"market_bars", "news_articles", "symbol_sentiment", "trading_signals"},
    ),
    "sentiment_dataset": ("models", "", set()),
    "custom_bert": ("models", "", {"sentiment_dataset"}),
    "sentiment_ensemble": ("models", "", {"custom_bert"}),
    "signal_dataset": ("models", "", {"technical_indicators", "symbol_sentiment", "market_bars"}),
    "signal_model": ("models", "", {"signal_dataset"}),
    "signal_drift": ("models", "", {"signal_model", "technical_indicators", "symbol_sentiment"}),
    "backtest": ("models", "", {"trading_signals", "market_bars"}),
    "retention": ("operations", "", set()),
    "months_ahead": ("operations", "", set()),
}
JOBS = {
    "market_refresh": {"market_bars", "hot_results"},
    "news_refresh": {"news_articles"},
    "article_scoring": {"article_sentiment"},
    "sentiment_refresh": {"symbol_sentiment", "hot_results"},
    "signals_refresh": {"symbol_sentiment", "technical_indicators", "trading_signals", "hot_results"},
    "all_news": {"news_articles", "article_sentiment"},
    "all_decisions": {"market_bars", "symbol_sentiment", "technical_indicators", "trading_signals", "hot_results"},
    "sentiment_training_job": {"sentiment_dataset", "custom_bert", "sentiment_ensemble"},
    "signal_training_job": {"signal_dataset", "signal_model"},
    "signal_drift_job": {"signal_drift"},
    "backtest_job": {"backtest"},
    "retention_job": {"retention", "months_ahead"},
}
DATA = GRAPH.keys() - {"retention", "months_ahead"}
BY_HAND = {"sentiment_dataset", "custom_bert", "sentiment_ensemble", "signal_dataset", "signal_model"}


def assets() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_graph_is_the_one_of_the_design() -> None:
    seen = {
        name: (spec.group_name, _dimensions(spec.partitions_def), {dep.asset_key.to_user_string() for dep in spec.deps})
        for name, spec in assets().items()
    }
    assert seen == GRAPH


def test_every_asset_says_what_it_is_and_who_owns_it() -> None:
    for name, spec in assets().items():
        assert spec.description, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.tags, name
        assert (spec.freshness_policy is not None) == (name in DATA - BY_HAND), name


def test_every_asset_of_data_has_one_blocking_check() -> None:
    checks = [spec for definition in defs.asset_checks or () for spec in definition.check_specs]  # type: ignore[union-attr]
    checks += [spec for assets in defs.assets or () for spec in getattr(assets, "check_specs", ())]
    assert sorted(spec.asset_key.to_user_string() for spec in checks) == sorted(DATA)
    assert all(spec.blocking for spec in checks)


def test_the_jobs_are_the_cadences_and_the_whole_pass() -> None:
    seen = {
        job.name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        for job in defs.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    assert seen == JOBS


def test_every_job_and_schedule_says_what_it_is_for() -> None:
    for job in defs.resolve_all_job_defs():
        assert job.description or job.name.startswith("__"), job.name
    for schedule in defs.schedules or ():
        assert schedule.description


def test_the_readme_calls_the_schedules_by_their_names() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    table = text[text.index("| schedule | cadence | makes |") :].split("\n\n")[0]
    named = {line.split("`")[1] for line in table.splitlines()[2:]}
    assert named == {schedule.name for schedule in defs.schedules or ()}


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "mlflow", "great_expectations", "xgboost", "sklearn", "matplotlib")
    code = f"import sys; import paiid_pipeline.definitions;print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def _dimensions(partitions: dg.PartitionsDefinition[str] | None) -> str:
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return "|".join(dimension.name for dimension in partitions.partitions_defs)
    return "date" if partitions else ""


@pytest.mark.parametrize("kinds", [["signal"], ["market", "Signals"], ["prices"], [""], "market"])
def test_hot_results_of_an_unknown_kind_are_refused_before_a_run_and_the_known_ones_named(kinds: object) -> None:
    job = defs.resolve_job_def("market_refresh")
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"market, signals, sentiment, news|list"):
        dg.validate_run_config(job, {"ops": {"hot_results": {"config": {"kinds": kinds}}}})
    assert dg.validate_run_config(job, {"ops": {"hot_results": {"config": {"kinds": ["market", "news"]}}}})
