"""Checks from its small files, without a model library, that a folder holds an importable classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paiid_pipeline.ml.signing import ALLOWED, UntrustedModelError, looks_pickled, may_run_code
from paiid_pipeline.sentiment.labels import columns_of

_CONFIG, _WEIGHTS, _TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_INDEX = f"{_WEIGHTS}.index.json"
_WORDS = ("vocab.txt", "vocab.json")
_SEVERAL = '{"0": "neutral", "1": "positive", "2": "negative"}'


def check_folder(folder: Path) -> None:
    """Raise where a folder cannot be imported, in one line that names the file and the remedy.

    UntrustedModelError where a file could run code, ValueError where one is missing, truncated or malformed, or where
    the labels cannot be mapped by name.
    """
    files = sorted(path for path in folder.rglob("*") if not _hidden(path, folder) and path.is_file())
    for path in files:
        if path.suffix not in ALLOWED or looks_pickled(path):
            raise UntrustedModelError(may_run_code(path))
    names = {path.relative_to(folder).as_posix() for path in files}
    if _CONFIG not in names:
        raise ValueError(f"{folder} has no {_CONFIG}: fetch the whole of the model")
    _check_labels(folder / _CONFIG)
    _check_weights(folder, names)
    _check_tokenizer(folder, names)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _check_labels(path: Path) -> None:
    labels = _object(path).get("id2label") or {"0": "LABEL_0"}
    if not isinstance(labels, dict) or not all(isinstance(name, str) for name in labels.values()):
        raise ValueError(
            f"{path}: id2label is {json.dumps(labels)[:100]}, not names by place: write that of its card, such as "
            f"{_SEVERAL}"
        )
    try:
        columns_of(labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_weights(folder: Path, names: set[str]) -> None:
    parts = [_WEIGHTS]
    if _WEIGHTS not in names and _INDEX in names:
        places = _object(folder / _INDEX).get("weight_map")
        if not isinstance(places, dict):
            raise ValueError(f"{folder / _INDEX} names no files: fetch it again")
        parts = sorted({str(part) for part in places.values()})
    for part in parts:
        if part not in names:
            raise ValueError(f"{folder} has no {part}: fetch the whole of the model, in safetensors")
        _check_safetensors(folder / part)


def _check_safetensors(path: Path) -> None:
    """Check that the header is complete and the file has the size that it states."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if 8 + length <= size else b""
    try:
        header = json.loads(head)
        end = max(value["data_offsets"][1] for name, value in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError(f"{path} is cut short, or no safetensors file: fetch it again") from None
    if 8 + length + end != size:
        raise ValueError(f"{path} has {size} bytes and should have {8 + length + end}: fetch it again")


def _check_tokenizer(folder: Path, names: set[str]) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if name in names:
            _object(folder / name)
    if _TOKENIZER not in names:
        if not names.intersection(_WORDS):
            raise ValueError(f"{folder} has no {_TOKENIZER} and no {_WORDS[0]}: fetch the whole of the model")
        return
    model = _object(folder / _TOKENIZER).get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list) or not model["vocab"]:
        raise ValueError(f"{folder / _TOKENIZER} has no vocabulary: fetch it again")


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:  # broken JSON, or no text
        raise ValueError(f"{path} is not JSON ({error}): fetch it again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a JSON object: fetch it again")
    return found
