"""Vendor rows in; rows under the contract and refusals out. Pure: frames and records, no network and no clock.

Every row that came is found again in one of three places: in the good rows, in the refusals (with its reason and
the whole of it as JSON text) or, for a bar that has not ended, in the count ``in_progress``.

Reasons for bars: ``missing_field``, ``bad_type``, ``bad_timestamp``, ``not_finite``, ``non_positive_price``,
``negative_volume``, ``high_below_low``, ``open_or_close_outside_range`` (beyond a relative 1e-6, which rounding
of adjusted prices makes), ``misaligned_timestamp``, ``outside_request``, ``future_timestamp``, ``outside_session``,
``unrequested_symbol``. Of identical duplicates one is kept, and one ``duplicate_bar`` a symbol lists the rest; of
conflicting ones the last delivered is kept, the earlier are refused as ``conflicting_duplicate``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import polars as pl

from paiid_pipeline.contracts import BARS, CORPORATE_ACTIONS, MOMENT, NEWS, REFUSALS
from paiid_pipeline.universe import TradingCalendar

Kind = Literal["1Min", "1Day", "news", "actions"]
Schema = Mapping[str, pl.DataType | type[pl.DataType]]
Row = dict[str, Any]

HEADLINE_LIMIT = 64 * 1024
SUMMARY_LIMIT = 1024 * 1024
_ROUNDING = 1e-6
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Asked:
    """What was asked of whom, and when: the yardstick for what comes."""

    source: str
    kind: Kind
    symbols: frozenset[str]
    start: datetime
    end: datetime
    now: datetime
    calendar: TradingCalendar

    def sessions(self) -> pl.DataFrame:
        """The sessions that may hold what was asked for."""
        zone, day = self.calendar.timezone, timedelta(days=1)
        last = min(self.end, self.now).astimezone(zone).date() + day
        first = min(self.start.astimezone(zone).date() - day, last)
        return self.calendar.frame(first, last)


@dataclass(frozen=True)
class Checked:
    """Good rows under the contract's schema, refusals, and how many bars had not ended."""

    rows: pl.DataFrame
    refusals: pl.DataFrame
    in_progress: int = 0


@dataclass(frozen=True)
class BarShape:
    """A vendor's names for a bar's fields, and how its start becomes a moment.

    Optional fields are None where the vendor has no such field.
    """

    start: str
    start_type: type
    moment: Callable[[pl.Expr, TradingCalendar], pl.Expr]
    open: str
    high: str
    low: str
    close: str
    volume: str
    vwap: str | None
    trade_count: str | None


def refusal(source: str, reason: str, payload: object) -> pl.DataFrame:
    """One refused thing as a frame."""
    return _refusals(source, [(reason, payload)])


def as_json(payload: object) -> str:
    """ASCII JSON text: U+0000 and lone surrogates as escapes, NaN and infinities as the strings of their names."""
    try:
        return json.dumps(payload, allow_nan=False)
    except ValueError:
        return json.dumps(_spell_out(payload), allow_nan=False)


def check_bars(delivered: Mapping[str, object], shape: BarShape, asked: Asked, sessions: pl.DataFrame) -> Checked:
    """One page of bars, by symbol. ``sessions`` is ``asked.sessions()``."""
    symbols, rows, refused = _flatten(delivered, asked)
    frame, complaints = _bar_columns(symbols, rows, shape)
    frame = frame.with_columns(shape.moment(pl.col("start"), asked.calendar).alias("bar_start"))
    timed = _with_session(frame, asked, sessions)
    judged = timed.with_columns(_bar_reason(asked).alias("reason"))
    bad = judged.filter(pl.col("reason").is_not_null())
    for index, reason in zip(bad["index"], bad["reason"], strict=True):
        refused.append((complaints.get(index, reason), {"symbol": symbols[index], **rows[index]}))
    fair = judged.filter(pl.col("reason").is_null())
    ended = fair.filter(pl.col("bar_end") <= asked.now)
    good = ended.with_columns(
        timeframe=pl.lit(asked.kind),
        source=pl.lit(asked.source),
        vwap=pl.when(pl.col("vwap") > 0).then(pl.col("vwap")),
    ).select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
    return Checked(good, _refusals(asked.source, refused), fair.height - ended.height)


