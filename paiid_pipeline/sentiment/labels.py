"""The three classes in one order, mapped by name from any model or data set.

Orders differ: finbert-tone has neutral, positive, negative; ProsusAI's positive, negative, neutral; the Twitter set
numbers bearish 0, bullish 1, neutral 2. Only names are trusted, never positions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, get_args

Label = Literal["negative", "neutral", "positive"]

LABELS: Final[tuple[Label, ...]] = get_args(Label)
"""The order of every probability in this package."""

INDEX: Final[Mapping[Label, int]] = {label: place for place, label in enumerate(LABELS)}

_NAMES: Final[Mapping[str, Label]] = {
    "negative": "negative", "neg": "negative", "bearish": "negative", "bad": "negative",
    "neutral": "neutral", "neu": "neutral", "none": "neutral",
    "positive": "positive", "pos": "positive", "bullish": "positive", "good": "positive",
}  # fmt: skip

_NAMELESS = re.compile(r"(label|class)?[_ -]?\d+", re.IGNORECASE)


def to_label(name: str) -> Label:
    """The label of a name in any case: negative | bearish, neutral, positive | bullish and further synonyms.

    Raises ValueError, naming the value and the remedy, for a number (``2``, ``LABEL_2``), whose meaning
    differs from one source to the next, and for any other word.
    """
    known = _NAMES.get(name.strip().lower())
    if known is not None:
        return known
    if _NAMELESS.fullmatch(name.strip()):
        raise ValueError(f"label {name!r} is a number, not a name: name it negative, neutral or positive (id2label)")
    raise ValueError(f"unknown label {name!r}: expected one of {', '.join(sorted(_NAMES))}")


def columns_of(id2label: Mapping[int, str] | Mapping[str, str]) -> tuple[int, int, int]:
    """The output columns of negative, neutral and positive, from the ``id2label`` of a model's configuration.

    ``probabilities[:, columns_of(id2label)]`` is in the order of :data:`LABELS`. Raises ValueError, with the
    remedy, where a name is missing, double or a number, or the places are not 0, 1 and 2.
    """
    try:
        places = {to_label(name): int(place) for place, name in id2label.items()}
    except ValueError as error:
        raise ValueError(
            f"the model's labels {list(id2label.values())} cannot be mapped by name ({error}): set id2label in its "
            'config.json to that of its model card, such as {"0": "neutral", "1": "positive", "2": "negative"}'
        ) from None
    if len(id2label) != len(LABELS) or sorted(places.values()) != [0, 1, 2]:
        raise ValueError(
            f"the model's labels {dict(id2label)} are not negative, neutral and positive, once each, at 0, 1 and 2: "
            "take a three-class sentiment model, or correct id2label in its config.json"
        )
    return places["negative"], places["neutral"], places["positive"]
