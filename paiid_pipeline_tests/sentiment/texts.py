"""Texts to try the way of a text with: of clean words and of everything that has to be undone, and the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

_CLEAN = re.findall(
    r"\S+", "Net profit rose to EUR 5.3 mn in 2008 , up on a year ago. I said Nokia Oyj's der die und is it"
)
_DISGUISED = [
    "pr0f1t l0ss fr@ud lo$$ col1apse 10ss B2B G20 A380 porfit Fruad proooofit saless lsos pro.fit pro_fit sa*les",
    "s.h.a.m.e n_e-t.s U.S.S.R. I/B/E/S p\u200brofit \u202etiforp\u202c pro\u00adfit р\u0430ofit ΑΒΓ ｆｕｌｌ ⓝⓔⓣ 🅟ro",
    "é Nestlé p\u0302\u0303rofit Ørsted ᴘʀᴏꜰɪᴛ Ꮲrofit ﬁ … ’ – прибыль 株価 🚀 🔥\ufe0f \u200d \ufeff \x00 \x85 \u2028",
    "https://t.co/x?y=1 www.a.com/b bit.ly/x ftp://a.b/c and/or 24/7 <b> </b> <p> <script> </script> <!-- --> < & AT&T",
    "&amp; &#112; &#x70; &amp;#112; $TSLA $5 @ @bob ann@mail.example.com ann@192.0.2.7 ann(at)mail.example.com #tag",
    "oper ating fra udis ed t hat a long A I x S",
]
_SPACED = [
    "f r a u d",
    "n  e  t",
    "a b c d e f g h",
    "s a i d",
    "profitise d",
    "p rofitised",
    "ann [at] mail [dot] org",
    "+1 212 555 0147",
    "(212) 555-0147",
    "00 49 30 9018 2000",
    "tel: 2025550143",
    "4111 1111 1111 1111",
    "GB82 WEST 1234 5698 7654 32",
    "account no. 123456789",
    "078-05-1120",
    "100 000 000",
]
_ODD = [*" ".join(_DISGUISED).split(" "), *_SPACED]
_PIECES = st.sampled_from(_CLEAN) | st.sampled_from(_ODD)
_JOINTS = st.sampled_from([" "] * 6 + ["", "  ", "\n", "\t", "\u00a0", ".", ", "])

mixed_texts = st.lists(st.tuples(_PIECES, _JOINTS), max_size=14).map(lambda parts: "".join(map("".join, parts)))
"""Clean words, disguised ones, personal data, markup and hidden characters in any company; empty, or only spaces."""

SPARSE_TEXTS = [text for odd in _ODD for text in (odd, f"up {odd}", f"shares rose {odd} on the year", f"({odd}) rose")]
"""Each thing that has to be undone where nothing else has to, so that it cannot be found by way of another."""


def real_texts(data_dir: Path) -> list[str]:
    """All texts of the labelled sources, each once."""
    files = sorted((data_dir / "sentiment").glob("*.csv"))
    return (
        pl.concat([pl.read_csv(path, infer_schema=False).select("text") for path in files])["text"].unique().to_list()
    )
