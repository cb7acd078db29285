"""A product in int8 stays near the float one, also where some channels are far above the rest."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paiid_pipeline.models import quantisation
from paiid_pipeline.models.quantisation import quantise
from paiid_pipeline.models.runtime import INPUTS, inputs, session

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
