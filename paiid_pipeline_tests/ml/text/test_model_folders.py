"""Odd model folders end in one line that names the file and the remedy, before any model's library is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.ml.text.model_folders import check_folder

LABELS = {"0": "positive", "1": "negative", "2": "neutral"}
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest that passes."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "id2label": LABELS}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    (tmp_path / "model.safetensors").write_bytes(weights())
    return tmp_path


def weights(count: int = 2) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * count)


def labelled(value: object) -> Spoil:
    return lambda at: (at / "config.json").write_text(json.dumps({"id2label": value}))


def written(name: str, content: bytes) -> Spoil:
    return lambda at: (at / name).write_bytes(content)


def without(name: str) -> Spoil:
    return lambda at: (at / name).unlink()


def test_a_whole_one_passes_with_hidden_files_and_in_parts(folder: Path) -> None:
    check_folder(folder)
    (folder / ".gitattributes").write_text("x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.lock").write_text("")
    (folder / "config.json").write_bytes(b"\xef\xbb\xbf" + (folder / "config.json").read_bytes())
    (folder / "model.safetensors").rename(folder / "model-1-of-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-1-of-1.safetensors"}}))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("a")
    check_folder(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without("config.json"), "has no config.json"),
        (written("config.json", b'{"architectures": ['), "config.json is not JSON"),
        (written("config.json", b"\xff\xfe\x00"), "config.json is not JSON"),
        (written("config.json", b"[]"), "config.json is not a JSON object"),
        (labelled(["positive", "negative", "neutral"]), "config.json: id2label is"),
        (labelled({"0": 0, "1": 1, "2": 2}), "config.json: id2label is"),
        (labelled({"0": None}), "config.json: id2label is"),
        (labelled("positive"), "config.json: id2label is"),
        (labelled({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}), "LABEL_0"),
        (labelled({"0": "negative", "1": "positive"}), "once each"),
        (labelled({"a": "negative", "b": "positive", "c": "neutral"}), "config.json"),
        (labelled(None), "LABEL_0"),
        (without("model.safetensors"), "has no model.safetensors"),
        (written("model.safetensors", weights()[:30]), "model.safetensors is cut short"),
        (written("model.safetensors", weights()[:-1]), "model.safetensors has"),
        (written("model.safetensors", (9).to_bytes(8, "little") + b"{not JSON"), "model.safetensors is cut short"),
        (without("tokenizer.json"), "has no tokenizer.json"),
        (written("tokenizer.json", b'{"version":"1.0"'), "tokenizer.json is not JSON"),
        (written("tokenizer.json", b'{"model":{}}'), "tokenizer.json has no vocabulary"),
        (written("tokenizer_config.json", b"{"), "tokenizer_config.json is not JSON"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_remedy(folder: Path, spoil: Spoil, said: str) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=str(folder)) as caught:
        check_folder(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "tf_model.h5", "modeling_x.py", "flax_model.msgpack"])
def test_weights_of_another_kind_beside_the_safetensors_are_to_be_deleted(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(UntrustedModelError, match=f"{name} may run code.*delete it"):
        check_folder(folder)


def test_no_library_of_models_is_imported_to_see_it() -> None:
    code = "import paiid_pipeline.ml.text.model_folders, paiid_pipeline.ml.text.hub, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "mlflow", "tokenizers"}.intersection(loaded)
