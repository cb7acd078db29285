"""From a data folder to a champion that scores: trained, measured, signed, registered, put to the gate, installed."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest

from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.signing import SigningKey
from paiid_pipeline.ml.text import training
from paiid_pipeline.ml.text.custom_bert import CUSTOM_BERT, Choice, Registered, train_custom_bert
from paiid_pipeline.ml.text.dataset_store import Texts, make_texts, split_held_out
from paiid_pipeline.ml.text.datasets import Dataset
from paiid_pipeline.ml.text.ensemble import WITH_DEFAULT_WEIGHTS, fit_ensemble
from paiid_pipeline.ml.text.gate import force, promote
from paiid_pipeline.ml.text.scoring import open_analyzer
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS

KEY = partial(SigningKey, bytes(range(32)))


@pytest.fixture
def texts(labelled_folder: Path) -> Texts:
    return make_texts(labelled_folder)


@pytest.fixture
def data(texts: Texts) -> Dataset:
    return texts.labelled


@pytest.fixture
def made(texts: Texts, learnt: Path, store: ModelStore) -> Registered:
    return train_custom_bert(texts, Choice(str(learnt), epochs=1), store, lambda _: None)


def test_what_is_trained_is_measured_promoted_and_heard(data: Dataset, made: Registered, store: ModelStore) -> None:
    test = split_held_out(data.rows).test
    own = made.measured[CUSTOM_BERT]
    assert own["all"].rows == test.height == made.version.metrics["rows"]
    assert {"phrasebank", "tweets", "entities"} <= own.keys()
    assert own["all"].accuracy.value > 0.9 > made.measured["vader"]["all"].accuracy.value
    assert made.version.data_sha256 == data.sha256
    assert made.version.metrics["tweets/accuracy"] == own["tweets"].accuracy.value
    assert made.facts["int8 labels as float32"] >= 0.95
    assert made.facts["ECE after temperature"] < own["all"].ece.value
    assert all(image.startswith(b"\x89PNG") for image in made.plots.values())
    assert open_analyzer(store.models, key=KEY).route.unavailable.keys() == {"custom_bert", "finbert"}
    verdict = promote(CUSTOM_BERT, 1, store, test)
    assert verdict.promote
    assert [reason.split(":")[0] for reason in verdict.reasons] == [
        "better than VADER", "better than the commonest label",
    ]  # fmt: skip
    with_seed = open_analyzer(store.models, key=KEY)
    assert with_seed.blend == DEFAULT_WEIGHTS
    blended = fit_ensemble(data, store, lambda _: None)
    assert (
        blended.measured["ensemble"]["all"].accuracy.value
        >= blended.measured[WITH_DEFAULT_WEIGHTS]["all"].accuracy.value
    )
    assert blended.facts["weight of vader"] + blended.facts["weight of custom_bert"] == pytest.approx(1)  # type: ignore[operator]
    assert promote("ensemble", 1, store, test).promote
    analyzer = open_analyzer(store.models, key=KEY)
    assert analyzer.blend.version.startswith("fitted.")
    result = analyzer.analyze_sentiment("today the company profit beats")
    assert (result.label, [member.model for member in result.members]) == ("positive", ["custom_bert", "vader"])
    kept = store.training / CUSTOM_BERT
    assert [path.name for path in kept.iterdir()] == ["newest"]
    assert (kept / "newest" / "model.safetensors").is_file()


@pytest.mark.usefixtures("made")
def test_a_worse_challenger_is_turned_back_and_says_why_and_an_earlier_one_can_be_put_back(
    texts: Texts, tiny_base: Path, store: ModelStore
) -> None:
    test = split_held_out(texts.labelled.rows).test
    assert promote(CUSTOM_BERT, 1, store, test).promote
    scored = open_analyzer(store.models, key=KEY).model_version
    worse = train_custom_bert(texts, Choice(str(tiny_base), epochs=1), store, lambda _: None)
    assert worse.version.version == 2
    verdict = promote(CUSTOM_BERT, 2, store, test)
    assert not verdict.promote
    assert verdict.reasons[0].startswith("not better than the champion, version 1: ")
    champion = store.registry.champion(CUSTOM_BERT)
    assert champion is not None
    assert champion.version == 1
    assert store.registry.versions(CUSTOM_BERT)[0].gate == verdict.reasons
    assert open_analyzer(store.models, key=KEY).model_version == scored
    for version in (2, 1):
        assert force(CUSTOM_BERT, version, store, "by hand").promote
        now = open_analyzer(store.models, key=KEY).model_version
        assert (now == scored) == (version == 1)
    with pytest.raises(LookupError, match="no version 7"):
        promote(CUSTOM_BERT, 7, store, test)
    with pytest.raises(ValueError, match="no gate for 'signal_model'"):
        promote("signal_model", 1, store, test)


def test_a_champion_that_was_tampered_with_is_not_heard_until_it_is_promoted_again(
    data: Dataset, made: Registered, store: ModelStore
) -> None:
    test = split_held_out(data.rows).test
    promote(CUSTOM_BERT, made.version.version, store, test)
    graph = store.models / CUSTOM_BERT / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    left = open_analyzer(store.models, key=KEY).route.unavailable
    assert "was changed after signing" in left[CUSTOM_BERT]
    assert "it is the champion already" in promote(CUSTOM_BERT, 1, store, test).reasons
    assert CUSTOM_BERT not in open_analyzer(store.models, key=KEY).route.unavailable


def test_a_killed_training_goes_on_from_its_checkpoint_and_is_the_same_model(
    texts: Texts, made: Registered, learnt: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = dataclasses.replace(store, home=tmp_path / "again")
    whole, steps = training._FineTuning._validate, list[int]()

    def killed(run: training._FineTuning) -> None:
        whole(run)
        run._save_checkpoint()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training._FineTuning, "_validate", killed)
        with pytest.raises(KeyboardInterrupt):
            train_custom_bert(texts, Choice(str(learnt), epochs=1), again, lambda _: None)
    resumed = train_custom_bert(texts, Choice(str(learnt), epochs=1), again, lambda line: steps.append(len(line)))
    assert resumed.version.digest == made.version.digest
    assert resumed.version.version == 2


def test_what_is_missing_is_said_with_the_remedy(
    texts: Texts, data: Dataset, store: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(LookupError, match="PAIID_DATA_DIR is not set: set it to a folder"):
        make_texts(None)
    with pytest.raises(LookupError, match="no labelled texts in"):
        make_texts(tmp_path)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    for base, said in (("/no/such/folder", "neither a folder nor"), (str(tmp_path / "pickled"), "lacks config.json")):
        with pytest.raises(LookupError, match=said):
            train_custom_bert(texts, Choice(base), store, lambda _: None)
    with pytest.raises(LookupError, match="nothing to blend with VADER: custom_bert is not installed"):
        fit_ensemble(data, store, lambda _: None)
    few = dataclasses.replace(data, rows=data.rows.head(3))
    with pytest.raises(ValueError, match="3 labelled texts are too few"):
        split_held_out(few.rows)
    assert store.registry.versions(CUSTOM_BERT) == []
