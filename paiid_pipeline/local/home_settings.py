"""The settings that hold from the start of a home's servers until they stop."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from paiid_pipeline import universe_snapshot
from paiid_pipeline.atomic_files import write_text
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.local.home import profile_of
from paiid_pipeline.settings import SIMULATED, Settings, load_settings

_FIRST = "PAIID_PARTITIONS_START"


def chosen(settings: Settings) -> dict[str, str]:
    """The environment of the processes of a home: the choices of its settings, absolute and complete."""
    choices = {
        "PAIID_HOME": str(settings.home),
        "PAIID_SOURCE": settings.source,
        "PAIID_UNIVERSE": str(universe_snapshot.freeze(settings.universe_path, settings.home / "run" / "universe")),
        universe_snapshot.ORIGINAL: str(settings.universe_path),
        "PAIID_CLOCK": settings.clock,
    }
    if settings.data_dir is not None:
        choices["PAIID_DATA_DIR"] = str(settings.data_dir)
    if settings.clock.startswith("replay:"):
        choices["PAIID_CLOCK_ORIGIN"] = (settings.clock_origin or SystemClock().now()).isoformat()
    return choices


def first_partition(settings: Settings) -> dict[str, str]:
    """The variable of the first partition: the day requested, else the oldest session of the home's first pass.

    A grid that began earlier would show partitions as missing that nobody requested. Empty for a replay, which has
    the weeks around its start, and in a home that already has the partitions of before.
    """
    if settings.clock.startswith("replay:") or "first_day" in settings.model_fields_set:
        return {}
    kept = _kept(settings)
    if not kept.exists():
        if (settings.home / "dagster" / profile_of(settings)).exists():
            return {}
        calendar = settings.universe.calendar
        session = calendar.session_of(calendar.latest_decision(settings.open_clock().now(), "daily"))
        if session is None:
            return {}
        write_text(kept, session.day.isoformat())
    return {_FIRST: kept.read_text().strip()}


def extend_back(settings: Settings, first: date) -> dict[str, str]:
    """As `first_partition`, which is from now on no later than ``first``: what was requested is in the grid.

    Raises SettingsError for a day before any partition.
    """
    found = first_partition(settings)
    if not found or date.fromisoformat(found[_FIRST]) <= first:
        return found
    earlier = {_FIRST: first.isoformat()}
    load_settings(earlier)
    write_text(_kept(settings), earlier[_FIRST])
    return earlier


def check_inputs(settings: Settings) -> None:
    """Raises ValueError or LookupError for what would fail a pass of the graph only after servers have started."""
    from paiid_pipeline.signals.rules import load_rules
    from paiid_pipeline.sources import open_source

    settings.universe  # noqa: B018
    load_rules(settings.rules_path)
    if settings.source not in SIMULATED:
        open_source(settings)


def _kept(settings: Settings) -> Path:
    return settings.home / "run" / f"{profile_of(settings)}.first_day"
