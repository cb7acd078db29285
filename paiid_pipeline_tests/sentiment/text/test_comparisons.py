"""Figures that a text compares are compared in words; nothing else of it is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text.comparisons import compare_figures

WORDS = ("higher", "lower", "larger", "smaller", "unchanged")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EPS stood at EUR 0.07 versus EUR 0.11 .", "EPS stood at EUR 0.07 lower versus EUR 0.11 ."),
        ("EPS stood at EUR0 .12 vs. EUR0 .11 .", "EPS stood at EUR0 .12 higher vs. EUR0 .11 ."),
        ("Margin was 8.3 %, compared to 11.8 % in 2008", "Margin was 8.3 %, lower compared to 11.8 % in 2008"),
        ("Sales were $1.2 billion against $900 million", "Sales were $1.2 billion higher against $900 million"),
        ("Sales of EUR415,000, down from EUR7.4 m", "Sales of EUR415,000, lower down from EUR7.4 m"),
        ("Earned $1.64 a share, up from $1.40", "Earned $1.64 a share, higher up from $1.40"),
        ("Raised to $41 from $33 at Instinet", "Raised to $41 higher from $33 at Instinet"),
        ("Cut from $33 to about $28 by Cowen", "Cut from $33 lower to about $28 by Cowen"),
        ("Profit was EUR 21.1 mn ( 18.6 )", "Profit was EUR 21.1 mn higher ( 18.6 )"),
        ("Profit was EUR 21.1 mn (EUR 18.6 mn) in Q1", "Profit was EUR 21.1 mn higher (EUR 18.6 mn) in Q1"),
        ("Payrolls 125K vs 153K consensus", "Payrolls 125K lower vs 153K consensus"),
        ("Q4 EPS $1.10, consensus $1.05", "Q4 EPS $1.10, higher consensus $1.05"),
        ("Sales $18.67 bln vs. $18.67 bln", "Sales $18.67 bln unchanged vs. $18.67 bln"),
        ("Q4 EPS $(0.12) vs. $(0.09)", "Q4 EPS $(0.12) lower vs. $(0.09)"),
        ("ROI was negative 2.3 % compared to 11.3 %", "ROI was negative 2.3 % lower compared to 11.3 %"),
        ("3.5 mln euro ( $ 5.1 mln ) from 2.3 mln euro", "3.5 mln euro ( $ 5.1 mln ) higher from 2.3 mln euro"),
        ("Loss of EUR 5 mn, compared to a loss of EUR 3 mn", "Loss of EUR 5 mn, larger compared to a loss of EUR 3 mn"),
        ("Net loss shrank to EUR 1.2 mn from EUR 5.9 mn", "Net loss shrank to EUR 1.2 mn smaller from EUR 5.9 mn"),
        ("Q3 sales $10.4 bln vs. $9.8 bln a year ago; FactSet consensus $10.3 bln",
         "Q3 sales $10.4 bln higher vs. $9.8 bln a year ago; FactSet consensus $10.3 bln"),
        ("Now +1 765 432 100, compared with +876 543 210", "Now +1 765 432 100, higher compared with +876 543 210"),
        ("EUR 2 345.6 mn (EUR 987.6 mn)", "EUR 2 345.6 mn higher (EUR 987.6 mn)"),
        ("17 500 units vs 9\u00a0800 units", "17 500 units higher vs 9\u00a0800 units"),
        ("Rs 7,50,000 against Rs 12,00,000", "Rs 7,50,000 lower against Rs 12,00,000"),
        ("Profit Dh6bn against Dh4.5bn", "Profit Dh6bn higher against Dh4.5bn"),
        ("S$5.2m vs S$6.1m", "S$5.2m lower vs S$6.1m"),
        ("Rs700cr vs Rs 9,000 lakh", "Rs700cr higher vs Rs 9,000 lakh"),
        ("Rs 2 lakh crore vs Rs 90,000 crore", "Rs 2 lakh crore higher vs Rs 90,000 crore"),
        ("from RM4bn to RM3.5bn", "from RM4bn lower to RM3.5bn"),
    ],
)  # fmt: skip
def test_compared_figures_are_put_in_words(text: str, expected: str) -> None:
    assert compare_figures(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "A profit of EUR 1.2 mn, compared to a loss of EUR 3.4 mn",
        "Sales grew by 33 % from the third quarter of 2008 to EUR 130.5 mn",
        "Profit of EUR 7.2 mn (USD 9.4 mn)",
        "The period from 2005 to 2008",
        "Shares gained 4 percent against the dollar at 1.31",
        "Sales of EUR 2.3 bn or EUR 0.94 a share",
        "Up 14% from the day's low even as profit sinks 89%",
        "EUR 603 mn compared with EUR 0.33 per share",
        "Sales rose 5 %. From 3 % of them came profit",
        "about 30 pct of calls are made from the home, and 15 pct of clients will sign up",
        "Stock Exchange release 28.02.2008 at 09.30 1 (1)",
        "Call +358 40 123 from 9 to 5",
        "S$5.2m vs US$4.1m",
        "Profit of XY$5.2m vs 4.1m",
        "3.456.789 vs 987.654",
        "3'456'789 vs 987'654",
        "Dh5bn against Rs 4bn",
        "Sold 5 lakh shares at Rs 450 against Rs 3 crore",
        "",
        "from",
        "vs.",
    ],
)
def test_what_is_not_compared_is_left_alone(text: str) -> None:
    assert compare_figures(text) == text


PIECES = st.sampled_from(
    ["EUR 5.2 mn", "$1,200", "8 %", "2008", "12", "(", ")", "vs", "compared to", "from", "to", "a loss of", "profit",
     ",", ".", "consensus", "sales", "-0.5", "$(0.1)", "£", "e", "\u20ac3", "5.", "against", "negative 3 pct", ";"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map(" ".join) | st.text(max_size=80))
def test_only_words_of_comparison_are_ever_added(text: str) -> None:
    """Take the added words out again, and the text is what it was, whatever it was."""
    compared = compare_figures(text)
    rest, place = [], 0
    for word in compared.split(" "):
        if word in WORDS and not text[place:].startswith(word):
            continue
        rest.append(word)
        place += len(word) + 1
    assert " ".join(rest) == text


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_word_is_the_order_of_the_figures(now: int, then: int) -> None:
    compared = compare_figures(f"a margin of {now / 100} % vs. {then / 100} %")
    assert compared.split()[5] == ("unchanged" if now == then else "higher" if now > then else "lower")
