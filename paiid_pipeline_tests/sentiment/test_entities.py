"""Whom a text is read for: names found with their boundaries and case, and the clause that speaks of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.entities import read_for
from paiid_pipeline.sentiment.members import Reading
from paiid_pipeline.sentiment.normalise import normalise
from paiid_pipeline.sentiment.vader import Vader

NAMES = {"AAPL": ["Apple"], "NOK": ["Nokia", "Nokia Oyj"], "V": ["Visa"], "GOOG": ["Google"]}


@pytest.mark.parametrize(
    ("text", "symbol", "entity", "clause"),
    [
        ("Gold shines; Apple falls", "AAPL", "Apple", "Apple falls"),
        ("Apple rises, but Nokia Oyj slumps on weak demand", "NOK", "Nokia Oyj", "Nokia Oyj slumps on weak demand"),
        ("Apple rises while Nokia slumps", "AAPL", "Apple", "Apple rises"),
        ("Profit fell. Apple beat Nokia. All is well", "NOK", "Nokia", "Apple beat Nokia."),
        ("$NOK up, $AAPL down", "AAPL", "AAPL", "$AAPL down"),
        ("NOK sold 1,200 units: strong", "NOK", "NOK", "NOK sold 1,200 units"),
        ("Pineapple Apples apple", "AAPL", None, None),
        ("Visas are sold by Visa", "V", "Visa", "Visas are sold by Visa"),
        ("nothing of the kind", "AAPL", None, None),
        ("Apple", None, None, None),
        ("", "AAPL", None, None),
    ],
)
def test_each_case(text: str, symbol: str | None, entity: str | None, clause: str | None) -> None:
    assert read_for(text, symbol, NAMES) == Reading(text, entity, clause)


@given(st.text(alphabet="aN okiA.,;:-&$ but while\n", max_size=80), st.sampled_from(["Nokia", "NOK", "$NOK"]))
def test_a_clause_is_a_part_of_the_text_that_holds_the_name(filler: str, name: str) -> None:
    text = f"{filler} {name} {filler}"
    reading = read_for(text, "NOK", NAMES)
    assert reading.entity is not None
    assert reading.clause is not None
    assert reading.clause in text
    assert reading.entity in reading.clause


def test_clauses_are_better_than_headlines_for_a_member_that_knows_no_entities(data_dir: Path) -> None:
    """Headlines that are good for one firm and bad for another: the class by the sign of VADER's score."""
    rows = pl.read_csv(data_dir / "sentiment" / "sentfin_entities.csv", infer_schema=False)
    rows = rows.filter(pl.col("conflict").str.to_lowercase() == "true")
    texts = [normalise(text).text for text in rows["text"]]
    truth = [{"negative": -1, "neutral": 0, "positive": 1}[label] for label in rows["label"]]

    def right(readings: list[Reading]) -> float:
        scores = [opinion.score for opinion in Vader().score(readings)]
        return sum((s > 0) - (s < 0) == wanted for s, wanted in zip(scores, truth, strict=True)) / len(truth)

    by_clause = right([read_for(text, name, {}) for text, name in zip(texts, rows["entity"], strict=True)])
    assert by_clause > right([Reading(text) for text in texts]) + 0.03
