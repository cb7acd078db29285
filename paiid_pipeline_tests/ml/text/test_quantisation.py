"""A product in int8 stays near the float one, also where some channels are far above the rest."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paiid_pipeline.ml.text import quantisation
from paiid_pipeline.ml.text.onnx_runtime import INPUTS, inputs, session
from paiid_pipeline.ml.text.portable_graph import make_weights_unsigned
from paiid_pipeline.ml.text.quantisation import quantise

RNG = np.random.default_rng(4)
CHANNELS, WORDS = 64, 200
WEIGHT = RNG.normal(size=(CHANNELS, 16)).astype(np.float32)
TEXTS = [(RNG.integers(0, WORDS, 12).tolist(), [0] * 12) for _ in range(60)]


def _graph(table: np.ndarray) -> onnx.ModelProto:
    """Words looked up in ``table`` (words, channels), times WEIGHT."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["x"]), helper.make_node("MatMul", ["x", "w"], ["logits"])]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"]) for name in INPUTS]
    result = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", 16])]
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(WEIGHT, "w")]
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        helper.make_graph(nodes, "g", given, result, constants), opset_imports=domains, ir_version=9
    )


def _error(table: np.ndarray) -> float:
    """The mean distance from the float product, over texts that were not calibrated on."""
    graph = _graph(table)
    whole = session(graph.SerializeToString())
    quantise(graph, TEXTS[:30])
    small = session(graph.SerializeToString())
    unseen = [inputs(whole, [ids], [types]) for ids, types in TEXTS[30:]]
    return float(np.mean([np.abs(whole.run(None, each)[0] - small.run(None, each)[0]) for each in unseen]))


def test_an_ordinary_product_is_off_by_about_a_level() -> None:
    table = RNG.normal(size=(WORDS, CHANNELS)).astype(np.float32)
    assert 0 < _error(table) < 0.02 * np.abs(table[:10] @ WEIGHT).mean()


def test_high_channels_cost_the_others_no_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    table = RNG.normal(size=(WORDS, CHANNELS)).astype(np.float32)
    plain = _error(table)
    table[:, :2] *= 100
    kept_apart = _error(table)
    monkeypatch.setattr(quantisation, "_OUTLIER", float("inf"))
    assert kept_apart < 1.5 * plain
    assert _error(table) > 5 * plain, "the test would not have noticed"


def test_only_products_with_constant_weights_change() -> None:
    graph = _graph(RNG.normal(size=(WORDS, CHANNELS)).astype(np.float32))
    graph.graph.node.append(helper.make_node("MatMul", ["logits", "logits_t"], ["square"]))
    graph.graph.node.insert(2, helper.make_node("Transpose", ["logits"], ["logits_t"], perm=[0, 2, 1]))
    quantise(graph, TEXTS[:5])
    assert [node.op_type for node in graph.graph.node].count("MatMul") == 1
    assert [node.op_type for node in graph.graph.node].count("MatMulIntegerToFloat") == 1
    assert not any(each.name == "w" for each in graph.graph.initializer), "the float weights are still there"


def _integer_product(weight: np.ndarray) -> onnx.ModelProto:
    """``a`` of uint8 about 7, times int8 ``weight`` (k, n), as int32."""
    columns = weight.shape[1]
    node = helper.make_node("MatMulInteger", ["a", "w", "a_zero", "w_zero"], ["y"])
    constants = {"w": weight, "a_zero": np.uint8(7), "w_zero": np.zeros(columns, np.int8)}
    given = [helper.make_tensor_value_info("a", TensorProto.UINT8, ["rows", len(weight)])]
    result = [helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", columns])]
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", given, result, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("depth", [1, 3, 16, 64, 65, 384, 1536])
@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_integer_products_are_exact_at_the_extremes(depth: int, rows: int) -> None:
    """What saturates at 16 bits on processors without VNNI, and ordinary values, against integers in NumPy."""
    rng = np.random.default_rng([depth, rows])
    weight = rng.integers(-128, 128, (depth, 40), dtype=np.int8)
    weight[:, :3] = 127, -127, -128
    weight[::2, 3], weight[1::2, 3] = 127, -128
    a = rng.integers(0, 256, (rows, depth), dtype=np.uint8)
    a[0] = 255
    graph = _integer_product(weight)
    make_weights_unsigned(graph)
    found = session(graph.SerializeToString()).run(None, {"a": a})[0]
    assert np.array_equal(found, (a.astype(np.int64) - 7) @ weight.astype(np.int64))


@pytest.mark.parametrize(("scale", "heads"), [(0.02, 1), (0.05, 4)])
def test_attention_is_exact_where_its_products_would_saturate(scale: float, heads: int) -> None:
    """Inputs and weights at the ends of their ranges, against the formula in float64."""
    tokens, width = 9, 64
    rng = np.random.default_rng(3)
    given = rng.choice(np.array([0, 128, 255], np.uint8), (1, tokens, width))
    weight = rng.choice(np.array([-127, 0, 127], np.int8), (width, 3 * width))
    levels = {"w": weight, "bias": np.zeros(3 * width, np.float32), "x_scale": np.float32(scale / 127),
              "w_scale": np.full(3 * width, 1 / 127, np.float32), "x_zero": np.uint8(128),
              "w_zero": np.zeros(3 * width, np.int8)}  # fmt: skip
    names = ["x", "w", "bias", "x_scale", "w_scale", "", "x_zero", "w_zero"]
    node = helper.make_node("QAttention", names, ["y"], domain="com.microsoft", num_heads=heads, unidirectional=0)
    graph = helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, given.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, given.shape)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in levels.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=9,
    )
    make_weights_unsigned(graph)
    found = session(graph.SerializeToString()).run(None, {"x": given})[0]
    product = (given[0].astype(float) - 128) @ weight.astype(float) * scale / 127 / 127
    query, key, value = (part.reshape(tokens, heads, -1).transpose(1, 0, 2) for part in np.split(product, 3, axis=1))
    likeness = query @ key.transpose(0, 2, 1) / np.sqrt(width / heads)
    shares = np.exp(likeness - likeness.max(-1, keepdims=True))
    expected = (shares / shares.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(given.shape)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_quantised_graph_holds_no_signed_weights() -> None:
    graph = _graph(RNG.normal(size=(WORDS, CHANNELS)).astype(np.float32))
    quantise(graph, TEXTS[:5])
    kinds = {each.data_type for each in graph.graph.initializer}
    assert TensorProto.INT8 not in kinds
    assert TensorProto.UINT8 in kinds
