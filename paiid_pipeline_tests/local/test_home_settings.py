"""What is settled at the start: the first partition, and one universe for all processes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pytest

from paiid_pipeline import universe_snapshot
from paiid_pipeline.cli import access, main
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.local.home_settings import chosen, extend_back, first_partition
from paiid_pipeline.settings import Settings, SettingsError, load_settings
from paiid_pipeline_tests.defs.world import START


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    universe = tmp_path / "universe.toml"
    universe.write_text('[segments]\ntech = ["AAPL"]\n')
    return {"PAIID_HOME": str(tmp_path / "home"), "PAIID_UNIVERSE": str(universe)}


def start(variables: dict[str, str], **more: str) -> Settings:
    return load_settings(variables | more)


def test_the_grid_begins_with_the_first_pass_and_stays_there(variables: dict[str, str]) -> None:
    settings = start(variables)
    with patch.object(SystemClock, "now", lambda _self: START):
        first = first_partition(settings)
    assert first == {"PAIID_PARTITIONS_START": "2026-03-09"}  # the newest daily decision is the 9th's
    (settings.home / "dagster" / "synthetic").mkdir(parents=True)
    later = START.replace(month=11)
    with patch.object(SystemClock, "now", lambda _self: later):
        assert first_partition(settings) == first


@pytest.mark.parametrize(
    ("asked", "first"),
    [("2026-03-01", "2026-03-01"), ("2014-06-09", "2014-06-09"), ("2026-03-09", "2026-03-09"), ("2026-04-01", None)],
)
@pytest.mark.parametrize("started", [False, True])
def test_a_history_moves_the_first_partition_back_and_never_forth(
    variables: dict[str, str], asked: str, first: str | None, started: bool
) -> None:
    settings = start(variables)
    with patch.object(SystemClock, "now", lambda _self: START):
        if started:
            first_partition(settings)
            (settings.home / "dagster" / "synthetic").mkdir(parents=True)
        expected = {"PAIID_PARTITIONS_START": first or "2026-03-09"}
        assert extend_back(settings, date.fromisoformat(asked)) == expected
        assert first_partition(settings) == expected
        with pytest.raises(SettingsError, match="PAIID_PARTITIONS_START"):
            extend_back(settings, date(1970, 1, 1))
        assert first_partition(settings) == expected


def test_backfill_gives_its_process_a_grid_that_has_the_history(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(access, "with_services", lambda _settings, _command, own: given.append(own) or 0)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["backfill", "2025-11-20", "2025-11-21"]) == 0
    assert given == [{"PAIID_PARTITIONS_START": "2025-11-20"}]


def test_each_source_has_its_own(variables: dict[str, str]) -> None:
    with patch.object(SystemClock, "now", lambda _self: START):
        assert first_partition(start(variables)) == {"PAIID_PARTITIONS_START": "2026-03-09"}
        keys = {"PAIID_ALPACA_KEY_ID": "x", "PAIID_ALPACA_SECRET_KEY": "y"}
        sunday = START.replace(day=15)
        with patch.object(SystemClock, "now", lambda _self: sunday):
            found = first_partition(start(variables, PAIID_SOURCE="alpaca", **keys))
        assert found == {"PAIID_PARTITIONS_START": "2026-03-13"}


def test_what_was_asked_for_a_replay_and_an_older_home_keep_theirs(variables: dict[str, str]) -> None:
    assert first_partition(start(variables, PAIID_PARTITIONS_START="2025-01-01")) == {}
    assert first_partition(start(variables, PAIID_CLOCK="replay:2014-06-09T15:00:00-04:00@1")) == {}
    settings = start(variables)
    (settings.home / "dagster" / "synthetic").mkdir(parents=True)
    assert first_partition(settings) == extend_back(settings, date(2026, 1, 5)) == {}


def test_all_processes_get_the_same_copy_of_the_universe(variables: dict[str, str]) -> None:
    environment = chosen(start(variables))
    again = chosen(load_settings(environment))
    assert environment["PAIID_UNIVERSE"] == again["PAIID_UNIVERSE"] != variables["PAIID_UNIVERSE"]
    assert environment[universe_snapshot.ORIGINAL] == variables["PAIID_UNIVERSE"]
    assert universe_snapshot.changed(environment) == ""
