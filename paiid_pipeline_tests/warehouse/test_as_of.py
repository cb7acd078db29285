"""Random batches, overlapping, out of order and replayed: the as-of reader equals a naive model of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paiid_pipeline.warehouse import CoveredRange, Warehouse, WriteResult, bitemporal
from paiid_pipeline_tests.warehouse.rows import MINUTE, T0, bar, bars, indicator, indicators

TICK = timedelta(microseconds=1)
DECISION_LAG = timedelta(seconds=15)
WATCHING = timedelta(minutes=10)

BARS = 8


@dataclass(frozen=True)
class Batch:
    """One call of bars.write: closes by the number of the minute, and what it covers."""

    closes: dict[int, float]
    received: datetime
    live: bool
    delay: timedelta
    cover: tuple[int, int] | None
    decide: int | None


batches = st.builds(
    Batch,
    closes=st.dictionaries(st.integers(0, BARS - 1), st.sampled_from([1.0, 2.0, 3.0]), max_size=BARS),
    received=st.integers(0, 60).map(lambda step: T0 + step * timedelta(seconds=30)),
    live=st.booleans(),
    delay=st.sampled_from([timedelta(0), timedelta(seconds=40)]),
    cover=st.none() | st.tuples(st.integers(0, BARS), st.integers(0, BARS)).map(lambda span: (min(span), max(span))),
    decide=st.none() | st.integers(1, BARS),
)


AFTER_AN_EMPTY_SPAN = [
    Batch({}, T0, live=False, delay=timedelta(0), cover=(0, 0), decide=1),
    Batch({0: 1.0}, T0 + 3 * timedelta(seconds=30), live=False, delay=timedelta(0), cover=None, decide=None),
]
"""A bar that comes after a decision which went without it, where no time of its symbol has been covered."""


@dataclass
class Model:
    """The rules of known_at, one bar at a time."""

    versions: dict[int, list[tuple[datetime, bool, float]]] = field(default_factory=dict)
    covered: set[int] = field(default_factory=set)
    decided: set[datetime] = field(default_factory=set)

    def write(self, batch: Batch) -> WriteResult:
        counts = {"inserted": 0, "restated": 0, "unchanged": 0}
        dated = {number: self._dated(number, close, batch) for number, close in batch.closes.items()}
        for number, (outcome, version) in dated.items():
            counts[outcome] += 1
            if version:
                self.versions.setdefault(number, []).append(version)
        if batch.cover:
            self.covered.update(range(*batch.cover))
        return WriteResult(**counts)

    def as_of(self, known_by: datetime) -> list[tuple[datetime, float]]:
        newest = {
            number: [close for known_at, _, close in versions if known_at <= known_by]
            for number, versions in sorted(self.versions.items())
        }
        return [(T0 + number * MINUTE, closes[-1]) for number, closes in newest.items() if closes]

    def _dated(self, number: int, close: float, batch: Batch) -> tuple[str, tuple[datetime, bool, float] | None]:
        nominal = T0 + (number + 1) * MINUTE + batch.delay
        if number in self.versions:
            known_at, was_nominal, stored = self.versions[number][-1]
            if close == stored or (not was_nominal and batch.received < known_at):
                return "unchanged", None
            moment = max(batch.received, nominal, known_at + TICK)
            return "restated", (moment, moment != batch.received, close)
        if self._by_receipt(number, nominal, batch):
            moment = max(batch.received, nominal)
            return "inserted", (moment, moment != batch.received, close)
        return "inserted", (nominal, True, close)

    def _by_receipt(self, number: int, nominal: datetime, batch: Batch) -> bool:
        if number in self.covered:
            return True
        end = T0 + (max(self.covered) + 1) * MINUTE if self.covered else None
        after = not self.covered or number > max(self.covered)
        watched = batch.live and end is not None and abs(batch.received - end) <= WATCHING
        seen = any(nominal <= moment + DECISION_LAG and moment <= batch.received for moment in self.decided)
        return after and (watched or seen)


def symbol_of_its_own() -> str:
    """Examples share one schema, and do not meet in it."""
    return uuid4().hex[:12].upper()


@pytest.mark.parametrize("large", [1, bitemporal._LARGE], ids=["the short cut of large batches", "the careful way"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(batches, min_size=1, max_size=6), replay=st.booleans())
@example(sequence=AFTER_AN_EMPTY_SPAN, replay=False)
def test_the_reader_agrees_with_the_model_at_every_moment(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, large: int, sequence: Sequence[Batch], replay: bool
) -> None:
    monkeypatch.setattr(bitemporal, "_LARGE", large)
    symbol, model = symbol_of_its_own(), Model()
    for batch in sequence:
        rows = bars(*(bar(T0 + number * MINUTE, close, symbol) for number, close in batch.closes.items()))
        covers = [span(symbol, batch.cover)] if batch.cover else []
        for _ in range(2 if replay else 1):
            got = warehouse.bars.write(rows, batch.received, batch.live, batch.delay, covers)
            assert got == model.write(batch)
        if batch.decide:
            moment = T0 + batch.decide * MINUTE
            warehouse.indicators.write(indicators(indicator(moment, symbol)))
            model.decided.add(moment)
    moments = {version[0] for versions in model.versions.values() for version in versions}
    for known_by in {T0, *moments, *(moment - TICK for moment in moments)}:
        found = warehouse.bars.read([symbol], "1Min", T0, T0 + BARS * MINUTE, known_by)
        assert found.select("bar_start", "close").rows() == model.as_of(known_by)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(batches, min_size=2, max_size=6))
def test_what_was_known_stays_known(warehouse: Warehouse, sequence: Sequence[Batch]) -> None:
    """Once a moment has passed, no later receipt changes what was known at it."""
    symbol = symbol_of_its_own()
    seen: dict[datetime, pl.DataFrame] = {}
    warehouse.coverage.add([span(symbol, (0, BARS))])
    for number, batch in enumerate(sorted(sequence, key=lambda one: one.received)):
        rows = bars(*(bar(T0 + step * MINUTE, close, symbol) for step, close in batch.closes.items()))
        warehouse.bars.write(rows, batch.received + number * TICK, batch.live, batch.delay)
        for moment, before in seen.items():
            assert warehouse.bars.read([symbol], "1Min", T0, T0 + BARS * MINUTE, moment).equals(before)
        moment = batch.received + number * TICK
        seen[moment] = warehouse.bars.read([symbol], "1Min", T0, T0 + BARS * MINUTE, moment)


def span(symbol: str, ends: tuple[int, int]) -> CoveredRange:
    return CoveredRange("test", "1Min", (symbol,), T0 + ends[0] * MINUTE, T0 + ends[1] * MINUTE)
