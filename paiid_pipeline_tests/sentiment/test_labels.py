"""Labels go by their names: the orders of real models are mapped, numbers are refused with the remedy."""

from __future__ import annotations

import numpy as np
import pytest

from paiid_pipeline.sentiment.labels import LABELS, columns_of, to_label

ORDERS = {
    "finbert-tone": {0: "Neutral", 1: "Positive", 2: "Negative"},
    "ProsusAI": {0: "positive", 1: "negative", 2: "neutral"},
    "twitter": {0: "Bearish", 1: "Bullish", 2: "Neutral"},
    "as read from JSON": {"2": "positive", "0": "negative", "1": "neutral"},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_outputs_of_known_models_come_out_in_our_order(order: dict[int, str]) -> None:
    outputs = np.array([[0.1, 0.2, 0.7]])
    ours = outputs[:, columns_of(order)][0]
    for place, name in order.items():
        assert ours[LABELS.index(to_label(name))] == outputs[0, int(place)]


@pytest.mark.parametrize("name", ["LABEL_0", "label_2", "1", "class 2"])
def test_a_number_for_a_label_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(ValueError, match=r"id2label.*config\.json"):
        columns_of({0: name, 1: "positive", 2: "negative"})
    with pytest.raises(ValueError, match="name it negative, neutral or positive"):
        to_label(name)


@pytest.mark.parametrize(
    "order", [{0: "positive", 1: "negative"}, {0: "positive", 1: "pos", 2: "neutral"}, {1: "neg", 2: "neu", 3: "pos"}]
)
def test_a_model_without_our_three_classes_is_refused(order: dict[int, str]) -> None:
    with pytest.raises(ValueError, match="three-class sentiment model"):
        columns_of(order)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="'sideways': expected one of bad, bearish"):
        to_label("sideways")
