"""The canonical spelling of symbols, used everywhere inside.

Capitals, and a dot before the class of a share: ``BRK.B`` for BRK/B, BRK-B, $brk.b and NYSE:BRK.B. What a vendor calls
it is an attribute of the vendor (`sources.base.Vendor.separator`).
"""

from __future__ import annotations

import re
import unicodedata

_EXCHANGES = {
    "NASDAQ", "NASDAQGS", "NASDAQGM", "NASDAQCM", "NYSE", "NYSEARCA", "NYSEAMERICAN", "NYSEMKT", "ARCA", "AMEX", "BATS",
    "CBOE", "IEX", "OTC", "OTCMKTS", "OTCQB", "OTCQX", "PINK", "XNAS", "XNYS", "ARCX", "XASE", "TSX", "TSXV", "LSE",
    "US",
}  # fmt: skip
_SEPARATORS = re.compile(r"[./\-\u2010-\u2015\u2212\u2044]")
_CANONICAL = re.compile(r"[A-Z0-9]+(\.[A-Z0-9]+)*")
_LONGEST = 15


def canonical_symbol(text: str) -> str:
    """The one spelling of a symbol: without space around it, cashtag and exchange, in capitals, with dots.

    Raises ValueError naming the text and the remedy for what may mean anything or nothing.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").strip().upper()
    exchange, colon, rest = plain.rpartition(":")
    if colon and re.sub(r"[ _.\-]", "", exchange.removeprefix("$")) not in _EXCHANGES:
        raise ValueError(
            f"{text!r} is not a symbol: {exchange!r} is no exchange that is known; write NYSE:BRK.B or BRK.B"
        )
    symbol = _SEPARATORS.sub(".", rest.strip().removeprefix("$"))
    if not is_canonical(symbol):
        raise ValueError(f"{text!r} is not a symbol: write letters and digits, as in AAPL, and classes as in BRK.B")
    return symbol


def is_canonical(symbol: str) -> bool:
    """Whether a text is a symbol as :func:`canonical_symbol` spells it."""
    return len(symbol) <= _LONGEST and _CANONICAL.fullmatch(symbol) is not None


def read_symbol(text: str) -> str:
    """:func:`canonical_symbol`, or, where there is none, the text in capitals, which matches no symbol."""
    try:
        return canonical_symbol(text)
    except ValueError:
        return text.strip().upper()