def check_news(articles: Sequence[object], asked: Asked) -> Checked:
    """One page of articles in Alpaca's shape.

    Reasons: ``bad_type``, ``missing_field``, ``empty_headline``, ``headline_too_long`` (over 64 KiB),
    ``summary_too_long`` (over 1 MiB), ``bad_timestamp``, ``updated_before_created``, ``future_timestamp``,
    ``outside_request``, ``unrequested_symbol``. U+0000 and lone surrogates, which no database takes, become U+FFFD;
    the article is kept and its original is filed beside it as ``characters_replaced``.
    """
    good: list[Row] = []
    refused: list[tuple[str, object]] = []
    for article in articles:
        try:
            row = _article(article, asked)
        except _RefusedError as why:
            refused.append((why.reason, article))
            continue
        good.append(row)
        if isinstance(article, dict) and any(_clean(t) != t for t in _texts(article)):
            refused.append(("characters_replaced", article))
    return Checked(pl.DataFrame(good, schema=NEWS, orient="row"), _refusals(asked.source, refused))


def check_actions(actions: Mapping[str, object], asked: Asked) -> Checked:
    """One page of corporate actions in Alpaca's shape: lists by kind.

    Splits and stock dividends carry a ratio (new shares per old one), cash dividends an amount (per old share);
    all other kinds are kept under the vendor's singular name with neither. An action announced after its ex-date is
    in range by its process date. Reasons: ``bad_type``,
    ``missing_field``, ``bad_timestamp``, ``not_finite``, ``non_positive_rate``, ``unit_ratio`` (a split of 1:1),
    ``outside_request``, ``unrequested_symbol``.
    """
    good: list[Row] = []
    refused: list[tuple[str, object]] = []
    for kind, listed in actions.items():
        if not isinstance(listed, list):
            refused.append(("bad_type", {"kind": kind, "rows": listed}))
            continue
        for action in listed:
            try:
                good.extend(_action(kind, action, asked))
            except _RefusedError as why:
                refused.append((why.reason, {"kind": kind, "row": action}))
    return Checked(pl.DataFrame(good, schema=CORPORATE_ACTIONS, orient="row"), _refusals(asked.source, refused))


KEYS: Mapping[Kind, tuple[str, ...]] = {
    "1Min": ("symbol", "bar_start"),
    "1Day": ("symbol", "bar_start"),
    "news": ("article_id", "updated_at"),
    "actions": ("action_id",),
}
"""What makes a row of each kind the same row."""


def collapse(pages: Sequence[Checked], asked: Asked) -> Checked:
    """All pages of one query, in the order of delivery, as one: no key twice, sorted by key."""
    frames = [page.rows for page in pages] or [pl.DataFrame(schema=SCHEMAS[asked.kind])]
    refusals = [page.refusals for page in pages] or [pl.DataFrame(schema=REFUSALS)]
    rows, key = pl.concat(frames), list(KEYS[asked.kind])
    in_progress = sum(page.in_progress for page in pages)
    if rows.select(pl.struct(key).n_unique()).item() == rows.height:
        return Checked(rows.sort(key), pl.concat(refusals), in_progress)
    once = rows.unique(maintain_order=True)
    if once.height < rows.height:
        refusals.append(_copies(rows, asked))
    kept = once.unique(subset=key, keep="last", maintain_order=True)
    if kept.height < once.height:
        earlier = once.filter(pl.struct(key).is_duplicated()).join(kept, on=once.columns, how="anti", nulls_equal=True)
        payloads = [json.loads(text) for text in earlier.select(_json_of(earlier)).to_series()]
        refusals.append(_refusals(asked.source, [("conflicting_duplicate", payload) for payload in payloads]))
    return Checked(kept.sort(key), pl.concat(refusals), in_progress)


SCHEMAS: Mapping[Kind, Schema] = {"1Min": BARS, "1Day": BARS, "news": NEWS, "actions": CORPORATE_ACTIONS}
"""The contract of each kind."""


class _RefusedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _refusals(source: str, refused: Sequence[tuple[str, object]]) -> pl.DataFrame:
    rows = [(source, reason, as_json(payload)) for reason, payload in refused]
    return pl.DataFrame(rows, schema=REFUSALS, orient="row")


