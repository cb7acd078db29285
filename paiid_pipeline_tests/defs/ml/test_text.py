"""Our own model in the real graph: from labelled texts to articles that it scores, or a reason why not."""

from __future__ import annotations

from base64 import b64decode
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from paiid_pipeline_tests.defs.world import START, World, defs, metadata

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


def train(world: World, base: Path | str) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("sentiment_training_job").execute_in_process(
        instance=world.instance,
        resources={"pipeline": world.pipeline(NOW)},
        run_config={
            "ops": {"custom_bert": {"config": {"base": str(base), "epochs": 1}}}, "loggers": {"progress": {}},
        },
        raise_on_error=False,
    )  # fmt: skip


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {
        f"{each.asset_key.to_user_string()}/{each.check_name}": (each.passed, str(each.metadata.get("why", "")))
        for each in result.get_asset_check_evaluations()
    }


@pytest.fixture
def trainable(world: World, home: Path, labelled_folder: Path) -> World:
    """The world with a home whose register is empty, and labelled texts."""
    world.variables = {**world.variables, "PAIID_HOME": str(home), "PAIID_DATA_DIR": str(labelled_folder)}
    return world


@pytest.mark.slow
def test_a_champion_is_trained_and_heard_and_a_worse_challenger_is_not(
    trainable: World, learnt: Path, tiny_base: Path, home: Path
) -> None:
    result = train(trainable, learnt)
    assert result.success
    dataset, model, blend = (
        metadata(result, name) for name in ("sentiment_dataset", "custom_bert", "sentiment_ensemble")
    )
    assert dataset["rows by source"]["phrasebank"] > 300
    assert dataset["dagster/row_count"] == sum(dataset["rows by source"].values())
    assert model["data sha256"] == dataset["sha256"]
    assert ("all", "custom_bert") in [(row["set"], row["model"]) for row in model["measured"]]
    assert model["accuracy"] > 0.9
    assert ("all", "ensemble, seed's weights") in [(row["set"], row["model"]) for row in blend["measured"]]
    for reported in (model, blend):
        for plot in ("confusion", "reliability"):
            assert b64decode(reported[plot].split("base64,")[1].rstrip(")")).startswith(b"\x89PNG")
    assert {name: passed for name, (passed, _) in checks(result).items()} == {
        "sentiment_dataset/sound_rows": True, "custom_bert/promotion": True, "sentiment_ensemble/promotion": True,
    }  # fmt: skip
    assert (home / "model.key").stat().st_mode & 0o777 == 0o600
    scored = trainable.run("all_news", NOW, DAY, by_segment=False)
    assert scored.success
    reported = metadata(scored, "article_sentiment")
    assert set(reported["missing members"]) <= {"finbert"}
    assert "custom_bert" in reported["model"]
    assert trainable.rows("article_sentiment", where="model = 'custom_bert'")
    worse = train(trainable, tiny_base)
    assert worse.success, "a challenger that is turned back is no failure"
    passed, why = checks(worse)["custom_bert/promotion"]
    assert not passed
    assert "not better than the champion, version 1" in why
    assert metadata(worse, "custom_bert")["version"] == 2
    shown = trainable.rows("model_performance", where="model = 'custom_bert' AND metric = 'accuracy'")
    assert {(version, promoted) for _, version, *_, promoted, _ in shown} == {("1", "true"), ("2", "false")}
    again = trainable.run("all_news", NOW, DAY, by_segment=False)
    assert metadata(again, "article_sentiment")["articles scored"] == 0, "other models score than before"


@pytest.mark.parametrize(
    ("variables", "base", "said"),
    [
        ({"PAIID_DATA_DIR": ""}, "", "PAIID_DATA_DIR is not set: set it to a folder"),
        ({}, "/no/such/encoder", "'/no/such/encoder' is neither a folder nor"),
        ({"PAIID_ENV": "prod"}, "", "PAIID_MODEL_KEY is not set"),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(
    trainable: World, variables: dict[str, str], base: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAIID_MODEL_KEY", raising=False)
    trainable.variables = {**trainable.variables, **variables}
    result = train(trainable, base)
    assert not result.success
    failed = [event for event in result.all_events if event.is_step_failure]
    assert said in str(failed[0].event_specific_data)
