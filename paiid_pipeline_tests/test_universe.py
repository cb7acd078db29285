"""Sessions, the decision grid, and the universe file."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.trading_calendar import HORIZONS, TradingCalendar
from paiid_pipeline.universe import load_universe

XNYS = TradingCalendar("XNYS")
ALWAYS = TradingCalendar("24/7")


def test_sessions_agree_with_the_exchanges_own_answers(data_dir: Path) -> None:
    with (data_dir / "calendars" / "xnys_answers.csv").open() as file:
        answers = {row[""][:10]: (row["open"], row["close"]) for row in csv.DictReader(file)}
    for year in (1998, 2001, 2012, 2014, 2020):
        got = {
            str(s.day): (f"{s.open:%Y-%m-%dT%H:%M:%SZ}", f"{s.close:%Y-%m-%dT%H:%M:%SZ}")
            for s in XNYS.sessions(date(year, 1, 1), date(year, 12, 31))
        }
        assert got == {day: moments for day, moments in answers.items() if day.startswith(str(year))}


def test_a_half_day_and_a_dst_change_keep_to_exchange_time() -> None:
    half = XNYS.session(date(2014, 7, 3))
    assert half is not None
    assert half.close == datetime(2014, 7, 3, 17, tzinfo=UTC)
    winter, summer = XNYS.session(date(2014, 3, 7)), XNYS.session(date(2014, 3, 10))
    assert winter is not None
    assert summer is not None
    assert (winter.open.hour, summer.open.hour) == (14, 13)


@settings(deadline=None)  # the first day of a year computes its sessions
@given(st.dates(date(2013, 1, 1), date(2026, 12, 31)), st.sampled_from([XNYS, ALWAYS]))
def test_every_decision_lies_in_its_own_session_and_in_no_other(day: date, calendar: TradingCalendar) -> None:
    session = calendar.session(day)
    if session is None:
        return
    for horizon in HORIZONS:
        times = calendar.decision_times(session, horizon)
        assert times == sorted(set(times))
        assert times[-1] == session.close
        assert all(calendar.session_of(moment) == session for moment in (times[0], times[-1]))


@settings(deadline=None)  # the first day of a year computes its sessions
@given(st.datetimes(datetime(2014, 1, 1), datetime(2026, 6, 1)), st.sampled_from([XNYS, ALWAYS]))  # noqa: DTZ001
def test_the_latest_decision_is_never_in_the_future_and_nothing_lies_between(
    naive: datetime, calendar: TradingCalendar
) -> None:
    moment = naive.replace(tzinfo=UTC)
    decision = calendar.latest_decision(moment, "intraday")
    session = calendar.session_of(decision)
    assert decision <= moment
    assert session is not None
    assert not any(decision < t <= moment for t in calendar.decision_times(session, "intraday"))


@pytest.mark.parametrize(
    ("name", "moment", "day"),
    [
        ("CMES", datetime(2025, 11, 19, 1, tzinfo=UTC), date(2025, 11, 19)),  # 19:00 of Tuesday in Chicago
        ("CMES", datetime(2025, 11, 24, 0, tzinfo=UTC), date(2025, 11, 24)),  # Sunday evening
        ("us_futures", datetime(2025, 11, 19, 1, tzinfo=UTC), date(2025, 11, 19)),
        ("IEPA", datetime(2025, 11, 19, 2, tzinfo=UTC), date(2025, 11, 19)),
        ("CMES", datetime(2025, 11, 22, 12, tzinfo=UTC), None),  # Saturday
        ("XASX", datetime(2025, 11, 18, 23, 30, tzinfo=UTC), date(2025, 11, 19)),
        ("XNYS", datetime(2025, 11, 19, 1, tzinfo=UTC), None),
        ("24/7", datetime(2025, 11, 19, 1, tzinfo=UTC), date(2025, 11, 19)),
    ],
)
def test_a_session_that_opens_on_the_evening_before_its_date_is_open_then(
    name: str, moment: datetime, day: date | None
) -> None:
    calendar = TradingCalendar(name)
    session = calendar.session_of(moment)
    assert (session and session.day) == day
    latest = calendar.latest_session(moment)
    assert latest.open < moment
    assert session is None or latest == session
    decision = calendar.latest_decision(moment, "intraday")
    assert decision <= moment
    assert session is None or moment - decision < timedelta(minutes=5) or decision < session.open
    assert calendar.next_decision("daily", moment) > moment


def test_midnight_of_a_market_that_never_closes_belongs_to_the_day_that_ends() -> None:
    session = ALWAYS.session_of(datetime(2026, 11, 24, tzinfo=UTC))
    assert session is not None
    assert session.day == date(2026, 11, 23)
    assert ALWAYS.latest_session(datetime(2026, 11, 24, 0, 0, 1, tzinfo=UTC)).day == date(2026, 11, 24)


def test_a_daily_decision_holds_until_the_next_close_and_an_intraday_one_for_a_step() -> None:
    """Over a weekend and a holiday, to the early close of a half day."""
    calendar = TradingCalendar("XNYS")
    friday, wednesday = datetime(2014, 6, 6, 20, tzinfo=UTC), datetime(2014, 11, 26, 21, tzinfo=UTC)
    assert calendar.next_decision("daily", friday) == datetime(2014, 6, 9, 20, tzinfo=UTC)
    assert calendar.next_decision("daily", wednesday) == datetime(2014, 11, 28, 18, tzinfo=UTC)
    assert calendar.next_decision("intraday", friday) == friday + timedelta(minutes=5)


def test_session_back_counts_sessions_not_days() -> None:
    assert XNYS.session_back(date(2014, 6, 9), 1).day == date(2014, 6, 6)
    assert XNYS.session_back(date(2014, 6, 8), 0).day == date(2014, 6, 6)
    assert ALWAYS.session_back(date(2026, 11, 23), 3).day == date(2026, 11, 20)


def test_an_action_applies_from_local_midnight() -> None:
    assert XNYS.day_start(date(2014, 6, 9)) == datetime(2014, 6, 9, 4, tzinfo=UTC)
    assert XNYS.day_start(date(2014, 12, 9)) - datetime(2014, 12, 9, tzinfo=UTC) == timedelta(hours=5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[segments]\ntech = ["AAPL"]\nother = ["AAPL"]', "AAPL is in both 'tech' and 'other'"),
        ('[segment]\ntech = ["AAPL"]', "did you mean 'segments'"),
        ("", "no \\[segments\\] table"),
        ('[segments]\ntech = ["AAPL US"]', "universe.toml, in 'tech': 'AAPL US' is not a symbol"),
        ('[segments]\ntech = ["AAPL:US"]', "'AAPL' is no exchange that is known"),
        ('[segments]\ntech = ["AAPL", 7, ["B"]]', "is not a symbol"),
        ('[segments]\na = ["BRK.B"]\nb = ["NYSE:BRK/B"]', "'BRK.B' and 'NYSE:BRK/B' are one"),
        ('[segments]\na = ["BRK.B", "$brk-b"]', "is in both 'a' and 'a'"),
        ('[segments]\na = ["BRK.B"]\n[names]\n"BRK-A" = ["Berkshire"]', "did you mean 'BRK.B'"),
        ("[segments]\ntech = []", "must be a list of symbols"),
        ('[segments]\n"a|b" = ["AAPL"]', "may hold only letters"),
        ('calendar = "XNYZ"\n[segments]\ntech = ["AAPL"]', "unknown calendar 'XNYZ'"),
        ("[segments", "not valid TOML"),
    ],
)
def test_a_universe_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "universe.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_universe(path, "XNYS")


def test_a_universe_means_one_symbol_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "universe.toml"
    path.write_text('[segments]\na = ["NASDAQ:AAPL", " brk/b ", "BF-B"]\n[names]\n"$brk.b" = ["Berkshire"]')
    universe = load_universe(path, "XNYS")
    assert universe.symbols == ("AAPL", "BRK.B", "BF.B")
    assert universe.names == {"BRK.B": ("Berkshire",)}


def test_a_universe_with_a_byte_order_mark_is_read_and_one_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "universe.toml"
    text = '[segments]\na = ["AI"]\n[names]\nAI = ["L\u2019Air"]'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_universe(path, "XNYS").names == {"AI": ("L\u2019Air",)}
    for encoding in ("cp1252", "utf-16"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(ValueError, match=r"universe.toml is not UTF-8 \(line [14]\): save it as UTF-8"):
            load_universe(path, "XNYS")
    with pytest.raises(ValueError, match="cannot be read"):
        load_universe(tmp_path, "XNYS")


def test_cached_sessions_are_the_computed_ones_and_need_no_library(tmp_path: Path) -> None:
    days = date(2014, 1, 1), date(2014, 12, 31)
    cached = TradingCalendar("XNYS", tmp_path)
    assert cached.sessions(*days) == XNYS.sessions(*days)
    code = (
        "import sys; from datetime import date; from pathlib import Path;"
        "from paiid_pipeline.universe import TradingCalendar;"
        f"print(len(TradingCalendar('XNYS', Path({str(tmp_path)!r})).sessions(date(2014, 1, 1), date(2014, 12, 31))),"
        "'exchange_calendars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["252", "False"]


def test_a_segment_misspelt_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "universe.toml"
    path.write_text('[segments]\ntechnology = ["AAPL", "BRK.B"]')
    universe = load_universe(path, "XNYS")
    assert universe.symbols == ("AAPL", "BRK.B")
    with pytest.raises(KeyError, match="did you mean 'technology'"):
        universe.members(["tecnology"])


def test_peers_are_all_symbols_of_the_segments_of_some_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "universe.toml"
    path.write_text('[segments]\nb = ["X", "A"]\nc = ["Z"]\na = ["M", "N"]\n')
    universe = load_universe(path, "XNYS")
    assert universe.peers(["N", "A"]) == ["X", "A", "M", "N"]
    assert universe.peers(["Z", "Z"]) == ["Z"]
    assert universe.peers([]) == universe.peers(["NOT THERE"]) == []
