"""The data set of signal models: features as known at each decision, and triple-barrier labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from paiid_pipeline.atomic_files import replacing, write_text
from paiid_pipeline.backtest.prices import PricePanel
from paiid_pipeline.backtest.triple_barrier import LABELS, Barriers, label
from paiid_pipeline.ml.signals.estimators import CLASSES
from paiid_pipeline.schemas import DECISION_KEY
from paiid_pipeline.signals.features import FEATURES, computed, joined

_ORDER = ("as_of", "symbol")
_NEWEST: Final = "newest.json"


@dataclass(frozen=True)
class SignalData:
    """Rows by time and symbol: `schemas.DECISION_KEY`, the features, `labels.LABELS`, none of these null."""

    rows: pl.DataFrame
    features: tuple[str, ...]
    barriers: Barriers
    """Of the labels."""
    sha256: str
    """Of the content, whatever file it lies in."""

    @classmethod
    def of(cls, rows: pl.DataFrame, features: tuple[str, ...], barriers: Barriers) -> SignalData:
        """Sorted rows with their digest."""
        ordered = rows.select(*DECISION_KEY, *features, *LABELS).sort(_ORDER)
        return cls(ordered, features, barriers, digest(ordered))

    def balance(self) -> dict[str, float]:
        """The frequency of each class."""
        classes = self.rows["barrier"] + 1
        return {name: float((classes == place).sum()) / max(classes.len(), 1) for place, name in enumerate(CLASSES)}


def signal_data(
    indicators: pl.DataFrame,
    sentiment: pl.DataFrame,
    grid: PricePanel,
    decision_lag: timedelta,
    barriers: Barriers,
    now: datetime,
    columns: Mapping[str, pl.Expr] = FEATURES,
) -> SignalData:
    """The decisions whose label was known by ``now`` (UTC).

    ``indicators`` and ``sentiment``: as `features` takes them, of one horizon; ``grid``: the bars of its timeframe,
    as known by ``now``. Decisions without volatility, without a later bar, or with an open label are dropped.
    """
    inputs = joined(indicators, sentiment)
    volatility = inputs.select("symbol", "as_of", volatility=pl.col("volatility_20"))
    labelled = label(volatility, grid, decision_lag, barriers).select(LABELS.keys())
    rows = pl.concat([computed(inputs, columns), labelled], how="horizontal")
    known = rows.drop_nulls(list(LABELS)).filter(pl.col("label_end") <= now)
    return SignalData.of(known, tuple(columns), barriers)


def digest(rows: pl.DataFrame) -> str:
    """SHA-256 of the names, types and values of rows, in order."""
    total = hashlib.sha256(repr(list(rows.schema.items())).encode())
    for column in rows:
        total.update(column.is_null().to_numpy().tobytes())
        if column.dtype == pl.String:
            total.update("\x1f".join(each or "" for each in column).encode())
        else:
            total.update(np.ascontiguousarray(column.to_physical().fill_null(0).to_numpy()).tobytes())
    return total.hexdigest()


def save_data(data: SignalData, folder: Path) -> Path:
    """Write ``<sha256>.parquet`` unless it exists, and pin it as the newest."""
    path = folder / f"{data.sha256}.parquet"
    if not path.is_file():
        with replacing(path) as draft:
            data.rows.write_parquet(draft)
    write_text(folder / _NEWEST, json.dumps({"sha256": data.sha256, "barriers": asdict(data.barriers)}))
    return path


def load_data(folder: Path) -> SignalData:
    """The newest data of :func:`save_data`. Raises LookupError where missing, ValueError where modified."""
    again = "materialize signal_dataset again"
    try:
        newest = json.loads((folder / _NEWEST).read_text())
        path = folder / f"{newest['sha256']}.parquet"
        rows = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise LookupError(f"{error.filename or folder} is not there: {again}") from None
    features = tuple(name for name in rows.columns if name not in (*DECISION_KEY, *LABELS))
    data = SignalData.of(rows, features, Barriers(**newest["barriers"]))
    if data.sha256 != newest["sha256"]:
        raise ValueError(f"{path} was changed, its content is now {data.sha256[:12]}…: {again}")
    return data
