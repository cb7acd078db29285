"""From a trained network to a folder that is served without torch: ONNX, fused, in int8 with fixed scales.

The served graph takes one unpadded text. With scales fixed beforehand, and integer products, which are exact
in any order, a text's score depends on nothing but the text; ONNX Runtime's dynamic int8 takes its scales
from all texts of a batch.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from paiid_pipeline.models.labels import LABELS
from paiid_pipeline.models.network import MAX_TOKENS, Encoded, Text, encode, load_network, load_tokenizer
from paiid_pipeline.models.runtime import ABOUT, GRAPH, INPUTS, inputs, session

if TYPE_CHECKING:
    import onnx

Precision = Literal["int8", "fp32"]

_OURS: Final = "com.microsoft"
_LEVELS: Final = 255
_SMOOTHING: Final = 0.8

Floats = npt.NDArray[np.floating[Any]]


def export_model(
    folder: Path,
    out: Path,
    calibration: Sequence[Text],
    *,
    precision: Precision = "int8",
    reads_entities: bool = False,
    max_tokens: int = MAX_TOKENS,
) -> Path:
    """Write the model of ``folder`` to ``out`` as `runtime.load_served` reads it.

    ``folder`` is what `network.load_network` reads, already verified. ``calibration`` are some hundred texts,
    prepared as they will be when served, that fix the int8 scales; they must be none of the test's. The same
    inputs give the same file. Raises ValueError where there are none.
    """
    if precision == "int8" and not calibration:
        raise ValueError("int8 needs texts to fix its scales: give some hundred of the training texts")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(folder, max_tokens)
    with tempfile.TemporaryDirectory() as scratch:
        graph = _fused(folder, Path(scratch))
    if precision == "int8":
        quantise(graph, encode(tokenizer, calibration))
    (out / GRAPH).write_bytes(graph.SerializeToString())
    tokenizer.save(str(out / "tokenizer.json"))
    about = {
        "labels": list(LABELS), "max_tokens": max_tokens, "precision": precision, "reads_entities": reads_entities,
    }  # fmt: skip
    (out / ABOUT).write_text(json.dumps(about, indent=1))
    return out


def quantise(graph: onnx.ModelProto, calibration: Sequence[Encoded]) -> None:
    """Turn, in place, every product with constant weights into int8: weights per column, inputs by fixed scales.

    Some channels of a transformer are far larger than the rest, and one scale for all would leave the rest a few
    levels. So channels are brought nearer to one another first, and the weights take up the difference
    (SmoothQuant, Xiao 2023).
    """
    from onnx import numpy_helper

    constants = {each.name: each for each in graph.graph.initializer}
    products = [node for node in graph.graph.node if _is_product(node, constants)]
    readers: dict[str, list[str]] = {}
    for node in products:
        readers.setdefault(node.input[0], []).append(node.input[1])
    ranges = _ranges(graph, sorted(readers), calibration)
    made: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        names = readers.pop(node.input[0], []) if node in products else []
        if names:
            weights = [numpy_helper.to_array(constants[name]) for name in names]
            made += _input_nodes(graph, node.input[0], ranges[node.input[0]], names, weights)
        made.append(_product_node(node) if node in products else node)
    del graph.graph.node[:]
    graph.graph.node.extend(made)
    used = {name for node in made for name in node.input}
    kept = [each for each in graph.graph.initializer if each.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def _fused(folder: Path, scratch: Path) -> onnx.ModelProto:
    import torch

    optimizer = import_module("onnxruntime.transformers.optimizer")
    network = cast(Any, load_network(folder))
    network.encoder.set_attn_implementation("eager")
    config = network.encoder.config

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> Any:
            return self.network(ids, mask, types)

    path = scratch / "plain.onnx"
    example = torch.arange(2, 14).reshape(1, 12) % config.vocab_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The newer exporter needs onnxscript, and fusion knows the shapes that this one writes.
        torch.onnx.export(
            Served().eval(),
            (example, torch.ones_like(example), torch.zeros_like(example)),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {1: "tokens"} for name in INPUTS},
            opset_version=17,
            dynamo=False,
        )
    heads, width = getattr(config, "num_attention_heads", 0), getattr(config, "hidden_size", 0)
    fused = optimizer.optimize_model(str(path), "bert", num_heads=heads, hidden_size=width, opt_level=0)
    return cast("onnx.ModelProto", fused.model)


def _is_product(node: onnx.NodeProto, weights: dict[str, Any]) -> bool:
    if node.op_type == "Attention":
        # A past or a bias on the scores would need more than is carried over.
        return node.input[1] in weights and not any(node.input[4:])
    return node.op_type == "MatMul" and node.input[1] in weights and len(weights[node.input[1]].dims) == 2


def _ranges(
    graph: onnx.ModelProto, names: Sequence[str], calibration: Sequence[Encoded]
) -> dict[str, tuple[Floats, Floats]]:
    """The least and the greatest value of each channel, shape (channels,), over all calibration texts."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    run = session(watched.SerializeToString())
    seen: dict[str, tuple[Floats, Floats]] = {}
    for each in calibration:
        for name, value in zip(names, run.run(list(names), inputs(*each)), strict=True):
            low, high = seen.get(name, (np.zeros(value.shape[-1]), np.zeros(value.shape[-1])))
            channels = value.reshape(-1, value.shape[-1])
            seen[name] = np.minimum(low, channels.min(0)), np.maximum(high, channels.max(0))
    return seen


