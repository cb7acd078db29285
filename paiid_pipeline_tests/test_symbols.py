"""One spelling of a symbol, whoever wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.symbols import canonical_symbol, is_canonical, read_symbol


@pytest.mark.parametrize(
    "written",
    ["BRK.B", "BRK/B", "BRK-B", " brk.b ", "NYSE:BRK.B", "$BRK.B", "$brk/b", "nyse: brk-b", "BRK\u2011B", "\uff22RK.B"],
)
def test_a_class_share_is_one_symbol(written: str) -> None:
    assert canonical_symbol(written) == "BRK.B"


@pytest.mark.parametrize("written", ["AAPL", "aapl", "NASDAQ:AAPL", "$AAPL", " Aapl\n", "\u200bAAPL", "XNAS:$aapl"])
def test_a_plain_ticker_is_one_symbol(written: str) -> None:
    assert canonical_symbol(written) == "AAPL"


@pytest.mark.parametrize(
    "written", ["", "$", "BRK B", "AAPL:US", "FOO:BAR", "BRK..B", ".B", "A" * 16, "NYSE:", "A,B", "7\u20ac"]
)
def test_what_may_mean_anything_is_named(written: str) -> None:
    with pytest.raises(ValueError, match="is not a symbol") as error:
        canonical_symbol(written)
    assert repr(written) in str(error.value)


@given(
    st.from_regex(r"[A-Z0-9]{1,5}([./-][A-Z]{1,2})?", fullmatch=True), st.sampled_from(["{}", "${}", "NYSE:{}", " {} "])
)
def test_spelling_is_done_once(symbol: str, form: str) -> None:
    spelled = canonical_symbol(form.format(symbol.lower()))
    assert canonical_symbol(spelled) == spelled == read_symbol(symbol)
    assert is_canonical(spelled)
