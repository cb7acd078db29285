"""The universe file: symbols in segments, their names in texts, and the trading calendar."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from paiid_pipeline.did_you_mean import did_you_mean
from paiid_pipeline.symbols import canonical_symbol
from paiid_pipeline.trading_calendar import TradingCalendar

DECISION_LAG = timedelta(seconds=15)
"""How long after its time a decision is made, so that the bar ending at that time can be in it."""

_KEYS = ("calendar", "segments", "names")
_SYMBOL = re.compile(r"[^\x00-\x1f]{1,40}")
"""What may be a symbol, however it is spelled."""
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")


@dataclass(frozen=True)
class Universe:
    """Symbols in segments; a symbol belongs to exactly one segment."""

    segments: Mapping[str, tuple[str, ...]]
    calendar: TradingCalendar
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What texts call a symbol besides itself, such as AAPL: Apple."""

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, in the order of the file."""
        return tuple(symbol for members in self.segments.values() for symbol in members)

    def members(self, segments: Sequence[str]) -> tuple[str, ...]:
        """The symbols of some segments. Raises KeyError with the nearest name for an unknown one."""
        for segment in segments:
            if segment not in self.segments:
                raise KeyError(f"unknown segment {segment!r}: {did_you_mean(segment, self.segments)}")
        return tuple(symbol for segment in segments for symbol in self.segments[segment])

    def peers(self, symbols: Collection[str]) -> list[str]:
        """All symbols of the segments of some, in the order of the file: their positions share a budget."""
        wanted = set(symbols)
        return [symbol for members in self.segments.values() if wanted & set(members) for symbol in members]


def load_universe(path: Path, default_calendar: str, cache: Path | None = None) -> Universe:
    """Read a universe file; ``cache`` is where the calendar keeps its sessions.

    Raises ValueError naming the file, the entry and the remedy.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"universe file {path} does not exist: set PAIID_UNIVERSE to one that does") from None
    except OSError as error:
        raise ValueError(f"universe file {path} cannot be read: {error.strerror}; set PAIID_UNIVERSE") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"universe file {path} is not UTF-8 (line {line}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"universe file {path} is not valid TOML: {error}") from None
    for key in document:
        if key not in _KEYS:
            raise ValueError(f"{path}: unknown key {key!r}: {did_you_mean(key, _KEYS)}")
    segments = document.get("segments")
    if not isinstance(segments, dict) or not segments:
        raise ValueError(f'{path}: no [segments] table: write, for example, [segments]\ntech = ["AAPL", "MSFT"]')
    owner: dict[str, tuple[str, str]] = {}
    read = {segment: _members(path, segment, members, owner) for segment, members in segments.items()}
    calendar = TradingCalendar(document.get("calendar", default_calendar), cache)
    _check_calendar(path, calendar)
    return Universe(read, calendar, _names(path, document.get("names", {}), owner))


def _names(path: Path, table: object, symbols: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ValueError(f'{path}: names must be a table, such as [names]\nAAPL = ["Apple"]')
    read: dict[str, tuple[str, ...]] = {}
    for written, names in table.items():
        symbol = _symbol(path, written, "names")
        if symbol not in symbols:
            hint = did_you_mean(symbol, symbols)
            raise ValueError(f"{path}: [names] has {written!r}, which is in no segment: {hint}")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
            raise ValueError(f'{path}: the names of {symbol} must be a list of words, such as ["Apple", "Apple Inc"]')
        read[symbol] = tuple(dict.fromkeys([*read.get(symbol, ()), *names]))
    return read


def _members(path: Path, segment: str, members: object, owner: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    """The symbols of a segment, which are noted in ``owner`` with the segment and as they were written."""
    if not _SEGMENT.fullmatch(segment):
        raise ValueError(f"{path}: segment name {segment!r} may hold only letters, digits, '_' and '-'")
    if not isinstance(members, list) or not members:
        raise ValueError(f'{path}: segment {segment!r} must be a list of symbols, such as ["AAPL"]')
    read = []
    for written in members:
        symbol = _symbol(path, written, segment)
        if symbol in owner:
            other, before = owner[symbol]
            same = f" ({before!r} and {written!r} are one)" if before != written else ""
            raise ValueError(f"{path}: {symbol}{same} is in both {other!r} and {segment!r}: keep it in one")
        owner[symbol] = segment, written
        read.append(symbol)
    return tuple(read)


def _symbol(path: Path, written: object, where: str) -> str:
    if not isinstance(written, str) or not _SYMBOL.fullmatch(written):
        raise ValueError(f"{path}, in {where!r}: {written!r} is not a symbol: write a text, such as BRK.B")
    try:
        return canonical_symbol(written)
    except ValueError as error:
        raise ValueError(f"{path}, in {where!r}: {error}") from None


def _check_calendar(path: Path, calendar: TradingCalendar) -> None:
    try:
        _ = calendar.timezone
    except KeyError:
        import exchange_calendars

        hint = did_you_mean(calendar.name, sorted(exchange_calendars.get_calendar_names()))
        raise ValueError(f"{path}: unknown calendar {calendar.name!r}: {hint}") from None
