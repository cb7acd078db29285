"""Loads an exported model from a verified folder and runs it on ONNX Runtime, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from platform import machine
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from paiid_pipeline.ml.signing import verify_folder
from paiid_pipeline.sentiment.labels import columns_of
from paiid_pipeline.sentiment.text.comparisons import compare_figures
from paiid_pipeline.sentiment.transformer import Tokens

GRAPH: Final = "model.onnx"
ABOUT: Final = "served.json"
INPUTS: Final = ("ids", "types")
UNSIGNED: Final = "uint8"
"""The storage of int8 weights (`quantisation`); folders of an older version without it are converted on loading."""


@dataclass(frozen=True)
class Served:
    """A loaded model; the fields fit `sentiment.transformer.Transformer`."""

    digest: str
    """SHA-256 of the signed list of its files, in hex: the model's version in stored scores."""
    encode: Callable[[Sequence[tuple[str, str | None]]], list[Tokens]]
    """Texts, each with its entity or None, to unpadded token ids and types, truncated to the model's length.

    Comparisons of figures are inserted first, as in training."""
    forward: Callable[[list[list[int]], list[list[int]]], npt.NDArray[np.float32]]
    """Ids and types of texts of equal length to logits (texts, 3); thread-safe.

    A text's logits are bit-identical in any batch."""
    columns: tuple[int, int, int]
    reads_entities: bool


def load_served(folder: Path, public: bytes) -> Served:
    """Verify ``folder`` and load it. Raises UntrustedModelError before parsing any file."""
    digest = verify_folder(folder, public)
    from tokenizers import Tokenizer

    about = json.loads((folder / ABOUT).read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(about["max_tokens"])
    return Served(
        digest,
        encoder_of(tokenizer),
        forward_of(session(_graph(folder, about))),
        columns_of(dict(enumerate(about["labels"]))),
        bool(about["reads_entities"]),
    )


def arithmetic() -> str:
    """The float kernels of this processor: avx512, avx2, or the machine's name.

    Integer products are the same on all. Float sums (softmax, normalisation) may differ in their last bits, and a value
    at a rounding edge then differs by one int8 level.
    """
    has = import_module("numpy._core._multiarray_umath").__cpu_features__
    return next(
        (name for name, feature in (("avx512", "AVX512F"), ("avx2", "AVX2")) if has.get(feature)), machine().lower()
    )


def _graph(folder: Path, about: Mapping[str, Any]) -> bytes:
    """The graph of a verified folder, whose integer products are exact on every processor."""
    stored = (folder / GRAPH).read_bytes()
    if about["precision"] != "int8" or about.get("weights") == UNSIGNED:
        return stored
    import onnx

    from paiid_pipeline.ml.text.portable_graph import make_weights_unsigned

    graph = onnx.load_from_string(stored)
    make_weights_unsigned(graph)
    exact: bytes = graph.SerializeToString()
    return exact


def session(graph: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` that runs on the calling thread; parallel texts need parallel callers."""
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Further fusing would undo the exporter's choices.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.enable_mem_pattern = False  # texts of every length follow one another
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def forward_of(run: Any) -> Callable[[list[list[int]], list[list[int]]], npt.NDArray[np.float32]]:
    """A function from ids and types (texts, tokens) to logits (texts, 3), by a :func:`session`."""

    def forward(ids: list[list[int]], types: list[list[int]]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = run.run(None, inputs(run, ids, types))[0]
        return logits

    return forward


def inputs(run: Any, ids: list[list[int]], types: list[list[int]]) -> dict[str, npt.NDArray[np.int64]]:
    """The inputs of a :func:`session`, each (texts, tokens); not all graphs take types."""
    given = dict(zip(INPUTS, (ids, types), strict=True))
    return {each.name: np.array(given[each.name]) for each in run.get_inputs()}


def encoder_of(tokenizer: Any) -> Callable[[Sequence[tuple[str, str | None]]], list[Tokens]]:
    """A function from texts to tokens by a truncating tokenizer, after inserting comparisons of figures."""

    def encode(texts: Sequence[tuple[str, str | None]]) -> list[Tokens]:
        prepared = ((compare_figures(text), entity) for text, entity in texts)
        found = tokenizer.encode_batch_fast([(text, entity) if entity else text for text, entity in prepared])
        return [Tokens(each.ids, each.type_ids, bool(each.overflowing)) for each in found]

    return encode