def _input_nodes(
    graph: onnx.ModelProto, source: str, span: tuple[Floats, Floats], names: Sequence[str], weights: Sequence[Floats]
) -> list[onnx.NodeProto]:
    from onnx import helper

    low, high = span
    largest = np.maximum(np.maximum(-low, high), 1e-5)
    heaviest = np.maximum(np.max([np.abs(weight).max(1) for weight in weights], axis=0), 1e-5)
    share = largest**_SMOOTHING / heaviest ** (1 - _SMOOTHING)
    scale = max(float((high / share).max() - (low / share).min()), 1e-8) / _LEVELS
    _constant(graph, f"{source}/share", (1 / share).astype(np.float32))
    _constant(graph, f"{source}/scale", np.float32(scale))
    _constant(graph, f"{source}/zero", np.uint8(np.clip(round(-float((low / share).min()) / scale), 0, _LEVELS)))
    for name, weight in zip(names, weights, strict=True):
        _add_weight(graph, name, weight * share[:, None])
    even, zero = f"{source}/even", f"{source}/zero"
    return [
        helper.make_node("Mul", [source, f"{source}/share"], [even], name=f"{source}/smooth"),
        helper.make_node("QuantizeLinear", [even, f"{source}/scale", zero], [f"{source}/int8"], name=f"{source}/round"),
    ]


def _add_weight(graph: onnx.ModelProto, name: str, weight: Floats) -> None:
    scale = np.maximum(np.abs(weight).max(0), 1e-8) / 127
    _constant(graph, f"{name}/int8", np.clip(np.round(weight / scale), -127, 127).astype(np.int8))
    _constant(graph, f"{name}/scale", scale.astype(np.float32))
    _constant(graph, f"{name}/zero", np.zeros(len(scale), np.int8))


def _product_node(node: onnx.NodeProto) -> onnx.NodeProto:
    from onnx import helper

    source, weight = node.input[0], node.input[1]
    integers = [f"{source}/int8", f"{weight}/int8"]
    scales = [f"{source}/scale", f"{weight}/scale"]
    zeros = [f"{source}/zero", f"{weight}/zero"]
    if node.op_type == "MatMul":
        inputs = [*integers, *scales, *zeros]
        return helper.make_node("MatMulIntegerToFloat", inputs, node.output, name=node.name, domain=_OURS)
    mask = node.input[3] if len(node.input) > 3 else ""
    inputs = [*integers, node.input[2], *scales, mask, *zeros]
    made = helper.make_node("QAttention", inputs, node.output, name=node.name, domain=_OURS)
    made.attribute.extend(each for each in node.attribute if each.name in ("num_heads", "unidirectional"))
    return made


def _constant(graph: onnx.ModelProto, name: str, value: Any) -> None:
    from onnx import numpy_helper

    graph.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
