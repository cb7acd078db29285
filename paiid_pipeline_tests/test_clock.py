"""The clock: the only now() in the package."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import paiid_pipeline
from paiid_pipeline.clock import FixedClock, ReplayClock, SystemClock, parse_clock


def test_a_replay_starts_where_it_is_told_and_runs_at_its_speed() -> None:
    origin = datetime.now(UTC) - timedelta(seconds=10)
    clock = parse_clock("replay:2014-06-09T15:00:00-04:00@60", origin)
    assert isinstance(clock, ReplayClock)
    start = datetime(2014, 6, 9, 19, tzinfo=UTC)
    assert start + timedelta(minutes=10) <= clock.now() < start + timedelta(minutes=11)


def test_two_processes_with_one_origin_share_one_replay() -> None:
    origin = datetime.now(UTC)
    one, other = (parse_clock("replay:2014-06-09T19:00:00+00:00@1", origin) for _ in range(2))
    assert abs(one.now() - other.now()) < timedelta(seconds=1)


def test_only_the_system_clock_is_real_time() -> None:
    assert SystemClock().real_time
    assert not parse_clock("replay:2014-06-09T19:00:00+00:00@1").real_time
    assert parse_clock("system") == parse_clock("") == SystemClock()


def test_waiting_for_the_past_returns_at_once_and_a_fixed_clock_moves_to_the_future() -> None:
    moment = datetime(2014, 6, 9, tzinfo=UTC)
    clock = FixedClock(moment)
    clock.wait_until(moment - timedelta(days=1))
    assert clock.now() == moment
    clock.wait_until(moment + timedelta(days=1))
    assert clock.now() == moment + timedelta(days=1)
    SystemClock().wait_until(moment)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("replay:2014-06-09T15:00:00@1", "no UTC offset"),
        ("replay:yesterday@1", "Invalid isoformat"),
        ("replay:2014-06-09T15:00:00-04:00@0", "speed must be above 0"),
        ("sundial", "is not a clock"),
    ],
)
def test_a_clock_that_cannot_be_read_names_the_value_and_the_remedy(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_clock(spec)
    assert spec in str(caught.value)
    assert "replay:2014-06-09T15:00:00-04:00@1" in str(caught.value)


def test_nothing_but_the_clock_asks_what_time_it_is() -> None:
    package = Path(paiid_pipeline.__file__).parent
    offenders = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        if path.name != "clock.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("now", "utcnow", "today")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("datetime", "date", "pd")
    ]
    assert offenders == []
