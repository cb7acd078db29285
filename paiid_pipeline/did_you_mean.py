"""The suggestion in an error about an unknown word."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

_LISTED = 40


def did_you_mean(
    word: str,
    known: Iterable[str],
    *,
    otherwise: str | None = None,
    cutoff: float = 0.6,
    show: Callable[[str], str] = repr,
) -> str:
    """``did you mean 'AAPL'?`` for the known word most like ``word``.

    Where none has a similarity (`difflib`, 0 to 1) of at least ``cutoff``: ``otherwise``, by default the known words.
    """
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=cutoff)
    if close:
        return f"did you mean {show(close[0])}?"
    return f"known are {', '.join(words[:_LISTED])}" if otherwise is None else otherwise
