"""Training learns, shows progress, stops early, and is a function of its plan and rows, kills included."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from paiid_pipeline.ml.text.classifier import average_networks, encode, load_network, load_tokenizer, padded, predict
from paiid_pipeline.ml.text.training import CHECKPOINT, FineTuningConfig, Progress, epoch_rows, train


@pytest.fixture(scope="module")
def plan(tiny_base: Path) -> FineTuningConfig:
    return FineTuningConfig(
        str(tiny_base), epochs=6, batch=8, learning_rate=3e-3, train_embeddings=True, averaging=0.5, half=False
    )


@pytest.fixture(scope="module")
def whole(plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of the plan that nothing interrupted."""
    return train(labelled, labelled, plan, tmp_path_factory.mktemp("training") / "whole").folder


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_it_learns_and_the_model_says_what_was_learnt(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    test, rest = labelled.filter(pl.col("fold") == 0), labelled.filter(pl.col("fold") > 0)
    seen: list[Progress] = []
    made = train(rest, test, plan, tmp_path / "m", seen.append)
    assert made.validation_macro_f1 > 0.9
    assert [p.epoch for p in seen if p.validation_macro_f1 is not None] == [1, 2, 3, 4, 5, 6][: made.epochs]
    assert seen[-1].loss < seen[0].loss
    network, tokenizer = load_network(made.folder), load_tokenizer(made.folder)
    found = predict(network, encode(tokenizer, [("the company profit beats", None), ("sales shrinks today", None)]))
    assert found.argmax(1).tolist() == [2, 0]
    config = json.loads((made.folder / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "neutral", "2": "positive"}
    assert {path.name for path in made.folder.iterdir()} == {
        "model.safetensors", "config.json", "tokenizer.json", "training.json",
    }  # fmt: skip
    assert train(rest, test, plan, tmp_path / "m", seen.append) == made
    with pytest.raises(ValueError, match="another plan or other rows"):
        train(rest, test, replace(plan, seed=9), tmp_path / "m")


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    short = replace(plan, epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(labelled, labelled, replace(short, seed=seed), tmp_path / name)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b") != _digest(tmp_path / "c")


def test_consistency_makes_what_dropout_leaves_out_matter_less(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    """On labels that only rote learning fits, where a network leans on what dropout may take away."""
    targets = labelled.select("label", pl.col("^p_.*$"))
    noise = labelled.with_columns(targets.sample(fraction=1, shuffle=True, seed=1))
    encoded = encode(load_tokenizer(plan.base), [(text, None) for text in noise["text"]])

    def spread(consistency: float) -> float:
        made = train(noise, noise, replace(plan, consistency=consistency), tmp_path / str(consistency))
        network = load_network(made.folder).train()
        torch.manual_seed(0)
        with torch.no_grad():
            said = torch.stack([network(*padded(encoded)).softmax(-1) for _ in range(8)])
        return float(said.std(0).mean())

    assert spread(1.0) < 0.8 * spread(0.0)


@pytest.mark.parametrize("killed_at", [50, 75, 110])
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(
    plan: FineTuningConfig, labelled: pl.DataFrame, whole: Path, tmp_path: Path, killed_at: int
) -> None:
    def kill(progress: Progress) -> None:
        if progress.step >= killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(labelled, labelled, plan, tmp_path / "killed", kill)
    steps: list[int] = []
    train(labelled, labelled, plan, tmp_path / "killed", lambda p: steps.append(p.step))
    assert steps[0] > 25, "it started from the beginning"
    assert _digest(tmp_path / "killed") == _digest(whole)


def test_a_checkpoint_of_another_plan_is_not_taken(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    def kill(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(labelled, labelled, plan, tmp_path, kill)
    assert (tmp_path / CHECKPOINT).is_file()
    with pytest.raises(ValueError, match="another plan or other rows"):
        train(labelled, labelled, replace(plan, seed=9), tmp_path)
    with pytest.raises(ValueError, match="another plan or other rows"):
        train(labelled.head(100), labelled, plan, tmp_path)


def test_it_stops_where_validation_no_longer_gets_better(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    still = replace(plan, epochs=30, learning_rate=0.0, head_learning_rate=0.0, patience=1)
    assert train(labelled, labelled, still, tmp_path).epochs < 5


def test_one_of_our_models_can_be_trained_further(
    plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    train(labelled, labelled, plan, tmp_path / "first")
    stage_2 = replace(plan, base=str(tmp_path / "first"), epochs=1, learning_rate=0.0, head_learning_rate=0.0)
    made = train(labelled, labelled, stage_2, tmp_path / "second")
    assert made.validation_macro_f1 > 0.9, "it began from scratch"


def test_several_seeds_average_into_one_model(plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path) -> None:
    one, other = (train(labelled, labelled, replace(plan, seed=s, epochs=2), tmp_path / str(s)).folder for s in (0, 1))
    average_networks([one, other], tmp_path / "mean")
    heads = [load_network(folder).state_dict()["head.weight"] for folder in (one, other, tmp_path / "mean")]
    assert ((heads[0] + heads[1]) / 2 - heads[2]).abs().max() < 1e-6


def test_an_epoch_draws_each_source_by_its_share(labelled: pl.DataFrame) -> None:
    rows = pl.concat([labelled.with_columns(source=pl.lit(s)) for s in ("tweets", "entities")])
    rows = rows.with_columns(conflict=pl.col("source") == "entities")
    shares = {"tweets/neutral": 0.0, "tweets": 1.0, "conflict": 0.5, "entities": 0.0}
    drawn = epoch_rows(rows, shares, 0, 0)
    tweets = drawn.filter(pl.col("source") == "tweets")
    assert tweets.height == labelled.filter(pl.col("label") != "neutral").height
    assert "neutral" not in tweets["label"]
    assert 70 < drawn.height - tweets.height < 130
    assert drawn.equals(epoch_rows(rows, shares, 0, 0))
    assert not drawn.equals(epoch_rows(rows, shares, 0, 1))


def test_no_rows_are_refused(plan: FineTuningConfig, labelled: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 200 and 0"):
        train(labelled, labelled.clear(), plan, tmp_path)


@pytest.mark.parametrize(
    ("able", "half"),
    [
        ({"avx2": True}, False),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True}, True),
        ({"bf16": False}, False),
        ({}, False),
    ],
)
def test_a_plan_multiplies_in_bfloat16_only_where_the_processor_does(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], half: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    assert FineTuningConfig("").half is half
