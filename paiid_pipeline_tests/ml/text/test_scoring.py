"""Model folders to members: labels by name, nothing unsigned, the same bits in any company, order and process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paiid_pipeline.ml.signing import KEY_VARIABLE, SIGNATURE, SigningKey, UntrustedModelError, key_of, sign_folder
from paiid_pipeline.ml.text.classifier import load_tokenizer, new_network, save_network
from paiid_pipeline.ml.text.export import export_model
from paiid_pipeline.ml.text.scoring import cores, load_member, open_analyzer, save_blend
from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, EnsembleWeights
from paiid_pipeline.sentiment.transformer import Transformer
from paiid_pipeline.settings import load_settings

KEY = partial(SigningKey, b"\x17" * 32)
WORDS = re.findall(
    r"\w+", "profit loss fraud great bad the of and shares rise fall apple nokia beats report net sales strong weak up"
)
TONE = {"0": "neutral", "1": "positive", "2": "negative"}
"""The order of finbert-tone."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT that classifies, in finbert-tone's order of labels, as transformers saves it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("base")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {word: place for place, word in enumerate([*names, *(f"##{c}" for c in names[-26:])])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.6, id2label={int(k): v for k, v in TONE.items()},
        label2id={v: int(k) for k, v in TONE.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models_dir(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both slots filled: FinBERT's with the folder as it is, ours in the served form, int8."""
    import torch

    models = tmp_path_factory.mktemp("models")
    copy(base, models / "finbert")
    ours = tmp_path_factory.mktemp("ours")
    torch.manual_seed(6)
    network = new_network(base)
    with torch.no_grad():
        network.head.weight.normal_(0, 1)  # type: ignore[union-attr, operator]
    save_network(network, load_tokenizer(base, 64), ours)
    calibration: list[tuple[str, str | None]] = [(" ".join(WORDS[i : i + 6]), None) for i in range(14)]
    export_model(ours, models / "custom_bert", calibration, reads_entities=True, max_tokens=64)
    sign(models / "custom_bert")
    return models


def copy(source: Path, target: Path, change: Mapping[str, object] | None = None) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    if change:
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps({**config, **change}))
    sign(target)


def sign(folder: Path) -> None:
    sign_folder(folder, KEY())


def probabilities(member: Transformer, *texts: str) -> list[tuple[float, float, float]]:
    return [prediction.probabilities for prediction in member.score([TextInput(text) for text in texts])]


def test_labels_are_mapped_by_name(base: Path, models_dir: Path) -> None:
    """Against transformers' own answer, looked up by the names in its configuration."""
    import torch
    from transformers import AutoModelForSequenceClassification

    text = "apple beats nokia, net loss"
    ids = load_tokenizer(base).encode(text).ids
    model = AutoModelForSequenceClassification.from_pretrained(str(base)).eval()
    with torch.inference_mode():
        shares = model(torch.tensor([ids])).logits.softmax(-1)[0].tolist()
    by_name = {model.config.id2label[place]: share for place, share in enumerate(shares)}
    (got,) = probabilities(load_member("finbert", models_dir, KEY), text)
    assert got == pytest.approx([by_name[name] for name in ("negative", "neutral", "positive")], abs=1e-5)
    assert len({round(share, 3) for share in got}) == 3  # or another order would pass as well


def test_an_order_that_is_declared_otherwise_is_followed(base: Path, tmp_path: Path, models_dir: Path) -> None:
    copy(base, tmp_path / "finbert", {"id2label": {"0": "positive", "1": "Negative", "2": "NEUTRAL"}})
    (tone,) = probabilities(load_member("finbert", models_dir, KEY), "great profit")
    (other,) = probabilities(load_member("finbert", tmp_path, KEY), "great profit")
    assert other == (tone[2], tone[0], tone[1])


def test_labels_without_names_are_refused_with_the_remedy(base: Path, tmp_path: Path) -> None:
    copy(base, tmp_path / "finbert", {"id2label": {str(i): f"LABEL_{i}" for i in range(3)}})
    with pytest.raises(ValueError, match="id2label"):
        load_member("finbert", tmp_path, KEY)


def test_another_models_vocabulary_is_refused(base: Path, tmp_path: Path) -> None:
    copy(base, tmp_path / "finbert", {"vocab_size": 30873})
    with pytest.raises(ValueError, match="vocabulary"):
        load_member("finbert", tmp_path, KEY)


@pytest.mark.parametrize("name", ["finbert", "custom_bert"])
def test_what_is_not_signed_by_us_is_left_out_and_reported(models_dir: Path, tmp_path: Path, name: str) -> None:
    copy(models_dir / name, tmp_path / name)
    assert open_analyzer(tmp_path, key=KEY).route.unavailable.keys() == {"custom_bert", "finbert"} - {name}
    heard = open_analyzer(tmp_path, key=partial(SigningKey, b"\x18" * 32)).route
    assert [member.name for member in heard.members] == ["vader"]
    assert "not signed with our key" in heard.unavailable[name]
    assert (
        KEY_VARIABLE
        in open_analyzer(tmp_path, key=partial(key_of, load_settings({"PAIID_ENV": "prod"}))).route.unavailable[name]
    )
    weights = max((tmp_path / name).iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(bytes(content))
    assert "changed after signing" in open_analyzer(tmp_path, key=KEY).route.unavailable[name]
    (tmp_path / name / SIGNATURE).unlink()
    with pytest.raises(UntrustedModelError, match=SIGNATURE):
        load_member(name, tmp_path, KEY)


def test_signed_rubbish_is_left_out_and_reported(base: Path, tmp_path: Path) -> None:
    """Files that are no model, though signed: the analyzer goes without them."""
    config, tokenizer = ((base / name).read_text() for name in ("config.json", "tokenizer.json"))
    for name, files in {
        "custom_bert": {"served.json": "{}", "model.onnx": "no", "tokenizer.json": "{}"},
        "finbert": {"config.json": config, "model.safetensors": "\x02" + "\0" * 7 + "{}", "tokenizer.json": tokenizer},
    }.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(content)
        sign(tmp_path / name)
    made = open_analyzer(tmp_path, key=KEY)
    assert made.route.unavailable.keys() == {"custom_bert", "finbert"}
    assert made.analyze_sentiment("great profit").flags == ("missing:custom_bert", "missing:finbert")


@pytest.mark.parametrize("name", ["custom_bert", "finbert", "ensemble"])
@pytest.mark.parametrize(
    "rubbish", ["[]", "null", "3", "{", "", '{"model": {"vocab": []}}', '{"weights": {"vader": NaN}}']
)
def test_no_signed_rubbish_raises(models_dir: Path, tmp_path: Path, name: str, rubbish: str) -> None:
    """In any of the files of a folder in turn; what is left is heard."""
    if name == "ensemble":
        save_blend(DEFAULT_WEIGHTS, tmp_path / "whole" / name)
    else:
        copy(models_dir / name, tmp_path / "whole" / name)
    for file in sorted((tmp_path / "whole" / name).glob("*.json")):
        folder = tmp_path / file.stem / name
        folder.mkdir(parents=True)
        for other in file.parent.iterdir():
            (folder / other.name).write_bytes(other.read_bytes())
        (folder / file.name).write_text(rubbish)
        if file.name != SIGNATURE:
            sign(folder)
        result = open_analyzer(tmp_path / file.stem, key=KEY).analyze_sentiment("great profit")
        assert "vader" in [member.model for member in result.members], file.name


def test_all_members_are_heard(models_dir: Path) -> None:
    analyzer = open_analyzer(models_dir, {"AAPL": ["apple"], "NOK": ["nokia"]}, key=KEY)
    result = analyzer.analyze_sentiment("apple beats nokia, a great profit")
    assert [member.model for member in result.members] == ["custom_bert", "finbert", "vader"]
    assert analyzer.route.unavailable == {}
    assert result.flags == ()
    for_symbol = [analyzer.analyze_sentiment("apple beats nokia", symbol).score for symbol in ("AAPL", "NOK")]
    assert for_symbol[0] != for_symbol[1]


def test_a_fitted_blend_is_used_where_it_is_signed_and_the_seed_where_it_is_not(tmp_path: Path) -> None:
    fitted = EnsembleWeights("fitted.1", {"vader": 0.5, "custom_bert": 0.5}, 1.7)
    save_blend(fitted, tmp_path / "ensemble")
    left = open_analyzer(tmp_path, key=KEY).route.unavailable
    assert SIGNATURE in left["ensemble"]
    sign(tmp_path / "ensemble")
    analyzer = open_analyzer(tmp_path, key=KEY)
    assert analyzer.blend == fitted
    assert analyzer.route.unavailable.keys() == {"custom_bert"}
    assert analyzer.analyze_sentiment("great profit").model_version.startswith("fitted.1(vader")
    save_blend(EnsembleWeights("fitted.2", {"vader": 0.0, "custom_bert": 1.0}), tmp_path / "ensemble")
    sign(tmp_path / "ensemble")
    deaf = open_analyzer(tmp_path, key=KEY)
    assert deaf.blend == DEFAULT_WEIGHTS
    assert "gives weight to none" in deaf.route.unavailable["ensemble"]
    (tmp_path / "ensemble" / "blend.json").write_text('{"weights": {}}')
    sign(tmp_path / "ensemble")
    broken = open_analyzer(tmp_path, key=KEY)
    assert broken.blend == DEFAULT_WEIGHTS
    assert "lacks 'version'" in broken.route.unavailable["ensemble"]


texts = st.lists(
    st.lists(st.sampled_from([*WORDS, "zebra", "株", "1,200"]), min_size=1, max_size=30).map(" ".join),
    min_size=1,
    max_size=9,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.randoms())
def test_a_text_has_the_same_bits_in_any_company_and_order(models_dir: Path, batch: list[str], order: object) -> None:
    for name in ("custom_bert", "finbert"):
        member = MEMBERS.setdefault(f"{models_dir}/{name}", load_member(name, models_dir, KEY))
        alone = {text: probabilities(member, text)[0] for text in batch}
        shuffled = list(batch)
        order.shuffle(shuffled)  # type: ignore[attr-defined]
        assert probabilities(member, *shuffled) == [alone[text] for text in shuffled]


MEMBERS: dict[str, Transformer] = {}


def test_another_process_gives_the_same_bits_without_importing_torch(models_dir: Path) -> None:
    headlines = ["apple beats nokia", "net loss and fraud " * 5]
    code = (
        "import sys; from pathlib import Path; from paiid_pipeline.ml.text.scoring import load_member\n"
        "from paiid_pipeline.ml.signing import SigningKey\n"
        "from paiid_pipeline.sentiment.base import TextInput\n"
        f"member = load_member('custom_bert', Path({str(models_dir)!r}), lambda: SigningKey(bytes([23]) * 32))\n"
        f"print([[p.hex() for p in o.probabilities] for o in member.score([TextInput(t) for t in {headlines!r}])])\n"
        "assert not {'torch', 'transformers', 'mlflow', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = probabilities(load_member("custom_bert", models_dir, KEY), *headlines)
    assert made.stdout.strip() == repr([[share.hex() for share in each] for each in here])


def test_a_text_longer_than_the_model_reads_is_cut(models_dir: Path) -> None:
    for name in ("custom_bert", "finbert"):
        member = load_member(name, models_dir, KEY)
        (got,) = probabilities(member, "profit " * 5000)
        assert np.isfinite(got).all()


@pytest.mark.parametrize(("counted", "expected"), [(6, 6), (1, 1), (None, 1)])
def test_a_system_that_tells_no_affinity_serves_on_all_its_cores(
    monkeypatch: pytest.MonkeyPatch, counted: int | None, expected: int
) -> None:
    """As macOS, whose Python has no ``sched_getaffinity``; a system may not know its cores at all."""
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: counted)
    assert cores() == expected
