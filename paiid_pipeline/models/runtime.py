"""A served model: a verified folder to functions from tokens to logits, in a fraction of a second, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from paiid_pipeline.models.labels import columns_of
from paiid_pipeline.models.signing import verify_folder

GRAPH: Final = "model.onnx"
ABOUT: Final = "served.json"
INPUTS: Final = ("ids", "mask", "types")


@dataclass(frozen=True)
class Served:
    """What scoring needs of a model; the fields fit `sentiment.transformer.Transformer`."""

    digest: str
    """Of the signed list of its files, in hex: the model's version wherever its score is kept."""
    encode: Callable[[Sequence[tuple[str, str | None]]], list[tuple[list[int], list[int]]]]
    """Texts, each with its entity or None, to token ids and types, unpadded and cut at the model's length."""
    forward: Callable[[list[int], list[int]], npt.NDArray[np.float32]]
    """Ids and types of one text to its three logits; the same bits each time; callable from several threads."""
    columns: tuple[int, int, int]
    reads_entities: bool


def load_served(folder: Path, public: bytes) -> Served:
    """Verify ``folder`` and load it. Raises UntrustedModelError before anything of it is read."""
    digest = verify_folder(folder, public)
    from tokenizers import Tokenizer

    about = json.loads((folder / ABOUT).read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(about["max_tokens"])
    return Served(
        digest,
        _encoder(tokenizer),
        forward_of(session((folder / GRAPH).read_bytes())),
        columns_of(dict(enumerate(about["labels"]))),
        bool(about["reads_entities"]),
    )


def session(graph: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` on the calling thread only: several texts at once take several callers."""
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def forward_of(run: Any) -> Callable[[list[int], list[int]], npt.NDArray[np.float32]]:
    """One text's ids and types to its logits, shape (3,), by a :func:`session`."""

    def forward(ids: list[int], types: list[int]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = run.run(None, inputs(ids, types))[0][0]
        return logits

    return forward


def inputs(ids: list[int], types: list[int]) -> dict[str, npt.NDArray[np.int64]]:
    """One text as the graph takes it, each of shape (1, tokens). The mask hides nothing: there is no padding."""
    return {"ids": np.array([ids]), "mask": np.ones((1, len(ids)), np.int64), "types": np.array([types])}


def _encoder(tokenizer: Any) -> Callable[[Sequence[tuple[str, str | None]]], list[tuple[list[int], list[int]]]]:
    def encode(texts: Sequence[tuple[str, str | None]]) -> list[tuple[list[int], list[int]]]:
        found = tokenizer.encode_batch([(text, entity) if entity else text for text, entity in texts])
        return [(each.ids, each.type_ids) for each in found]

    return encode
