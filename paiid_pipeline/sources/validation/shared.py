"""Shared by all kinds of rows: the scope of a request, a validated page, and refusals."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.schemas import BARS, CORPORATE_ACTIONS, NEWS, REFUSALS, DataKind, Schema
from paiid_pipeline.trading_calendar import TradingCalendar

Row = dict[str, Any]

KEYS: Mapping[DataKind, tuple[str, ...]] = {
    "1Min": ("symbol", "bar_start"),
    "1Day": ("symbol", "bar_start"),
    "news": ("article_id", "updated_at"),
    "actions": ("action_id",),
}
"""The key of each kind."""

SCHEMAS: Mapping[DataKind, Schema] = {"1Min": BARS, "1Day": BARS, "news": NEWS, "actions": CORPORATE_ACTIONS}
"""The schema of each kind."""


@dataclass(frozen=True)
class RequestScope:
    """The scope of a request: source, kind, symbols, [start, end) and the moment of the request."""

    source: str
    kind: DataKind
    symbols: frozenset[str]
    start: datetime
    end: datetime
    now: datetime
    calendar: TradingCalendar

    def sessions(self) -> pl.DataFrame:
        """The sessions that may overlap the request."""
        zone, day = self.calendar.timezone, timedelta(days=1)
        last = min(self.end, self.now).astimezone(zone).date() + day
        first = min(self.start.astimezone(zone).date() - day, last)
        return self.calendar.frame(first, last)


@dataclass(frozen=True)
class ValidatedPage:
    """Valid rows of the schema, refusals, and the number of bars that had not ended."""

    rows: pl.DataFrame
    refusals: pl.DataFrame
    in_progress: int = 0


class RefusedError(Exception):
    """An invalid row, with the reason in snake_case."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def collapse(pages: Sequence[ValidatedPage], scope: RequestScope) -> ValidatedPage:
    """All pages of one query, in order of delivery, as one: unique keys, sorted by key."""
    frames = [page.rows for page in pages] or [pl.DataFrame(schema=SCHEMAS[scope.kind])]
    refused = [page.refusals for page in pages] or [pl.DataFrame(schema=REFUSALS)]
    rows, key = pl.concat(frames), list(KEYS[scope.kind])
    in_progress = sum(page.in_progress for page in pages)
    if rows.select(pl.struct(key).n_unique()).item() == rows.height:
        return ValidatedPage(rows.sort(key), pl.concat(refused), in_progress)
    once = rows.unique(maintain_order=True)
    if once.height < rows.height:
        refused.append(_copies(rows, scope))
    kept = once.unique(subset=key, keep="last", maintain_order=True)
    if kept.height < once.height:
        earlier = once.filter(pl.struct(key).is_duplicated()).join(kept, on=once.columns, how="anti", nulls_equal=True)
        payloads = [json.loads(text) for text in earlier.select(_json_of(earlier)).to_series()]
        refused.append(refusals(scope.source, [("conflicting_duplicate", payload) for payload in payloads]))
    return ValidatedPage(kept.sort(key), pl.concat(refused), in_progress)


def refusal(source: str, reason: str, payload: object) -> pl.DataFrame:
    """One refusal as a frame."""
    return refusals(source, [(reason, payload)])


def as_json(payload: object) -> str:
    """ASCII JSON text: U+0000 and lone surrogates as escapes, NaN and infinities as the strings of their names."""
    try:
        return json.dumps(payload, allow_nan=False)
    except ValueError:
        return json.dumps(_spell_out(payload), allow_nan=False)


def refusals(source: str, refused: Sequence[tuple[str, object]]) -> pl.DataFrame:
    """`schemas.REFUSALS` of (reason, payload)."""
    rows = [(source, reason, as_json(payload)) for reason, payload in refused]
    return pl.DataFrame(rows, schema=REFUSALS, orient="row")


def clean(text: str) -> str:
    """The text with U+FFFD for what no database takes: U+0000 and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def identifier(vendor_id: object, publisher: str, content: list[str]) -> str:
    """The publisher and the vendor's id, or, where it gives none, a hash of the content."""
    if vendor_id is None or vendor_id == "":
        return f"sha256:{digest([publisher, *content])}"
    if isinstance(vendor_id, bool) or not isinstance(vendor_id, int | str):
        raise RefusedError("bad_type")
    return f"{publisher}:{clean(str(vendor_id))}"


def digest(content: list[Any]) -> str:
    """SHA-256 of the content as compact JSON, in hex."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _spell_out(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _spell_out(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spell_out(inner) for inner in value]
    return value


def _copies(rows: pl.DataFrame, scope: RequestScope) -> pl.DataFrame:
    what = {"news": "article", "actions": "action"}.get(scope.kind, "bar")
    key = KEYS[scope.kind]
    counts = rows.filter(rows.is_duplicated()).group_by(key, maintain_order=True).len("copies")
    by = pl.lit(scope.kind) if key[0] != "symbol" else pl.col("symbol")
    found = counts.group_by(by.alias("of"), maintain_order=True).agg(pl.struct(*key, "copies").alias("rows"))
    texts = found.select(pl.struct(pl.lit(scope.kind).alias("kind"), "rows").struct.json_encode()).to_series()
    return refusals(scope.source, [(f"duplicate_{what}", json.loads(text)) for text in texts])


def _json_of(frame: pl.DataFrame) -> pl.Expr:
    return pl.struct(frame.columns).struct.json_encode()
