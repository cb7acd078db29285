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
from itertools import pairwise
from pathlib import Path
from typing import Any

from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import TradingCalendar

_DAY = timedelta(days=1)
_FORTNIGHT = timedelta(days=14)
PAID_AFTER = timedelta(days=16)
"""From the ex-date of a dividend to its payable date, by which the vendor selects it."""


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

    def splits(self, first: date, last: date) -> list[tuple[date, Fraction | float]]:
        """(ex-date, new shares per old share), with ex-dates from ``first`` to ``last``."""
        return [
            (ex_date, _ratio(before, after))
            for ex_date, before, after in self._changes(first, last)
            if before.split != after.split
        ]

    def dividends(self, first: date, last: date) -> list[tuple[date, float]]:
        """(ex-date, cash per share held before it), with ex-dates from ``first`` to ``last``.

        A spin-off is in here at its worth.
        """
        return [
            (ex_date, round(before.close * (1.0 - before.price / after.price), 6))
            for ex_date, before, after in self._changes(first, last)
            if before.price < after.price and before.close > 0
        ]

    def renames(self, first: date, last: date) -> list[tuple[date, str, str]]:
        """(first session of the new ticker, old ticker, new ticker), from ``first`` to ``last``."""
        near = [pair for pair in pairwise(self.spans) if first - _FORTNIGHT <= pair[0].last < last]
        dated = [(_next_session(self.calendar, old.last), old.ticker, new.ticker) for old, new in near]
        return [rename for rename in dated if first <= rename[0] <= last]

    def actions(self, symbol: str, first: date, last: date) -> list[tuple[str, dict[str, Any]]]:
        """Splits and dividends as (Alpaca's plural kind, row) under ``symbol``."""
        found = [self._split(symbol, day, ratio) for day, ratio in self.splits(first, last)]
        for day, amount in self.dividends(first, last):
            paid = (day + PAID_AFTER).isoformat()
            dates = {"payable_date": paid, "process_date": paid}
            found.append(("cash_dividends", {**self._named(symbol, "dividend", day), **dates, "rate": amount}))
        return found

    def _changes(self, first: date, last: date) -> list[tuple[date, Factor, Factor]]:
        """(ex-date, the row before it, the row after it). Only days near the range are looked up in the calendar."""
        near = [pair for pair in pairwise(self.factors) if first - _FORTNIGHT <= pair[0].day < last]
        dated = [(_next_session(self.calendar, before.day), before, after) for before, after in near]
        return [change for change in dated if first <= change[0] <= last]

    def _split(self, symbol: str, ex_date: date, ratio: Fraction | float) -> tuple[str, dict[str, Any]]:
        named = self._named(symbol, "split", ex_date)
        if isinstance(ratio, Fraction):
            rates = {"new_rate": ratio.numerator, "old_rate": ratio.denominator}
            return ("forward_splits" if ratio > 1 else "reverse_splits"), {**named, **rates}
        if ratio > 1:
            return "stock_dividends", {**named, "rate": round(ratio - 1.0, 8)}
        return "reverse_splits", {**named, "new_rate": ratio, "old_rate": 1}

    def _named(self, symbol: str, kind: str, ex_date: date) -> dict[str, Any]:
        day = ex_date.isoformat()
        return {"id": f"{self.name}-{kind}-{day}", "symbol": symbol, "ex_date": day, "process_date": day}


class Companies:
    """All companies under one ``bars`` folder; either kind of file may be missing."""

    def __init__(self, folder: Path, calendar: TradingCalendar) -> None:
        self._folder = folder
        self._calendar = calendar

    def of(self, ticker: str, day: date) -> Company:
        """The company that the ticker names on ``day``.

        Where no map file has it, it is a company of that one ticker, for as long as no map file gives the ticker to
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

    def renames(self, tickers: Sequence[str], first: date, last: date) -> list[dict[str, Any]]:
        """Alpaca's rows for every change of name from or to one of the tickers, whoever's it was."""
        return [
            {
                "id": f"{company.name}-rename-{day}",
                "old_symbol": old,
                "new_symbol": new,
                "process_date": day.isoformat(),
            }
            for company in self._mapped
            for day, old, new in company.renames(first, last)
            if old in tickers or new in tickers
        ]

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
        ticker, last = read_symbol(row[1]), _day(row[0])
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
    return calendar.sessions(day + _DAY, day + _FORTNIGHT)[0].day
