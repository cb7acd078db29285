"""The report's protocol: no test row, nor a near-duplicate of one, is ever trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paiid_pipeline.ml.text import cross_validation
from paiid_pipeline.ml.text import recipe as recipes
from paiid_pipeline.ml.text.cross_validation import cross_validate
from paiid_pipeline.ml.text.datasets import Dataset, digest, with_groups
from paiid_pipeline.ml.text.recipe import Recipe, fine_tune, split
from paiid_pipeline.ml.text.training import FineTunedModel, FineTuningConfig, train


@pytest.fixture(scope="module")
def data(labelled: pl.DataFrame) -> Dataset:
    """Three sources that share texts with one another."""
    base = labelled.drop("group", "fold")
    rows = pl.concat(
        [
            base.with_columns(source=pl.lit("phrasebank")),
            base.head(120).with_columns(source=pl.lit("tweets"), text=pl.col("text") + " spring the plant order in"),
            base.head(10).with_columns(source=pl.lit("tweets")),
            base.head(60).with_columns(
                source=pl.lit("entities"),
                conflict=pl.lit(True),
                entity=pl.lit("company"),
                text="sales " + pl.col("text"),
            ),
        ]
    ).with_columns(id=pl.format("{}-{}", "source", pl.int_range(pl.len())))
    grouped = with_groups(rows)
    return Dataset(grouped, digest(grouped), {}, 0, 0)


@pytest.fixture(scope="module")
def recipe(tiny_base: Path) -> Recipe:
    plan = FineTuningConfig("", epochs=2, batch=8, learning_rate=3e-3, train_embeddings=True, averaging=0.5, half=False)
    short = replace(plan, epochs=1)
    return Recipe(str(tiny_base), sentences=20, articles=30, stage_1=plan, student=short, stage_2=short)


@pytest.fixture(scope="module")
def articles(data: Dataset) -> pl.DataFrame:
    """Thirty articles of their own, and three whose bodies are rows of the data."""
    own = pl.DataFrame({"title": [f"title {n}" for n in range(30)]})
    own = own.with_columns(body=pl.format("{} of article number {} in words", "title", pl.int_range(pl.len())))
    return pl.concat([own, data.rows.head(3).select(title="id", body="text")])


def test_no_group_is_on_both_sides(data: Dataset) -> None:
    fit, held = split(data.rows)
    assert fit.height + held.height == data.rows.height
    assert held.height > 0
    assert not set(fit["group"]) & set(held["group"])


@dataclass(frozen=True)
class Measured:
    """One report over two folds, with articles, and the groups and articles that each of its trainings was given."""

    report: dict[str, Any]
    folder: Path
    trained_on: dict[str, set[str]]
    news: set[str]


@pytest.fixture(scope="module")
def measured(
    data: Dataset, articles: pl.DataFrame, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Measured:
    made = Measured({}, tmp_path_factory.mktemp("measured"), {}, set())

    def watched(
        rows: pl.DataFrame, validation: pl.DataFrame, plan: FineTuningConfig, folder: Path, *rest: object
    ) -> FineTunedModel:
        name = folder.name if folder.parent == made.folder else folder.parent.name
        made.trained_on.setdefault(name, set()).update(rows["group"], validation["group"])
        made.news.update(rows.filter(pl.col("source") == "news")["text"])
        return train(rows, validation, plan, folder, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "train", watched)
        made.report.update(cross_validate(data, recipe, made.folder, folds=(0, 1), articles=articles))
    return made


def test_nothing_that_is_measured_was_trained_on(data: Dataset, measured: Measured) -> None:
    assert measured.news, "no article was taught"
    assert not measured.news & set(data.rows["text"])
    bank = set(data.rows.filter(pl.col("source") == "phrasebank")["group"])
    for fold in (0, 1):
        test = set(data.rows.filter(pl.col("fold") == fold)["group"])
        assert not measured.trained_on[f"stage-1-{fold}"] & (test | bank)
        assert not measured.trained_on[f"stage-2-{fold}"] & test
        assert measured.trained_on[f"stage-2-{fold}"] & bank


def test_every_fold_and_its_interval_is_reported_and_a_second_call_trains_nothing(
    data: Dataset, articles: pl.DataFrame, recipe: Recipe, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = measured.report
    assert set(report["phrase bank, all"]["folds"]) == {"0", "1"}
    whole = report["phrase bank, all"]["all"]
    bank = data.rows.filter((pl.col("source") == "phrasebank") & (pl.col("fold") < 2))
    assert whole["rows"] == bank.height
    assert whole["accuracy"]["low"] <= whole["accuracy"]["value"] <= whole["accuracy"]["high"]
    assert report["phrase bank, never seen"]["all"]["rows"] == 200
    assert report["data"]["sha256"] == data.sha256
    assert {"tweets", "conflicting entities", "conflicting entities, text alone"} <= set(report)

    def none(*_: object) -> None:
        raise AssertionError("it trained again")

    monkeypatch.setattr(cross_validation, "train_stage_1", none)
    monkeypatch.setattr(cross_validation, "train_stage_2", none)
    assert cross_validate(data, recipe, measured.folder, folds=(0, 1), articles=articles) == report


def test_one_general_model_serves_every_fold_of_the_phrase_bank(data: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    report = cross_validate(data, recipe, tmp_path, folds=(1, 2), stage_1_folds=(1,))
    assert set(report["phrase bank, all"]["folds"]) == {"1", "2"}
    assert set(report["tweets"]["folds"]) == {"1"}
    assert report["phrase bank, never seen"]["all"]["rows"] == 200
    conflict = report["conflicting entities"]
    assert 0 < conflict["p against conflicting entities, text alone"] <= 1
    assert not (tmp_path / "stage-1-2").exists()


def test_the_whole_recipe_gives_one_model_and_can_do_without_the_phrase_bank(
    data: Dataset, articles: pl.DataFrame, recipe: Recipe, tmp_path: Path
) -> None:
    both = fine_tune(data.rows, recipe, tmp_path / "both", articles=articles)
    assert (both.name, (both / "model.safetensors").is_file()) == ("stage-2", True)
    others = data.rows.filter(pl.col("source") != "phrasebank")
    assert fine_tune(others, recipe, tmp_path / "one").name == "stage-1"
