"""The actions that a factor file tells of: the truth for the real bars."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from paiid_pipeline.schemas import CORPORATE_ACTIONS


def actions_of(folder: Path, symbol: str) -> pl.DataFrame:
    """`schemas.CORPORATE_ACTIONS` of one symbol.

    A row holds up to and including its date, so what changes after it applies from the next.
    """
    rows = pl.read_csv(
        folder / f"{symbol.lower()}.csv", has_header=False, new_columns=["day", "price", "split", "close"]
    )
    made = []
    for old, new in zip(rows.rows(), rows.rows()[1:], strict=False):
        at = datetime.strptime(str(old[0]), "%Y%m%d").replace(tzinfo=ZoneInfo("America/New_York")) + timedelta(days=1)
        if old[2] != new[2]:
            made.append(("split", at, round(new[2] / old[2], 4), None))
        if old[1] != new[1]:
            made.append(("cash_dividend", at, None, (1 - old[1] / new[1]) * old[3]))
    whole = [
        (f"{symbol}{i}", symbol, kind, at.date(), at, ratio, amount, "test")
        for i, (kind, at, ratio, amount) in enumerate(made)
    ]
    return pl.DataFrame(whole, schema=CORPORATE_ACTIONS, orient="row")
