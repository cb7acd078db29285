"""Exports a trained classifier to ONNX in int8 with static scales, to be served without torch.

The graph takes unpadded texts of one length. With static scales and integer products, which are exact in any order,
a text's score is independent of the batch; ONNX Runtime's dynamic quantisation takes its scales from the whole batch.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from paiid_pipeline.ml.text.classifier import MAX_TOKENS, Text, encode, load_network, load_tokenizer
from paiid_pipeline.ml.text.onnx_runtime import ABOUT, GRAPH, INPUTS, UNSIGNED
from paiid_pipeline.ml.text.portable_graph import make_portable
from paiid_pipeline.ml.text.quantisation import quantise
from paiid_pipeline.sentiment.labels import LABELS

if TYPE_CHECKING:
    import onnx

Precision = Literal["int8", "fp32"]


def export_model(
    folder: Path,
    out: Path,
    calibration: Sequence[Text],
    *,
    precision: Precision = "int8",
    reads_entities: bool = False,
    max_tokens: int = MAX_TOKENS,
) -> Path:
    """Write the model of ``folder`` to ``out`` as `onnx_runtime.load_served` reads it.

    ``folder``: verified, as `classifier.load_network` reads it. ``calibration``: some hundred texts, prepared as at
    scoring and none of the test's, that fix the int8 scales. Deterministic. Raises ValueError without them.
    """
    if precision == "int8" and not calibration:
        raise ValueError("int8 needs texts to fix its scales: give some hundred of the training texts")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(folder, max_tokens)
    with tempfile.TemporaryDirectory() as scratch:
        graph, heads, width = _exported(folder, Path(scratch), fuse=precision == "fp32")
    if precision == "int8":
        make_portable(graph, heads, width)
        quantise(graph, encode(tokenizer, calibration))
    (out / GRAPH).write_bytes(graph.SerializeToString())
    tokenizer.save(str(out / "tokenizer.json"))
    about = {
        "labels": list(LABELS), "max_tokens": max_tokens, "precision": precision, "reads_entities": reads_entities,
        "weights": UNSIGNED if precision == "int8" else "float32",
    }  # fmt: skip
    (out / ABOUT).write_text(json.dumps(about, indent=1))
    return out


def _exported(folder: Path, scratch: Path, *, fuse: bool) -> tuple[onnx.ModelProto, int, int]:
    """The graph, its number of attention heads, and the hidden size."""
    import torch

    optimizer = import_module("onnxruntime.transformers.optimizer")
    network = cast(Any, load_network(folder))
    network.encoder.set_attn_implementation("eager")
    config = network.encoder.config

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: torch.Tensor, types: torch.Tensor) -> Any:
            # Without a mask the exported attention is not recognised by the fusion.
            return self.network(ids, torch.ones_like(ids), types)

    path = scratch / "plain.onnx"
    example = torch.arange(2, 14).reshape(1, 12) % config.vocab_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The newer exporter needs onnxscript, and the fusion recognises the patterns of this one.
        torch.onnx.export(
            Served().eval(),
            (example, torch.zeros_like(example)),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in INPUTS},
            opset_version=17,
            dynamo=False,
        )
    heads, width = getattr(config, "num_attention_heads", 0), getattr(config, "hidden_size", 0)
    fused = optimizer.optimize_model(
        str(path), "bert", num_heads=heads, hidden_size=width, opt_level=0, optimization_options=_fusions(fuse)
    )
    return cast("onnx.ModelProto", fused.model), heads, width


def _fusions(fuse: bool) -> Any:
    """Layer norms, and with ``fuse`` attention and GELU, whose kernels differ by processor (`portable_graph`)."""
    options = import_module("onnxruntime.transformers.fusion_options").FusionOptions("bert")
    options.disable_attention_mask()
    options.enable_attention = options.enable_gelu = fuse
    # Several times slower than their parts on a CPU.
    options.enable_skip_layer_norm = options.enable_embed_layer_norm = False
    # MatMulIntegerToFloat adds the bias itself.
    options.enable_bias_gelu = False
    return options
