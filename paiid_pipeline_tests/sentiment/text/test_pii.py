"""Personal data is masked, and figures, which financial texts are made of, are not."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text import pii
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline.sentiment.text.pii import mask
from paiid_pipeline_tests.sentiment.texts import mixed_texts


@pytest.mark.parametrize(
    ("raw", "masked", "kinds"),
    [
        ("write to john.doe+x@mail.example.co.uk now", "write to [email] now", ("email",)),
        ("call +1 212 555 0147 or (212) 555-0147.", "call [phone] or [phone].", ("phone",)),
        ("212-555-0147, +358-9-123-4567, 020 7946 0958", "[phone], [phone], [phone]", ("phone",)),
        ("card 4111 1111 1111 1111, 4111111111111111", "card [card], [card]", ("card",)),
        ("amex 3782 822463 10005", "amex [card]", ("card",)),
        ("to GB82 WEST 1234 5698 7654 32 today", "to [account] today", ("account",)),
        ("to DE89370400440532013000.", "to [account].", ("account",)),
        ("account number: 123456789 at the bank", "account number: [account] at the bank", ("account",)),
        ("SSN 078-05-1120", "SSN [account]", ("account",)),
        ("thanks @elonmusk and @a_b", "thanks @user and @user", ("handle",)),
        (".@bob via medium.com/@ann", ".@user via medium.com/@user", ("handle",)),
        ("ann(at)mail.example.com, bo [at] mail [dot] org", "[email], [email]", ("email",)),
        ("ann ( AT ) mail.example.com, bo [at ] mail [dot] org", "[email], [email]", ("email",)),
        ("ann@192.0.2.7", "[email]", ("email",)),
        (
            "call me at 555-0143, tel: 2025550143, mobile 040-1234567",
            "call me at [phone], tel: [phone], mobile [phone]",
            ("phone",),
        ),
        ("202 555 0143, 0049 30 9018 2000", "[phone], [phone]", ("phone",)),
        ("4012.8888.8888.1881, 4012–8888–8888–1881, 3056 930902 5904", "[card], [card], [card]", ("card",)),
        ("bank account number is 000123456789", "bank account number is [account]", ("account",)),
        ("my account 12345678; account number 405000", "my account [account]; account number [account]", ("account",)),
        ("call +34 612 345 678; +420 777 123 456", "call [phone]; [phone]", ("phone",)),
        ("@50cent and @9to5mac at @150", "@user and @user at @150", ("handle",)),
        ("account ending 1234567890", "account ending [account]", ("account",)),
    ],
)
def test_each_kind(raw: str, masked: str, kinds: tuple[str, ...]) -> None:
    assert mask(raw) == (masked, kinds)


@pytest.mark.parametrize(
    "text",
    [
        "100 000 000 square meters for EUR 1 500 000",
        "sales of 4111 1111 1111 1112 units",  # no card: the check digit is wrong
        "GB82 WEST 1234 5698 7654 33",  # no account either
        "on 2014-06-09 at 10:30, 1,234,567.89 shares at 12.50-13.75",
        "up +4.5 % and +12 345 678 900.5 million",
        "volume 4111111111111, Q3 2008-2009, ISIN FI0009000681",
        "the account was closed in 2008",
        "sensex@25000 and $TSLA",
        "0.123 456 789",
        "10 000 000 000 and nr 4 000 000 000 000",
        "+12 345 678, 123 456 7890 shares",
        "an account of 1 500 000 euros",
        "1800 1900 2000 2100 jobs",  # the check digit of a card, but no card begins with a 1
        "called 1234567 bonds, call options 1234567",
        "Boeing 737-800, SEC file no. 001-36743, LEI 5493001KJTIIGC8Y1R12, CUSIP 037833100",
        "Bought $AAPL @150.25, sold @95 and @Rs1,200, @1.5k, @USD12",
        "Net sales were +1 234 567 890, compared with +987 654 321",
        "net profit rose by +34 612 345 678, sales by +49 123 456 789 euros, +10 000 000 000 shares",
        "Schwab adds account 405000 this quarter",
        "lost account 1250001, account 1200000 users",
        "mobile 12345678 subscribers",
        "order no. 4500012345, 10.20.30.40, 2014/09/30 16:30:00, Rs 1,00,00,000",
    ],
)
def test_figures_stay(text: str) -> None:
    assert mask(text) == (text, ())


@pytest.mark.parametrize(
    "disguised",
    [
        "j\u043ehn@mail.ex\u200bample.com",
        "john&#64;mail.example.com",
        "4111\u200b1111\u200b1111\u200b1111",
        "\uff14111 1111 1111 1111",
        "<b>4111 1111</b> 1111 1111",
    ],
)
def test_a_disguise_does_not_help(disguised: str) -> None:
    """Masking comes after what could hide the data is undone."""
    assert normalise(f"pay {disguised} now").text in ("pay [email] now", "pay [card] now")


@given(st.integers(0, 10**15 - 1), st.sampled_from(["", " ", "-"]))
def test_every_valid_card_is_masked_and_no_other(body: int, joint: str) -> None:
    digits = f"4{body % 10**14:014d}"
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(digits))
    for check in range(10):
        number = f"{digits}{check}"
        text = "paid by " + joint.join(number[i : i + 4] for i in range(0, 16, 4))
        assert ("[card]" in mask(text)[0]) == ((total + check) % 10 == 0)


_NEAR_NUMBERS = st.lists(
    st.sampled_from(re.findall(r"\S+", "+1 212 (212) 555 0147 00 49 4111 078 05 1234567 account tel: a"))
)


@given(
    mixed_texts | st.tuples(_NEAR_NUMBERS, st.sampled_from([" ", "-", ".", "", ", "])).map(lambda p: p[1].join(p[0]))
)
@example("+49 (30) (901) 820")
@example("+1 (212) 555-0147")
def test_what_is_looked_for_first_is_in_every_number(text: str) -> None:
    """So that no number is missed where it is not found."""
    for pattern, replace, kind in pii._NUMBERS:
        assert pattern.sub(replace, text) == text or pii._NUMBER.search(text), kind


def test_real_headlines_hold_no_cards_or_accounts(data_dir: Path) -> None:
    texts = pl.read_csv(data_dir / "sentiment" / "sentfin_headlines.csv")["text"].to_list()
    assert not [text for text in texts if {"card", "account", "phone"} & set(mask(text)[1])]
