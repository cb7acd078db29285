"""The served model says what the trained one does, and a text's score depends on the text alone, to the bit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.ml.signing import SigningKey, UntrustedModelError, sign_folder
from paiid_pipeline.ml.text.classifier import encode, load_network, load_tokenizer, new_network, predict, save_network
from paiid_pipeline.ml.text.export import Precision, export_model
from paiid_pipeline.ml.text.onnx_runtime import Served, load_served
from paiid_pipeline.ml.text.training import FineTuningConfig, train
from paiid_pipeline_tests.ml.conftest import FILLERS, WORDS

RNG = random.Random(5)
EVERY = [*FILLERS, *(word for group in WORDS.values() for word in group)]
TEXTS = [(" ".join(RNG.choices(EVERY, k=RNG.randint(1, 30))), RNG.choice([None, "company"])) for _ in range(300)]


@pytest.fixture(scope="module")
def trained(tiny_base: Path, labelled: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = FineTuningConfig(
        str(tiny_base), epochs=4, batch=8, learning_rate=3e-3, train_embeddings=True, averaging=0.5, half=False
    )
    return train(labelled, labelled, plan, tmp_path_factory.mktemp("export") / "trained").folder


def _alone(served: Served, encoded: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """The logits (texts, 3) of texts that are each run alone."""
    return np.array([served.forward([ids], [types])[0] for ids, types, *_ in encoded])


def _probabilities(folder: Path, key: SigningKey) -> np.ndarray:
    sign_folder(folder, key)
    served = load_served(folder, key.public)
    logits = _alone(served, served.encode(TEXTS))[:, served.columns]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_int8_and_fp32_agree_with_torch(trained: Path, key: SigningKey, tmp_path: Path) -> None:
    torch_says = predict(load_network(trained), encode(load_tokenizer(trained), TEXTS))
    whole = _probabilities(export_model(trained, tmp_path / "fp32", [], precision="fp32"), key)
    assert np.abs(whole - torch_says).max() < 1e-4
    small = _probabilities(export_model(trained, tmp_path / "int8", TEXTS[:50]), key)
    assert np.abs(small - torch_says).mean() < 0.02
    assert (small.argmax(1) == torch_says.argmax(1)).mean() >= 0.98


def test_int8_is_what_it_says(trained: Path, tmp_path: Path) -> None:
    import onnx

    graph = onnx.load(export_model(trained, tmp_path / "int8", TEXTS[:50]) / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulIntegerToFloat") == 12
    assert "DynamicQuantizeLinear" not in kinds
    floats = {each.name: each.dims for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    products = [floats[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in floats]
    assert all(rows <= 8 for rows, _ in products), "more than a few channels stayed in float32"


def test_a_text_has_the_same_bits_in_any_order_on_any_thread_and_in_another_process(
    trained: Path, key: SigningKey, tmp_path: Path
) -> None:
    folder = export_model(trained, tmp_path / "int8", TEXTS[:50])
    sign_folder(folder, key)
    served = load_served(folder, key.public)
    encoded = served.encode(TEXTS)
    alone = _alone(served, encoded)
    assert np.array_equal(alone, _alone(served, encoded[::-1])[::-1])
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            assert np.array_equal(alone, np.array(list(threads.map(lambda each: _alone(served, [each])[0], encoded))))
    script = (
        "import sys; from pathlib import Path; from paiid_pipeline.ml.text.onnx_runtime import load_served\n"
        "from paiid_pipeline_tests.ml.text.test_export import TEXTS, _alone\n"
        f"served = load_served(Path({str(folder)!r}), bytes.fromhex({key.public.hex()!r}))\n"
        "sys.stdout.write(_alone(served, served.encode(TEXTS[::-1]))[::-1].tobytes().hex())"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert np.array_equal(np.frombuffer(bytes.fromhex(other.stdout), np.float32).reshape(-1, 3), alone)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_text_has_the_same_bits_beside_others_as_alone(
    trained: Path, key: SigningKey, tmp_path: Path, precision: Precision
) -> None:
    _same_bits_in_every_batch(export_model(trained, tmp_path / "out", TEXTS[:50], precision=precision), key, 29)


def _same_bits_in_every_batch(folder: Path, key: SigningKey, words: int, lengths: Sequence[int] = range(2, 40)) -> None:
    """Every length with batches of every size up to a dozen."""
    sign_folder(folder, key)
    served, rng = load_served(folder, key.public), np.random.default_rng(2)
    for length in lengths:
        ids, types = rng.integers(0, words, (12, length)).tolist(), rng.integers(0, 2, (12, length)).tolist()
        alone = _alone(served, list(zip(ids, types, strict=True)))
        assert len(np.unique(alone, axis=0)) > 1, "the texts cannot be told apart"
        for size in range(2, 13):
            assert np.array_equal(served.forward(ids[:size], types[:size]), alone[:size]), (length, size)


@pytest.mark.slow
def test_the_bits_hold_at_full_size(full_base: Path, key: SigningKey, tmp_path: Path) -> None:
    """A real encoder, whose products are wide enough to be cut into blocks."""
    import torch

    torch.manual_seed(0)
    network = new_network(full_base)
    torch.nn.init.normal_(network.head.weight)  # type: ignore[union-attr, arg-type]
    save_network(network, load_tokenizer(full_base), tmp_path / "base")
    folder = export_model(tmp_path / "base", tmp_path / "int8", TEXTS[:50])
    _same_bits_in_every_batch(folder, key, 30_000, [*range(2, 20), 31, 32, 33, 47, 64, 65, 100, 127, 128])


def test_a_model_exported_with_signed_weights_is_converted_as_it_is_loaded(
    trained: Path, key: SigningKey, tmp_path: Path
) -> None:
    """As folders were written before; their signature stays what it was."""
    import onnx
    from onnx import TensorProto, numpy_helper

    folder = export_model(trained, tmp_path / "int8", TEXTS[:50])
    sign_folder(folder, key)
    served = load_served(folder, key.public)
    about = json.loads((folder / "served.json").read_text())
    (folder / "served.json").write_text(json.dumps({name: about[name] for name in about if name != "weights"}))
    model = onnx.load(folder / "model.onnx")
    inputs = {name for node in model.graph.node for name in node.input if node.op_type == "QuantizeLinear"}
    for each in model.graph.initializer:
        if each.data_type == TensorProto.UINT8 and each.name not in inputs:
            signed = (numpy_helper.to_array(each) ^ np.uint8(128)).view(np.int8)
            each.CopyFrom(numpy_helper.from_array(signed, each.name))
    onnx.save(model, folder / "model.onnx")
    sign_folder(folder, key)
    before = load_served(folder, key.public)
    encoded = served.encode(TEXTS)
    assert np.array_equal(_alone(before, encoded), _alone(served, encoded))


def test_serving_takes_no_torch(trained: Path, key: SigningKey, tmp_path: Path) -> None:
    folder = export_model(trained, tmp_path / "int8", TEXTS[:50])
    sign_folder(folder, key)
    script = (
        "import sys; from pathlib import Path; from paiid_pipeline.ml.text.onnx_runtime import load_served\n"
        f"load_served(Path({str(folder)!r}), bytes.fromhex({key.public.hex()!r})).encode([('the market', None)])\n"
        "assert not {'torch', 'transformers', 'mlflow', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_same_model_and_texts_give_the_same_file(trained: Path, tmp_path: Path) -> None:
    graphs = [(export_model(trained, tmp_path / n, TEXTS[:50]) / "model.onnx").read_bytes() for n in ("a", "b")]
    assert graphs[0] == graphs[1]


def test_an_unsigned_or_changed_model_is_refused_before_it_is_read(
    trained: Path, key: SigningKey, tmp_path: Path
) -> None:
    folder = export_model(trained, tmp_path / "int8", TEXTS[:50])
    (folder / "tokenizer.json").write_text("this would not parse")
    with pytest.raises(UntrustedModelError, match=r"has no signature\.json"):
        load_served(folder, key.public)


def test_int8_without_texts_to_calibrate_on_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="some hundred of the training texts"):
        export_model(trained, tmp_path / "int8", [])


def test_a_finbert_is_exported_with_its_labels_put_in_order(tiny_base: Path, key: SigningKey, tmp_path: Path) -> None:
    """A model of another's making (neutral, positive, negative; tanh pooler) goes the same way as ours."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path / "finbert"
    torch.manual_seed(3)
    config = BertConfig.from_pretrained(tiny_base, id2label={0: "Neutral", 1: "Positive", 2: "Negative"})
    config.initializer_range = 0.6
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    load_tokenizer(tiny_base).save(str(folder / "tokenizer.json"))
    ours = _probabilities(export_model(folder, tmp_path / "fp32", [], precision="fp32"), key)
    _same_bits_in_every_batch(tmp_path / "fp32", key, config.vocab_size)
    for row, (ids, types) in enumerate(encode(load_tokenizer(folder), TEXTS[:20])):
        with torch.inference_mode():
            theirs = model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits.softmax(-1)[0].tolist()
        assert ours[row].tolist() == pytest.approx([theirs[2], theirs[0], theirs[1]], abs=1e-4)


def test_a_model_without_label_names_is_refused_with_the_remedy(tiny_base: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(tiny_base, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "nameless")
    with pytest.raises(ValueError, match=r"LABEL_0.*set id2label in its config\.json"):
        load_network(tmp_path / "nameless")


def test_saving_keeps_the_weights(trained: Path, tmp_path: Path) -> None:
    save_network(load_network(trained), load_tokenizer(trained), tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
