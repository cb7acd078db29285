"""Models of others come in by folder or by the hub's own code, and nothing that may run code is ever read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.signing import SigningKey, UntrustedModelError
from paiid_pipeline.ml.text.classifier import load_tokenizer, most_tokens
from paiid_pipeline.ml.text.gate import force, promote
from paiid_pipeline.ml.text.import_model import import_model
from paiid_pipeline.ml.text.scoring import open_analyzer, open_member
from paiid_pipeline.sentiment.base import Prediction, TextInput
from paiid_pipeline.sentiment.transformer import Transformer
from paiid_pipeline_tests.ml.text.conftest import made_up, renamed
from paiid_pipeline_tests.ml.text.hub import hub
from paiid_pipeline_tests.sources.fake_vendor import serving

KEY = partial(SigningKey, bytes(range(32)))
TONE = {0: "Neutral", 1: "Positive", 2: "Negative"}


@pytest.fixture(scope="session")
def finbert(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier in transformers' own form, with finbert-tone's order of labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("finbert")
    config = BertConfig.from_pretrained(tiny_base, id2label=TONE, label2id={name: n for n, name in TONE.items()})
    torch.manual_seed(4)
    BertForSequenceClassification(config).save_pretrained(folder)
    load_tokenizer(tiny_base).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def rows() -> pl.DataFrame:
    texts = pl.DataFrame(made_up(150, 9), schema=["text", "label"], orient="row")
    return texts.with_columns(entity=pl.lit(None, pl.String), group=pl.col("text"))


def heard(store: ModelStore, text: str = "the company profit beats") -> dict[str, tuple[float, float, float]]:
    result = open_analyzer(store.models, key=KEY).analyze_sentiment(text)
    return {each.model: (each.p_negative, each.p_neutral, each.p_positive) for each in result.members}


def test_no_model_is_in_use_that_was_not_measured(
    finbert: Path, learnt: Path, store: ModelStore, rows: pl.DataFrame
) -> None:
    """Not even the first of its name, whose weights may be random."""
    version, verdict = import_model("finbert", str(finbert), store)
    assert not verdict.promote
    assert f"paiid models promote finbert {version.version} --force" in verdict.reasons[0]
    assert store.registry.champion("finbert") is None
    _, verdict = import_model("finbert", str(finbert), store, rows=rows)
    assert not verdict.promote
    assert store.registry.champion("finbert") is None
    assert "finbert" not in heard(store)
    _, verdict = import_model("custom_bert", str(learnt), store, rows=rows)
    assert verdict.promote
    assert "custom_bert" in heard(store)


def test_a_model_put_to_use_answers_with_its_labels_in_order(finbert: Path, store: ModelStore) -> None:
    version, _ = import_model("finbert", str(finbert), store)
    force("finbert", version.version, store, "by hand")
    import torch
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(finbert).eval()
    ids = load_tokenizer(finbert).encode("the company profit beats").ids
    with torch.inference_mode():
        neutral, positive, negative = model(torch.tensor([ids])).logits.softmax(-1)[0].tolist()
    assert heard(store)["finbert"] == pytest.approx((negative, neutral, positive), abs=1e-4)
    assert (version.parameters["source"], version.parameters["precision"]) == (str(finbert), "fp32")


def test_a_second_one_must_beat_the_champion_on_labelled_texts(
    finbert: Path, learnt: Path, store: ModelStore, rows: pl.DataFrame
) -> None:
    first, _ = import_model("custom_bert", str(finbert), store)
    force("custom_bert", first.version, store, "by hand")
    before = heard(store)
    _, waits = import_model("custom_bert", str(learnt), store)
    assert not waits.promote
    assert "paiid models promote custom_bert 2 --force" in waits.reasons[0]
    assert heard(store) == before
    calibration = [(text, None) for text in rows["text"][:60]]
    better, verdict = import_model("custom_bert", str(learnt), store, calibration=calibration, rows=rows)
    assert verdict.promote, verdict
    assert verdict.reasons[0].startswith("better than the champion, version 1")
    assert better.metrics["accuracy"] > 0.9
    assert better.parameters["precision"] == "int8"
    assert heard(store) != before
    _, worse = import_model("custom_bert", str(finbert), store, rows=rows)
    assert not worse.promote


def test_what_cannot_be_trusted_or_understood_is_refused_and_nothing_is_registered(
    finbert: Path, store: ModelStore, tmp_path: Path
) -> None:
    pickled = renamed(finbert, tmp_path / "pickled")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (pickled / "config.json").write_text("this would not parse")
    disguised = renamed(finbert, tmp_path / "disguised")
    (disguised / "model.safetensors").write_bytes(b"\x80\x04." + bytes(20))
    nameless = renamed(finbert, tmp_path / "nameless", id2label={str(n): f"LABEL_{n}" for n in range(3)})
    unnamed = renamed(finbert, tmp_path / "unnamed", id2label=None)
    other = renamed(finbert, tmp_path / "other", vocab_size=30873)
    for folder, error, said in (
        (pickled, UntrustedModelError, r"pytorch_model\.bin may run code"),
        (disguised, UntrustedModelError, r"model\.safetensors may run code"),
        (nameless, ValueError, "LABEL_0.*set id2label"),
        (unnamed, ValueError, "LABEL_0"),
        (other, ValueError, "the vocabulary is another"),
        (tmp_path / "nowhere", LookupError, "is no folder"),
    ):
        with pytest.raises(error, match=said):
            import_model("finbert", str(folder), store)
    with pytest.raises(ValueError, match="import a model as one of custom_bert, finbert"):
        import_model("gpt", str(finbert), store)
    assert store.registry.names() == []
    assert not (store.models / "finbert").exists()


@pytest.mark.parametrize(
    ("config", "own", "most"),
    [({}, None, 512), ({"max_position_embeddings": 64}, None, 64), ({}, 40, 40),
     ({"max_position_embeddings": 9999}, 1e30, 512),
     ({"model_type": "roberta", "max_position_embeddings": 130, "pad_token_id": 1}, None, 128)],
)  # fmt: skip
def test_a_model_reads_as_much_as_its_configuration_and_its_tokenizer_allow(
    tmp_path: Path, config: dict[str, object], own: float | None, most: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512, **config}))
    if own is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": own}))
    assert most_tokens(tmp_path) == most


def test_an_imported_model_is_not_cut_before_its_end_and_what_is_cut_is_flagged(
    finbert: Path, store: ModelStore
) -> None:
    version, _ = import_model("finbert", str(finbert), store)
    files = store.registry.fetch("finbert", version.version, store.home / "fetched", store.key.public)
    about = json.loads((files / "served.json").read_text())
    longest = most_tokens(finbert)
    assert about["max_tokens"] == longest
    member = open_member("finbert", files, store.key.public)
    short, long = member.score(
        [TextInput("the company profit beats"), TextInput("the company profit beats " * longest)]
    )
    assert (short.flags, long.flags) == ((), ("truncated",))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_are_refused_whatever_text_they_would_show_on(
    finbert: Path, store: ModelStore, tmp_path: Path, value: str
) -> None:
    from safetensors.torch import load_file, save_file

    folder = renamed(finbert, tmp_path / "odd")
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][-1] = float(value)  # of one rare word
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="word_embeddings"):
        import_model("finbert", str(folder), store)
    assert store.registry.names() == []


def test_the_gate_turns_back_what_makes_no_prediction_for_some_text(
    learnt: Path, store: ModelStore, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = float("nan")

    def silent(_self: Transformer, inputs: Sequence[TextInput]) -> list[Prediction]:
        shares = [(nothing,) * 3 if "beats" in each.text else (0.1, 0.2, 0.7) for each in inputs]
        return [Prediction((a, b, c), 0.7) for a, b, c in shares]

    first, _ = import_model("custom_bert", str(learnt), store)
    second, _ = import_model("custom_bert", str(learnt), store)
    assert (first.version, second.version) == (1, 2)
    monkeypatch.setattr(Transformer, "score", silent)
    telling = pl.concat([rows, rows.head(1).with_columns(text=pl.lit("the company profit beats"))])
    verdict = promote("custom_bert", 2, store, telling)
    assert not verdict.promote
    assert "makes no prediction for" in verdict.reasons[0]
    assert "\n" not in verdict.reasons[0]


def paiid(home: Path, hub_url: str, *arguments: str, offline: str = "0") -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAIID_", "HF_"))}
    hub_settings = {"HF_ENDPOINT": hub_url, "HF_HOME": str(home / "hub"), "HF_HUB_OFFLINE": offline}
    return subprocess.run(
        [sys.executable, "-m", "paiid_pipeline.cli", *arguments],
        env={**kept, **hub_settings, "PAIID_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def published(finbert: Path, tmp_path: Path) -> Path:
    """The same, as finbert-tone is published: words in vocab.txt, and a pickle beside the safetensors."""
    folder = renamed(finbert, tmp_path / "published")
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n")
    (folder / "tokenizer.json").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return folder


@pytest.mark.slow
def test_the_hubs_own_code_fetches_it_and_no_pickle_is_asked_for(published: Path, home: Path) -> None:
    asked: list[str] = []
    with serving(hub({"yiyanghkust/finbert-tone": published}, asked)) as url:
        made = paiid(home, url, "models", "import", "finbert", "yiyanghkust/finbert-tone")
        assert made.returncode == 0, made.stderr
        unknown = paiid(home, url, "models", "import", "finbert", "nobody/nothing")
    assert "finbert version 1 is not promoted" in made.stdout
    used = paiid(home, url, "models", "promote", "finbert", "1", "--force")
    assert "finbert version 1 is the champion" in used.stdout, used.stderr
    assert any(path.endswith("/model.safetensors") for path in asked)
    assert not any(path.endswith(".bin") for path in asked)
    assert unknown.returncode == 2
    assert "nobody/nothing cannot be had from the hub" in unknown.stderr
    assert "import the folder" in unknown.stderr
    scored = paiid(home, url, "score", "the company profit beats", "--json")
    assert [member["model"] for member in json.loads(scored.stdout)["members"]] == ["finbert", "vader"]


def test_without_a_network_the_remedy_is_named(home: Path) -> None:
    made = paiid(home, "http://127.0.0.1:9", "models", "import", "finbert", "yiyanghkust/finbert-tone", offline="1")
    assert made.returncode == 2
    assert "hf download yiyanghkust/finbert-tone --local-dir FOLDER" in made.stderr
    assert "Traceback" not in made.stderr
