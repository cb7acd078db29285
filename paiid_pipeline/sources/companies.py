"""Which company a ticker names on a day, under which tickers it has traded, and its splits and dividends.

From Lean's map and factor files (https://github.com/QuantConnect/Lean). A map file is one company: each row holds the
last day of a ticker. A factor file of the same name holds, for the days up to and including each row's own, the
price factor, the split factor, and the raw close of that day. So what changes between a row and the next happened at
the session after the row's day: a split of next/this split factor, a dividend of close x (1 - this/next price factor)
per share held before it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from paiid_pipeline.universe import TradingCalendar

_DAY = timedelta(days=1)
_FAR = date(2050, 12, 31)


@dataclass(frozen=True)
class Span:
    """A ticker from its first day to its last, both included."""

    ticker: str
    first: date
    last: date


@dataclass(frozen=True)
class Factor:
    """One row of a factor file."""

    day: date
    price: float
    split: float
    close: float


@dataclass(frozen=True)
class Company:
    """One company: the name of its files, its tickers in order of time, its factors."""

    name: str
    spans: tuple[Span, ...]
    factors: tuple[Factor, ...]
    calendar: TradingCalendar

    @cached_property
    def splits(self) -> list[tuple[date, float]]:
        """(ex-date, new shares per old share)."""
        return [
            (self._ex_date(row), float(_ratio(row, following)))
            for row, following in zip(self.factors, self.factors[1:], strict=False)
            if row.split != following.split
        ]

    @cached_property
    def dividends(self) -> list[tuple[date, float]]:
        """(ex-date, cash per share held before it); a spin-off is in here at its worth."""
        return [
            (self._ex_date(row), round(row.close * (1.0 - row.price / following.price), 6))
            for row, following in zip(self.factors, self.factors[1:], strict=False)
            if row.price < following.price and row.close > 0
        ]

    def actions(self, symbol: str) -> list[tuple[str, dict[str, Any]]]:
        """Everything as (Alpaca's plural kind, row) under ``symbol``."""
        found: list[tuple[str, dict[str, Any]]] = []
        for row, following in zip(self.factors, self.factors[1:], strict=False):
            if row.split != following.split:
                found.append(self._split(symbol, row, following))
        for ex_date, amount in self.dividends:
            found.append(("cash_dividends", {**self._named(symbol, "dividend", ex_date), "rate": amount}))
        for old, new in zip(self.spans, self.spans[1:], strict=False):
            if old.ticker != new.ticker:
                day = new.first.isoformat()
                row_of_change = {"old_symbol": old.ticker, "new_symbol": new.ticker, "process_date": day}
                found.append(("name_changes", {"id": f"{self.name}-rename-{day}", **row_of_change}))
        return found

    def _split(self, symbol: str, row: Factor, following: Factor) -> tuple[str, dict[str, Any]]:
        ratio = _ratio(row, following)
        named = self._named(symbol, "split", self._ex_date(row))
        if isinstance(ratio, Fraction):
            rates = {"new_rate": ratio.numerator, "old_rate": ratio.denominator}
            return ("forward_splits" if ratio > 1 else "reverse_splits"), {**named, **rates}
        if ratio > 1:
            return "stock_dividends", {**named, "rate": round(ratio - 1.0, 8)}
        return "reverse_splits", {**named, "new_rate": ratio, "old_rate": 1}

    def _named(self, symbol: str, kind: str, ex_date: date) -> dict[str, Any]:
        day = ex_date.isoformat()
        return {"id": f"{self.name}-{kind}-{day}", "symbol": symbol, "ex_date": day, "process_date": day}

    def _ex_date(self, row: Factor) -> date:
        return _next_session(self.calendar, row.day)


class Companies:
    """All companies under one ``bars`` folder; either kind of file may be missing."""

    def __init__(self, folder: Path, calendar: TradingCalendar) -> None:
        self._folder = folder
        self._calendar = calendar

    def of(self, ticker: str, day: date) -> Company:
        """The company that the ticker names on ``day``.

        Where no map file says, it is a company of that one ticker, for as long as no map file gives the ticker to
        another; its factor file counts only where it has no map file, or it would be that other company's.
        """
        for company in self._mapped:
            if any(span.ticker == ticker and span.first <= day <= span.last for span in company.spans):
                return company
        taken = [span for company in self._mapped for span in company.spans if span.ticker == ticker]
        first = max((span.last + _DAY for span in taken if span.last < day), default=date.min)
        last = min((span.first - _DAY for span in taken if span.first > day), default=date.max)
        alone = ticker.lower() not in {company.name for company in self._mapped}
        factors = self._factors(ticker.lower()) if alone else ()
        return Company(ticker.lower(), (Span(ticker, first, last),), factors, self._calendar)

    @cached_property
    def _mapped(self) -> tuple[Company, ...]:
        files = sorted((self._folder / "map_files").glob("*.csv"))
        return tuple(
            Company(path.stem, spans, self._factors(path.stem), self._calendar)
            for path in files
            if (spans := _spans(_rows(path)))
        )

    def _factors(self, name: str) -> tuple[Factor, ...]:
        path = self._folder / "factor_files" / f"{name}.csv"
        if not path.is_file():
            return ()
        return tuple(
            Factor(_day(row[0]), float(row[1]), float(row[2]), float(row[3]) if len(row) > 3 else 0.0)
            for row in _rows(path)
        )


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return [row for row in csv.reader(file) if row and row[0].strip().isdigit()]


def _spans(rows: Sequence[Sequence[str]]) -> tuple[Span, ...]:
    """The first row is the day the company came; each row is the last day of its ticker."""
    spans: list[Span] = []
    begin = _day(rows[0][0]) if rows else date.min
    for row in rows:
        ticker, last = row[1].strip().upper(), _day(row[0])
        if spans and spans[-1].ticker == ticker:
            spans[-1] = replace(spans[-1], last=last)
        else:
            spans.append(Span(ticker, begin, last))
        begin = last + _DAY
    return tuple(spans)


def _day(text: str) -> date:
    return datetime.strptime(text.strip(), "%Y%m%d").date()  # noqa: DTZ007 - a date


def _ratio(row: Factor, following: Factor) -> Fraction | float:
    """New shares per old one: the simple fraction that the rounded factors stand for, where there is one."""
    ratio = following.split / row.split
    simple = Fraction(ratio).limit_denominator(100)
    return simple if simple > 0 and abs(float(simple) / ratio - 1.0) < 1e-4 else ratio


@lru_cache(maxsize=4096)
def _next_session(calendar: TradingCalendar, day: date) -> date:
    if day >= _FAR:
        return day
    return calendar.sessions(day + _DAY, day + timedelta(days=14))[0].day
