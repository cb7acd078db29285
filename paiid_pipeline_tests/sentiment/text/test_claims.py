"""Near copies that say the opposite are told apart by their claims, and additions are not taken for an opposite."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text.claims import claims_of, read_claims
from paiid_pipeline.sentiment.text.near_duplicates import are_similar, near_duplicates, signature

BODY = (
    "The company reported quarterly results before the market opened and issued guidance for the current quarter;"
    " analysts at several brokerages updated their price targets after the earnings call with management. Here is what"
    " investors need to know about the move and what to expect from the stock in the coming days of trading."
)


def signed(headline: str, body: str = BODY) -> str:
    return signature(headline, f"{headline} {body}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Northfield shares are trading higher", "Northfield shares are trading lower"),
        ("Northfield rises 5%", "Northfield falls 5%"),
        ("Northfield rises 5%", "Northfield rises 7%"),
        ("Northfield beats estimates", "Northfield misses estimates"),
        ("Northfield expects growth", "Northfield does not expect growth"),
        ("Northfield will sell its unit", "Northfield won't sell its unit"),
        ("Northfield sees a crisis", "Northfield sees no crisis"),
        ("Northfield settles lawsuit", "Northfield fails to settle lawsuit"),
        ("Northfield is likely to win the order", "Northfield is unlikely to win the order"),
        ("Regulator approves Northfield's drug", "Regulator rejects Northfield's drug"),
        ("Northfield reports net profit of $1.2 billion", "Northfield reports net loss of $1.2 billion"),
        ("Broker upgrades Northfield to Buy", "Broker downgrades Northfield to Sell"),
        ("Northfield raises dividend", "Northfield cuts dividend"),
        ("Northfield confirms merger talks", "Northfield denies merger talks"),
        ("Northfield to hire 500 workers", "Northfield to fire 500 workers"),
        ("Northfield wins patent case against Hartwell", "Hartwell wins patent case against Northfield"),
        ("Northfield goes from Hold to Buy at the bank", "Northfield goes from Buy to Hold at the bank"),
    ],
)
def test_near_copies_that_say_the_opposite_are_two_stories(one: str, other: str) -> None:
    assert are_similar(signed(one), signed(other))
    assert near_duplicates([signed(one), signed(other)]) == []
    assert near_duplicates([signed(one), signed(one, BODY + " More follows.")]) == [(1, 0)]


@pytest.mark.parametrize(
    ("headline", "body"),
    [
        ("Northfield beats estimates - MarketWatch", BODY),
        ("Northfield tops estimates", BODY),
        ("NORTHFIELD BEATS ESTIMATES", BODY),
        ("Northfield beats estimates", BODY + " Not everyone was happy, said one of them on the day after."),
        ("Northfield beats estimates", BODY + " The shares closed at 130.25 in New York."),
        ("Northfield beats estimates", BODY + " They fell a little after."),
    ],
)
def test_additions_and_other_words_for_the_same_make_no_other_story(headline: str, body: str) -> None:
    assert near_duplicates([signed("Northfield beats estimates"), signed(headline, body)]) == [(1, 0)]


@given(st.text(max_size=300), st.text(max_size=60))
def test_claims_are_read_as_they_were_written(text: str, headline: str) -> None:
    claims = claims_of(headline, f"{headline} {text}")
    assert read_claims(str(claims)) == claims
    assert not claims.contradict(claims)
