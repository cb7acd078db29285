"""Recorded data as a simulator's backend: Parquet and factor files under one folder, read lazily, file by file.

The folder is laid out like this, and any of it may be missing:

- ``bars/us_equity_minute_raw.parquet``, ``bars/us_equity_daily_raw.parquet``: symbol, ts (bar start, naive New York
  time), open, high, low, close, volume; prices as traded.
- ``bars/stocknet_daily.parquet``: symbol, date, the same prices adjusted for splits; used for the symbols that the
  raw daily file does not have, with the splits that fall inside the file taken back out.
- ``bars/factor_files/*.csv``, ``bars/map_files/*.csv``: see ``lean_files``.
- ``news/stocknet_tweets.parquet``: symbol, tweet_id, created_at (UTC), text. One tweet about several symbols is one
  article.
- ``news/ticker_news_2011.parquet``: symbol, date, title, body. The hour is not known: an article is published at
  the end of its New York day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from paiid_pipeline.schemas import MOMENT
from paiid_pipeline.sources.simulator.backend import BarQuery
from paiid_pipeline.sources.simulator.lean_files import PAID_AFTER, Companies, Company
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import TradingCalendar

NEW_YORK = ZoneInfo("America/New_York")
_ZONE = "America/New_York"
_MINUTE = timedelta(minutes=1)


class Replay:
    """The data under one folder."""

    name = "replay"

    def __init__(self, folder: Path) -> None:
        self._minute = folder / "bars" / "us_equity_minute_raw.parquet"
        self._daily = folder / "bars" / "us_equity_daily_raw.parquet"
        self._adjusted = folder / "bars" / "stocknet_daily.parquet"
        self._tweets = folder / "news" / "stocknet_tweets.parquet"
        self._dated_news = folder / "news" / "ticker_news_2011.parquet"
        self._calendar = TradingCalendar("XNYS")
        self._zone = self._calendar.timezone  # loads the calendars now, and not in the first request
        self._companies = Companies(folder / "bars", self._calendar)

    def bars(self, query: BarQuery) -> Iterator[pl.DataFrame]:
        """Bars of the company that each symbol names on ``asof``, under each ticker it had.

        A daily bar has ended at its session's close.
        """
        for symbol in query.symbols:
            company = None if query.asof is None else self._companies.of(symbol, query.asof)
            if query.timeframe == "1Min":
                last = min(query.end, query.now - _MINUTE)
                frame = self._spans(self._minute, symbol, company, query.start, last)
            else:
                frame = self._days(symbol, company, query.start, min(query.end, query.now))
                frame = _closed(frame, self._calendar, query.now)
            yield frame.select(
                pl.lit(symbol).alias("S"),
                pl.all(),
                pl.lit(None, pl.Int64).alias("n"),
                pl.lit(None, pl.Float64).alias("vw"),
            )

    def news(self, symbols: Sequence[str], start: datetime, end: datetime, now: datetime) -> list[dict[str, Any]]:
        """Tweets and dated news published by ``now``."""
        last = min(end, now)
        return [*self._tweeted(symbols, start, last), *self._dated(symbols, start, last)]

    def actions(self, symbols: Sequence[str], start: date, end: date, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Splits and dividends, ex by now, of the companies that the symbols name on the last requested day, and all
        renames from or to one of them."""
        last = min(end, now.astimezone(self._zone).date())
        found: dict[str, list[dict[str, Any]]] = {}
        for symbol in symbols:
            for kind, action in self._companies.of(symbol, last).actions(symbol, start - PAID_AFTER, last):
                if start <= date.fromisoformat(action["process_date"]) <= end:
                    found.setdefault(kind, []).append(action)
        if renames := self._companies.renames(symbols, start, last):
            found["name_changes"] = renames
        return found

    def _days(self, symbol: str, company: Company | None, start: datetime, end: datetime) -> pl.DataFrame:
        if _held(symbol, company) & _written(self._daily).keys():
            return self._spans(self._daily, symbol, company, start, end)
        return self._readjusted(symbol, start, end)

    def _spans(self, path: Path, symbol: str, company: Company | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The rows of each ticker while it was the company's."""
        written = _written(path)
        if end < start or not _held(symbol, company) & written.keys():
            return _NO_BARS
        # Naive New York times: a day's margin on the scan spares it the zone, the moment itself is exact.
        margin = timedelta(days=1)
        near = pl.col("ts").is_between(_naive(start) - margin, _naive(end) + margin)
        day = pl.col("ts").dt.date()
        if company is None:
            owned = pl.col("symbol") == written.get(symbol, "")
        else:
            owned = pl.any_horizontal(
                (pl.col("symbol") == written.get(span.ticker, "")) & day.is_between(span.first, span.last)
                for span in company.spans
            )
        moment = pl.col("ts").dt.replace_time_zone(_ZONE, ambiguous="earliest", non_existent="null")
        rows = pl.scan_parquet(path).filter(owned & near).with_columns(moment.dt.convert_time_zone("UTC").alias("t"))
        return _clean(rows, start, end)

    def _readjusted(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Split-adjusted daily bars made raw again: a split inside the file is undone for the days before it."""
        written = _written(self._adjusted).get(symbol)
        if written is None:
            return _NO_BARS
        own = pl.scan_parquet(self._adjusted).filter(pl.col("symbol") == written).drop_nulls("close")
        first, last = own.select(pl.col("date").min(), last=pl.col("date").max()).collect().row(0)
        if last is None:
            return _NO_BARS
        midnight = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone(_ZONE).dt.convert_time_zone("UTC")
        frame = _clean(own.with_columns(midnight.alias("t")), start, end)
        local = pl.col("t").dt.convert_time_zone(_ZONE).dt.date()
        for ex_date, ratio in self._companies.of(symbol, last).splits(first, last):
            before = pl.when(local < ex_date).then(float(ratio)).otherwise(1.0)
            frame = frame.with_columns(pl.col("o", "h", "l", "c") * before, pl.col("v") / before)
        return frame

    def _tweeted(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[dict[str, Any]]:
        if not self._tweets.is_file() or end < start:
            return []
        rows = (
            pl.scan_parquet(self._tweets)
            .filter(pl.col("created_at").is_between(start, end) & pl.col("text").is_not_null())
            .group_by("tweet_id")
            .agg(
                pl.col("symbol").unique().sort().alias("symbols"),
                pl.col("text").sort().first().alias("headline"),
                pl.col("created_at").min().alias("created_at"),
            )
            .filter(pl.col("symbols").list.set_intersection(_spelled_in(self._tweets, symbols)).list.len() > 0)
            .collect()
        )
        return [
            _article(row["tweet_id"], "stocknet", row["headline"], "", row["created_at"], row["symbols"])
            for row in rows.iter_rows(named=True)
        ]

    def _dated(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[dict[str, Any]]:
        if not self._dated_news.is_file() or end < start:
            return []
        out = (pl.col("date").dt.truncate("1d") + timedelta(days=1)).dt.replace_time_zone(_ZONE)
        rows = (
            pl.scan_parquet(self._dated_news)
            .filter(pl.col("date").is_between(_naive(start) - timedelta(days=3), _naive(end)))
            .with_columns(out.dt.convert_time_zone("UTC").alias("out"))
            .filter(pl.col("out").is_between(start, end) & pl.col("title").is_not_null())
            .group_by("out", "title", "body")
            .agg(pl.col("symbol").unique().sort().alias("symbols"))
            .filter(pl.col("symbols").list.set_intersection(_spelled_in(self._dated_news, symbols)).list.len() > 0)
            .collect()
        )
        return [
            _article(_digest(row), "ticker_news_2011", row["title"], row["body"] or "", row["out"], row["symbols"])
            for row in rows.iter_rows(named=True)
        ]


@lru_cache(maxsize=8)
def _written(path: Path) -> dict[str, str]:
    """The symbols of a file in its own spelling, by canonical symbol; empty where it is missing.

    Cached, as a scan for an absent symbol costs as much as any.
    """
    if not path.is_file():
        return {}
    symbols = pl.scan_parquet(path).select(pl.col("symbol").drop_nulls().unique()).collect()["symbol"]
    return {read_symbol(symbol): symbol for symbol in symbols}


def _spelled_in(path: Path, symbols: Sequence[str]) -> list[str]:
    """Those of the canonical symbols that a file has, in its own spelling."""
    written = _written(path)
    return [written[symbol] for symbol in symbols if symbol in written]


def _held(symbol: str, company: Company | None) -> frozenset[str]:
    """The symbol, and all the tickers that its company has had."""
    return frozenset({symbol} if company is None else {symbol, *(span.ticker for span in company.spans)})


def _article(
    vendor_id: object, source: str, headline: str, summary: str, out: datetime, symbols: list[str]
) -> dict[str, Any]:
    return {
        "id": vendor_id, "source": source, "headline": headline, "summary": summary, "content": "", "author": "",
        "url": "", "images": [], "symbols": symbols, "created_at": out, "updated_at": out,
    }  # fmt: skip


def _digest(row: dict[str, Any]) -> str:
    text = f"{row['out'].isoformat()}\n{row['title']}\n{row['body']}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(NEW_YORK).replace(tzinfo=None)


def _clean(rows: pl.LazyFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The prices under Alpaca's names, without rows of nulls, sorted."""
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    prices = [pl.col(full).cast(pl.Float64).alias(short) for short, full in names.items()]
    frame = rows.filter(pl.col("t").is_between(start, end)).select(pl.col("t").cast(MOMENT), *prices)
    return frame.drop_nulls().sort("t").collect()


def _closed(frame: pl.DataFrame, calendar: TradingCalendar, now: datetime) -> pl.DataFrame:
    """Without the days whose session has not closed by ``now``; only the newest can be one of those."""
    today = now.astimezone(NEW_YORK).date()
    session = calendar.session(today)
    if session is not None and session.close <= now:
        return frame
    return frame.filter(pl.col("t").dt.convert_time_zone(_ZONE).dt.date() < today)


_NO_BARS = pl.DataFrame(schema={"t": MOMENT, **dict.fromkeys(("o", "h", "l", "c", "v"), pl.Float64)})
