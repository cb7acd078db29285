"""Rewrites a graph into operations that are bit-identical on every x86 processor with AVX2.

ONNX Runtime has kernels by vector width for some operations (fused attention, softmax, GELU), which differ in the order
of sums and in rounding. A difference of 1e-7 before rounding to int8 can be a level after it: with such noise 6 to
94 % of texts changed, by up to 0.04 of a probability. The rewritten graph has only integer products, sequential
float32 products, `Exp` and `Erf`, whose kernels are elementwise identical, and elementary arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

_ONES: Final = "ones"
_SPLIT: Final = "split_heads"
_JOIN: Final = "join_heads"


def make_portable(graph: onnx.ModelProto, heads: int, width: int) -> None:
    """Rewrite in place the unfused attention of an encoder with ``heads`` heads and hidden size ``width``."""
    _lift_constants(graph)
    _fix_shapes(graph, heads, width)
    _expand_softmax(graph)
    _drop_unread(graph)


def _lift_constants(graph: onnx.ModelProto) -> None:
    """Turn Constant nodes into initializers, where the quantisation looks for biases."""
    for node in [each for each in graph.graph.node if each.op_type == "Constant"]:
        value = graph.graph.initializer.add()
        value.CopyFrom(node.attribute[0].t)
        value.name = node.output[0]
        graph.graph.node.remove(node)


def _fix_shapes(graph: onnx.ModelProto, heads: int, width: int) -> None:
    """Split and join heads by constant shapes instead of shapes computed for each text."""
    made = {name: node for node in graph.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.graph.node:
        if node.op_type == "Reshape":
            if any(reader.op_type == "Transpose" for reader in readers.get(node.output[0], [])):
                node.input[1] = _SPLIT
            elif node.input[0] in made and made[node.input[0]].op_type == "Transpose":
                node.input[1] = _JOIN
    add_constant(graph, _SPLIT, np.array([0, 0, heads, width // max(1, heads)], np.int64))
    add_constant(graph, _JOIN, np.array([0, 0, width], np.int64))


def _expand_softmax(graph: onnx.ModelProto) -> None:
    from onnx import TensorProto, helper

    # A column of ones, one a token: the first input is (texts, tokens).
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1])
    nodes = [
        helper.make_node("Shape", [graph.graph.input[0].name], [f"{_ONES}/tokens"], start=1, end=2),
        helper.make_node("Concat", [f"{_ONES}/tokens", f"{_ONES}/one"], [f"{_ONES}/shape"], axis=0),
        helper.make_node("ConstantOfShape", [f"{_ONES}/shape"], [_ONES], value=one),
    ]
    for node in graph.graph.node:
        if node.op_type != "Softmax":
            nodes.append(node)
            continue
        given, made = node.input[0], node.output[0]
        nodes += [
            helper.make_node("ReduceMax", [given], [f"{made}/max"], axes=[-1], keepdims=1),
            helper.make_node("Sub", [given, f"{made}/max"], [f"{made}/below"]),
            helper.make_node("Exp", [f"{made}/below"], [f"{made}/exp"]),
            # As a product: the rounding of ReduceSum depends on memory alignment, and so on the other texts.
            helper.make_node("MatMul", [f"{made}/exp", _ONES], [f"{made}/sum"]),
            helper.make_node("Div", [f"{made}/exp", f"{made}/sum"], [made]),
        ]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    add_constant(graph, f"{_ONES}/one", np.array([1], np.int64))


def _drop_unread(graph: onnx.ModelProto) -> None:
    """Remove nodes and initializers without a consumer."""
    kept: list[onnx.NodeProto] = []
    read = {each.name for each in graph.graph.output}
    for node in reversed(graph.graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    del graph.graph.node[:]
    graph.graph.node.extend(reversed(kept))
    constants = [each for each in graph.graph.initializer if each.name in read]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(constants)


def add_constant(graph: onnx.ModelProto, name: str, value: Any) -> None:
    """Append an array as an initializer."""
    from onnx import numpy_helper

    graph.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def make_weights_unsigned(graph: onnx.ModelProto) -> None:
    """Shift in place every int8 constant (weights and zero points) by 128 to uint8."""
    from onnx import TensorProto, numpy_helper

    for each in graph.graph.initializer:
        if each.data_type == TensorProto.INT8:
            signed = numpy_helper.to_array(each)
            each.CopyFrom(numpy_helper.from_array(signed.view(np.uint8) ^ np.uint8(128), each.name))