def _spell_out(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _spell_out(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spell_out(inner) for inner in value]
    return value


def _copies(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    what = {"news": "article", "actions": "action"}.get(asked.kind, "bar")
    key = KEYS[asked.kind]
    counts = rows.filter(rows.is_duplicated()).group_by(key, maintain_order=True).len("copies")
    by = pl.lit(asked.kind) if key[0] != "symbol" else pl.col("symbol")
    found = counts.group_by(by.alias("of"), maintain_order=True).agg(pl.struct(*key, "copies").alias("rows"))
    texts = found.select(pl.struct(pl.lit(asked.kind).alias("kind"), "rows").struct.json_encode()).to_series()
    return _refusals(asked.source, [(f"duplicate_{what}", json.loads(text)) for text in texts])


def _json_of(frame: pl.DataFrame) -> pl.Expr:
    return pl.struct(frame.columns).struct.json_encode()


# --- bars


def _flatten(delivered: Mapping[str, object], asked: Asked) -> tuple[list[str], list[Row], list[tuple[str, object]]]:
    symbols: list[str] = []
    rows: list[Row] = []
    refused: list[tuple[str, object]] = []
    for symbol, listed in delivered.items():
        if symbol not in asked.symbols:
            refused.append(("unrequested_symbol", {"symbol": symbol, "rows": listed}))
        elif not isinstance(listed, list):
            refused.append(("bad_type", {"symbol": symbol, "rows": listed}))
        else:
            proper = [row for row in listed if isinstance(row, dict)]
            if len(proper) < len(listed):
                refused += [("bad_type", {"symbol": symbol, "row": r}) for r in listed if not isinstance(r, dict)]
            symbols += [symbol] * len(proper)
            rows += proper
    return symbols, rows, refused


def _bar_columns(symbols: list[str], rows: list[Row], shape: BarShape) -> tuple[pl.DataFrame, dict[int, str]]:
    """The page as typed columns, null where a field is no good, and the reason by row for each such row."""
    complaints: dict[int, str] = {}
    wanted = {name: getattr(shape, name) for name in ("open", "high", "low", "close", "volume")}
    columns = {name: _numbers([row.get(key) for row in rows], complaints, True) for name, key in wanted.items()}
    for name, key in (("vwap", shape.vwap), ("trade_count", shape.trade_count)):
        columns[name] = _numbers([row.get(key) if key else None for row in rows], complaints, False)
    frame = pl.DataFrame({"symbol": pl.Series(symbols, dtype=pl.String), **columns})
    starts = _starts([row.get(shape.start) for row in rows], complaints, shape.start_type)
    faulty = pl.Series([i in complaints for i in range(len(rows))], dtype=pl.Boolean) if complaints else pl.lit(False)
    return frame.with_columns(starts.alias("start"), faulty.alias("faulty")).with_row_index("index"), complaints


def _numbers(values: list[Any], complaints: dict[int, str], required: bool) -> pl.Series:
    kinds = set(map(type, values))
    if kinds <= ({int, float} if required else {int, float, type(None)}):
        try:
            return pl.Series(values, dtype=pl.Float64)
        except (OverflowError, pl.exceptions.PolarsError, TypeError):
            pass  # an integer beyond 64 bits: judge one by one
    return pl.Series([_number(v, i, complaints, required) for i, v in enumerate(values)], dtype=pl.Float64)


def _number(value: object, index: int, complaints: dict[int, str], required: bool) -> float | None:
    if value is None:
        if required:
            complaints.setdefault(index, "missing_field")
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    # Tradier spells a missing price as the string "NaN".
    if isinstance(value, str) and value.lower() == "nan":
        return math.nan
    complaints.setdefault(index, "bad_type")
    return None


def _starts(values: list[Any], complaints: dict[int, str], kind: type) -> pl.Series:
    dtype = pl.String if kind is str else pl.Int64
    good: list[Any] = values
    if not set(map(type, values)) <= {kind}:
        good = [value if type(value) is kind else None for value in values]
        for index, (value, kept) in enumerate(zip(values, good, strict=True)):
            if kept is None:
                complaints.setdefault(index, "missing_field" if value is None else "bad_type")
    try:
        return pl.Series(good, dtype=dtype)
    except (OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError, TypeError):
        return pl.Series([_plain(value) for value in good], dtype=dtype)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _clean(value)
    return value if isinstance(value, int) and abs(value) < 2**53 else None


def _with_session(frame: pl.DataFrame, asked: Asked, sessions: pl.DataFrame) -> pl.DataFrame:
    """The bar's end, the moment it starts at by our convention, and whether it lies in a session."""
    if asked.kind == "1Day":
        zone = str(asked.calendar.timezone)
        local = frame.with_columns(pl.col("bar_start").dt.convert_time_zone(zone).dt.date().alias("session"))
        joined = local.join(sessions, on="session", how="left", maintain_order="left")
        midnight = pl.col("session").cast(pl.Datetime("us")).dt.replace_time_zone(zone, ambiguous="earliest")
        return joined.with_columns(
            bar_start=midnight.dt.convert_time_zone("UTC"),
            bar_end=pl.col("close_right"),
            in_session=pl.col("close_right").is_not_null(),
        )
    opens = sessions.select(pl.col("open").alias("session_open"), pl.col("close").alias("session_close"))
    joined = frame.sort("bar_start", nulls_last=True).join_asof(
        opens.sort("session_open"), left_on="bar_start", right_on="session_open", strategy="backward"
    )
    return joined.sort("index").with_columns(
        bar_end=pl.col("bar_start") + _MINUTE,
        in_session=(pl.col("bar_start") < pl.col("session_close")).fill_null(False),
    )


def _bar_reason(asked: Asked) -> pl.Expr:
    prices = [pl.col(name) for name in ("open", "high", "low", "close")]
    finite = pl.all_horizontal(*(column.is_finite() for column in (*prices, pl.col("volume"))))
    optional = pl.all_horizontal(*(pl.col(n).is_finite().fill_null(True) for n in ("vwap", "trade_count")))
    highest, lowest = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    aligned = pl.col("bar_start").dt.truncate("1m") == pl.col("bar_start")
    rules: list[tuple[str, pl.Expr]] = [
        ("faulty", pl.col("faulty")),
        ("bad_timestamp", pl.col("bar_start").is_null()),
        ("not_finite", ~(finite & optional)),
        ("non_positive_price", pl.min_horizontal(*prices) <= 0),
        ("negative_volume", pl.min_horizontal("volume", "trade_count", "vwap") < 0),
        ("high_below_low", pl.col("high") < pl.col("low")),
        (
            "open_or_close_outside_range",
            (highest > pl.col("high") * (1 + _ROUNDING)) | (lowest < pl.col("low") * (1 - _ROUNDING)),
        ),
        ("misaligned_timestamp", ~aligned),
        ("future_timestamp", pl.col("bar_start") >= asked.now),
        ("outside_request", (pl.col("bar_start") < asked.start) | (pl.col("bar_start") >= asked.end)),
        ("outside_session", ~pl.col("in_session")),
    ]
    return pl.coalesce(pl.when(broken).then(pl.lit(reason)) for reason, broken in rules)


# --- news


def _article(article: object, asked: Asked) -> Row:
    if not isinstance(article, dict):
        raise _RefusedError("bad_type")
    headline = _text(article, "headline", required=True)
    if len(headline.encode()) > HEADLINE_LIMIT:
        raise _RefusedError("headline_too_long")
    if not headline.strip():
        raise _RefusedError("empty_headline")
    summary, url = _text(article, "summary"), _text(article, "url")
    if len(summary.encode()) > SUMMARY_LIMIT:
        raise _RefusedError("summary_too_long")
    created, updated = _published(article, asked)
    symbols = _symbols(article)
    if not asked.symbols.intersection(symbols):
        raise _RefusedError("unrequested_symbol")
    publisher = _text(article, "source") or asked.source
    return {
        "article_id": _article_id(article.get("id"), publisher, [created.isoformat(), headline, url]),
        "published_at": created,
        "updated_at": updated,
        "source": publisher,
        "headline": headline,
        "summary": summary,
        "url": url,
        "symbols": symbols,
        "content_hash": _sha256([headline, summary, symbols]),
    }


def _published(article: Row, asked: Asked) -> tuple[datetime, datetime]:
    created = parse_moment(article.get("created_at"))
    updated = parse_moment(article["updated_at"]) if article.get("updated_at") is not None else created
    if updated < created:
        raise _RefusedError("updated_before_created")
    if updated > asked.now:
        raise _RefusedError("future_timestamp")
    if not asked.start <= updated < asked.end:
        raise _RefusedError("outside_request")
    return created, updated


def parse_moment(value: object) -> datetime:
    """An RFC 3339 moment, UTC to the microsecond; it must name its offset."""
    if value is None:
        raise _RefusedError("missing_field")
    if not isinstance(value, str):
        raise _RefusedError("bad_type")
    parsed = pl.Series([_clean(value)]).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)[0]
    if parsed is None:
        raise _RefusedError("bad_timestamp")
    moment: datetime = parsed
    return moment


def _texts(article: Row) -> list[str]:
    return [value for key in ("headline", "summary", "url", "source") if isinstance(value := article.get(key), str)]


def _text(article: Row, key: str, required: bool = False) -> str:
    value = article.get(key)
    if value is None:
        if required:
            raise _RefusedError("missing_field")
        return ""
    if not isinstance(value, str):
        raise _RefusedError("bad_type")
    return _clean(value)


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _symbols(article: Row) -> list[str]:
    symbols = article.get("symbols")
    if symbols is None:
        raise _RefusedError("missing_field")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise _RefusedError("bad_type")
    return sorted({_clean(symbol).strip().upper() for symbol in symbols} - {""})


def _article_id(vendor_id: object, publisher: str, content: list[str]) -> str:
    if vendor_id is None or vendor_id == "":
        return f"sha256:{_sha256([publisher, *content])}"
    if isinstance(vendor_id, bool) or not isinstance(vendor_id, int | str):
        raise _RefusedError("bad_type")
    return f"{publisher}:{_clean(str(vendor_id))}"


def _sha256(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


# --- corporate actions

_SYMBOL_FIELDS = ("symbol", "source_symbol", "old_symbol", "acquiree_symbol", "new_symbol", "acquirer_symbol")
_DATE_FIELDS = ("ex_date", "effective_date", "process_date", "payable_date")


def _action(kind: str, action: object, asked: Asked) -> list[Row]:
    """The action once for each symbol asked for that it concerns; its first symbol keeps the vendor's id as it is."""
    if not isinstance(action, dict):
        raise _RefusedError("bad_type")
    concerned = _concerned(action)
    days = _days(action)
    ex_date = days[0]
    ours, ratio, amount = _effect(kind, action)
    if not any(_asked_day(day, asked) for day in days):
        raise _RefusedError("outside_request")
    wanted = [symbol for symbol in concerned if symbol in asked.symbols]
    if not wanted:
        raise _RefusedError("unrequested_symbol")
    action_id = _article_id(action.get("id"), asked.source, [as_json(action)])
    return [
        {
            "action_id": action_id if symbol == concerned[0] else f"{action_id}:{symbol}",
            "symbol": symbol,
            "kind": ours,
            "ex_date": ex_date,
            "effective_at": asked.calendar.day_start(ex_date),
            "ratio": ratio,
            "amount": amount,
            "source": asked.source,
        }
        for symbol in wanted
    ]


def _concerned(action: Row) -> list[str]:
    named = [action[key] for key in _SYMBOL_FIELDS if action.get(key) is not None]
    if not named:
        raise _RefusedError("missing_field")
    if not all(isinstance(symbol, str) for symbol in named):
        raise _RefusedError("bad_type")
    return list(dict.fromkeys(named))


def _days(action: Row) -> list[date]:
    """The action's dates, the ex-date or what comes closest to it first."""
    named = [action[key] for key in _DATE_FIELDS if action.get(key) is not None]
    if not named:
        raise _RefusedError("missing_field")
    if not all(isinstance(text, str) for text in named):
        raise _RefusedError("bad_type")
    try:
        return [date.fromisoformat(text) for text in named]
    except ValueError:
        raise _RefusedError("bad_timestamp") from None


def _asked_day(day: date, asked: Asked) -> bool:
    zone = asked.calendar.timezone
    last = (asked.end - timedelta(microseconds=1)).astimezone(zone).date()
    return asked.start.astimezone(zone).date() <= day <= last


def _effect(kind: str, action: Row) -> tuple[str, float | None, float | None]:
    """Our name for the kind, its ratio and its amount."""
    if kind in ("forward_splits", "reverse_splits"):
        ratio = _rate(action, "new_rate") / _rate(action, "old_rate")
        if ratio == 1.0:
            raise _RefusedError("unit_ratio")
        return "split", ratio, None
    if kind == "stock_dividends":
        return "stock_dividend", 1.0 + _rate(action, "rate"), None
    if kind == "cash_dividends":
        return "cash_dividend", None, _rate(action, "rate")
    if kind == "name_changes" and action.get("old_symbol") == action.get("new_symbol"):
        return "same_ticker_name_change", None, None  # no ticker changes hands
    return kind.removesuffix("s"), None, None


def _rate(action: Row, key: str) -> float:
    value = action.get(key)
    if value is None:
        raise _RefusedError("missing_field")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _RefusedError("bad_type")
    if not math.isfinite(value):
        raise _RefusedError("not_finite")
    if value <= 0:
        raise _RefusedError("non_positive_rate")
    return float(value)


# --- moments, as vendors write them


def rfc3339(column: pl.Expr, _: TradingCalendar) -> pl.Expr:
    """``2022-02-01T05:00:00Z``, with any fraction of a second and any offset."""
    return column.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)


def epoch_seconds(column: pl.Expr, _: TradingCalendar) -> pl.Expr:
    """Whole seconds since 1970, UTC."""
    return pl.from_epoch(column, time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)


def local_date(column: pl.Expr, calendar: TradingCalendar) -> pl.Expr:
    """``2019-01-02``: the exchange's own midnight of that day."""
    days = column.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return days.dt.replace_time_zone(str(calendar.timezone), ambiguous="earliest").dt.convert_time_zone("UTC")
