"""Static int8 quantisation of an ONNX graph's matrix products, so that scores are independent of the batch.

A few channels of a transformer are far larger than the rest and would leave them few levels of a common scale: these
stay in float32 (outlier columns as in LLM.int8, Dettmers 2022, but fixed). The others are smoothed into the weights
(SmoothQuant, Xiao 2023).

Weights are stored as uint8 with zero point 128. On x86 processors without VNNI, ONNX Runtime adds products of uint8 and
int8 in pairs at 16 bits, where 255 * 127 * 2 saturates; products of uint8 and uint8 it adds at 32 bits. With VNNI both
take the same instructions. The integers are the same on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from paiid_pipeline.ml.text.classifier import Encoded
from paiid_pipeline.ml.text.onnx_runtime import inputs, session
from paiid_pipeline.ml.text.portable_graph import add_constant, make_weights_unsigned

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.floating[Any]]

_OURS: Final = "com.microsoft"
_LEVELS: Final = 255
_SMOOTHING: Final = 0.8
_OUTLIER: Final = 4.0
"""A channel whose range exceeds this multiple of the median stays in float32."""


@dataclass(frozen=True)
class _Input:
    """An input of one or more products: the ranges of its channels, and the indices of those left in float32."""

    name: str
    low: Floats
    high: Floats
    outliers: npt.NDArray[np.int64]


def quantise(graph: onnx.ModelProto, calibration: Sequence[Encoded]) -> None:
    """Quantise in place every product with constant weights: weights per column, inputs with static scales."""
    from onnx import numpy_helper

    constants = {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}
    products = [node for node in graph.graph.node if _is_product(node, constants)]
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in products:
        readers.setdefault(node.input[0], []).append(node)
    found = _inputs(graph, readers, calibration)
    biases = _take_biases(graph, products, constants)
    made: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        if node not in products:
            made.append(node)
            continue
        source = found[node.input[0]]
        pending = readers.pop(source.name, [])
        if pending:
            made += _input_nodes(graph, source, {each.input[1]: constants[each.input[1]] for each in pending})
        made += _product_nodes(graph, node, source, constants[node.input[1]], biases.get(node.output[0], ""))
    _replace(graph, made)
    make_weights_unsigned(graph)


def _is_product(node: onnx.NodeProto, constants: dict[str, Floats]) -> bool:
    return node.op_type == "MatMul" and node.input[1] in constants and constants[node.input[1]].ndim == 2


def _take_biases(
    graph: onnx.ModelProto, products: Sequence[onnx.NodeProto], constants: dict[str, Floats]
) -> dict[str, str]:
    """Fold each bias into its product, which takes the sum's output name; biases by that name."""
    made = {node.output[0]: node for node in products if node.op_type == "MatMul"}
    read = [name for node in graph.graph.node for name in node.input]
    found: dict[str, str] = {}
    for node in [each for each in graph.graph.node if each.op_type == "Add"]:
        product = next((name for name in node.input if name in made and read.count(name) == 1), None)
        bias = next((name for name in node.input if name in constants and constants[name].ndim == 1), None)
        if product and bias:
            made[product].output[0] = node.output[0]
            found[node.output[0]] = bias
            graph.graph.node.remove(node)
    return found


def _inputs(
    graph: onnx.ModelProto, readers: dict[str, list[onnx.NodeProto]], calibration: Sequence[Encoded]
) -> dict[str, _Input]:
    import onnx

    names = sorted(readers)
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    run = session(watched.SerializeToString())
    seen: dict[str, tuple[Floats, Floats]] = {}
    for each in calibration:
        for name, value in zip(names, run.run(names, inputs(run, [each[0]], [each[1]])), strict=True):
            low, high = seen.get(name, (np.zeros(value.shape[-1]), np.zeros(value.shape[-1])))
            channels = value.reshape(-1, value.shape[-1])
            seen[name] = np.minimum(low, channels.min(0)), np.maximum(high, channels.max(0))
    return {name: _Input(name, *span, _outliers(*span)) for name, span in seen.items()}


def _outliers(low: Floats, high: Floats) -> npt.NDArray[np.int64]:
    height = np.maximum(-low, high)
    return np.flatnonzero(height > _OUTLIER * np.median(height))


def _input_nodes(graph: onnx.ModelProto, source: _Input, weights: dict[str, Floats]) -> list[onnx.NodeProto]:
    from onnx import helper

    rest = np.ones(len(source.low))
    rest[source.outliers] = 0
    height = np.maximum(np.maximum(-source.low, source.high), 1e-5)
    heaviest = np.maximum(np.max([np.abs(weight).max(1) for weight in weights.values()], axis=0), 1e-5)
    share = height**_SMOOTHING / heaviest ** (1 - _SMOOTHING)
    low, high = float((source.low * rest / share).min()), float((source.high * rest / share).max())
    scale = max(high - low, 1e-8) / _LEVELS
    for weight_name, weight in weights.items():
        _add_weight(graph, weight_name, weight * (share * rest)[:, None])
    name = source.name
    add_constant(graph, f"{name}/share", (1 / share).astype(np.float32))
    add_constant(graph, f"{name}/scale", np.float32(scale))
    add_constant(graph, f"{name}/zero", np.uint8(np.clip(round(-low / scale), 0, _LEVELS)))
    rounding = [f"{name}/even", f"{name}/scale", f"{name}/zero"]
    nodes = [
        helper.make_node("Mul", [name, f"{name}/share"], [f"{name}/even"], name=f"{name}/smooth"),
        helper.make_node("QuantizeLinear", rounding, [f"{name}/int8"], name=f"{name}/round"),
    ]
    if len(source.outliers):
        add_constant(graph, f"{name}/places", source.outliers)
        nodes.append(helper.make_node("Gather", [name, f"{name}/places"], [f"{name}/outliers"], axis=-1))
    return nodes


def _add_weight(graph: onnx.ModelProto, name: str, weight: Floats) -> None:
    scale = np.maximum(np.abs(weight).max(0), 1e-8) / 127
    add_constant(graph, f"{name}/int8", np.clip(np.round(weight / scale), -127, 127).astype(np.int8))
    add_constant(graph, f"{name}/scale", scale.astype(np.float32))
    add_constant(graph, f"{name}/zero", np.zeros(len(scale), np.int8))


def _product_nodes(
    graph: onnx.ModelProto, node: onnx.NodeProto, source: _Input, weight: Floats, bias: str
) -> list[onnx.NodeProto]:
    from onnx import helper

    name, output = node.input[1], node.output[0]
    integers = [f"{source.name}/int8", f"{name}/int8"]
    scales = [f"{source.name}/scale", f"{name}/scale"]
    zeros = [f"{source.name}/zero", f"{name}/zero"]
    given = [*integers, *scales, *zeros, bias]
    if not len(source.outliers):
        return [helper.make_node("MatMulIntegerToFloat", given, [output], name=node.name, domain=_OURS)]
    add_constant(graph, f"{name}/rows", weight[source.outliers])
    return [
        helper.make_node("MatMulIntegerToFloat", given, [f"{output}/rest"], name=node.name, domain=_OURS),
        helper.make_node("MatMul", [f"{source.name}/outliers", f"{name}/rows"], [f"{output}/few"]),
        helper.make_node("Add", [f"{output}/rest", f"{output}/few"], [output]),
    ]


def _replace(graph: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.graph.initializer if each.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
