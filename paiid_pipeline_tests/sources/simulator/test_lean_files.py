"""A ticker on a day means one company, and only that company's splits and dividends count for it."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from paiid_pipeline.sources.simulator.lean_files import Companies, Company
from paiid_pipeline.trading_calendar import TradingCalendar

XNYS = TradingCalendar("XNYS")
EVER = (date(1998, 1, 1), date(2030, 1, 1))


@pytest.fixture
def made(tmp_path: Path) -> Companies:
    """OLD was renamed NEW on Monday 2013-07-01; another company has had OLD since 2013-07-10 and split 1:20."""
    maps, factors = tmp_path / "map_files", tmp_path / "factor_files"
    maps.mkdir()
    factors.mkdir()
    (maps / "new.csv").write_text("20100104,old,N\n20130628,old,N\n20501231,new,N\n")
    (factors / "new.csv").write_text("20100104,0.99,0.1428571,1\n20130628,0.99,0.1428571,100\n20501231,1,1,0\n")
    (maps / "old.csv").write_text("20130710,old,N\n20501231,old,N\n")
    (factors / "old.csv").write_text("20130710,1,20,1\n20140703,1,20,0.5\n20501231,1,1,0\n")
    (factors / "lone.csv").write_text("20100104,1,0.997307,1\n20150424,1,0.997307,565.06\n20501231,1,1,0")
    return Companies(tmp_path, XNYS)


@pytest.mark.parametrize(
    ("ticker", "day", "name", "tickers"),
    [
        ("OLD", date(2013, 6, 28), "new", ["OLD", "NEW"]),
        ("NEW", date(2013, 7, 1), "new", ["OLD", "NEW"]),
        ("OLD", date(2013, 7, 10), "old", ["OLD"]),
        ("OLD", date(2013, 7, 3), "old", ["OLD"]),  # between the two: neither company
        ("NEW", date(2013, 6, 28), "new", ["NEW"]),  # not yet its name
        ("OTHER", date(2013, 6, 28), "other", ["OTHER"]),
    ],
)
def test_a_ticker_means_the_company_that_holds_it_that_day(
    made: Companies, ticker: str, day: date, name: str, tickers: list[str]
) -> None:
    company = made.of(ticker, day)
    assert (company.name, [span.ticker for span in company.spans]) == (name, tickers)


def test_a_ticker_between_two_companies_is_neither(made: Companies) -> None:
    company = made.of("OLD", date(2013, 7, 3))
    assert (company.spans[0].first, company.spans[0].last) == (date(2013, 6, 29), date(2013, 7, 9))
    assert company.splits(*EVER) == company.dividends(*EVER) == []


def test_what_changes_after_a_row_happens_at_the_next_session(made: Companies) -> None:
    company = made.of("NEW", date(2014, 1, 2))
    assert company.splits(*EVER) == [(date(2013, 7, 1), Fraction(7))]
    assert company.dividends(*EVER) == [(date(2013, 7, 1), pytest.approx(1.0))]
    assert made.of("OLD", date(2014, 1, 2)).splits(*EVER) == [(date(2014, 7, 7), Fraction(1, 20))]  # over the 4th


def test_only_what_falls_in_the_days_asked_for_is_told(made: Companies) -> None:
    company = made.of("NEW", date(2014, 1, 2))
    assert company.splits(date(2013, 7, 1), date(2013, 7, 1))
    assert not company.splits(date(2013, 7, 2), date(2030, 1, 1))
    assert not company.splits(date(2010, 1, 1), date(2013, 6, 30))
    assert company.renames(*EVER) == [(date(2013, 7, 1), "OLD", "NEW")]


def test_a_split_factor_that_is_no_simple_fraction_is_a_stock_dividend(made: Companies) -> None:
    ((kind, row),) = made.of("LONE", date(2014, 1, 2)).actions("LONE", *EVER)
    assert (kind, row["ex_date"]) == ("stock_dividends", "2015-04-27")
    assert row["rate"] == pytest.approx(1 / 0.997307 - 1, abs=1e-8)


def test_a_folder_without_any_files_has_companies_of_one_ticker(tmp_path: Path) -> None:
    company = Companies(tmp_path, XNYS).of("AAPL", date(2014, 1, 2))
    assert company.spans[0].ticker == "AAPL"
    assert company.actions("AAPL", *EVER) == []


# --- the real files


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Companies:
    return Companies(data_dir / "bars", XNYS)


@pytest.mark.parametrize(
    ("ticker", "ex_date", "ratio"),
    [
        ("AAPL", date(2000, 6, 21), Fraction(2)),
        ("AAPL", date(2005, 2, 28), Fraction(2)),
        ("AAPL", date(2014, 6, 9), Fraction(7)),
        ("AAPL", date(2020, 8, 31), Fraction(4)),
        ("AIG", date(2009, 7, 1), Fraction(1, 20)),
        ("IBM", date(1999, 5, 27), Fraction(2)),
        ("BAC", date(2004, 8, 30), Fraction(2)),
        ("QQQ", date(2000, 3, 20), Fraction(2)),
    ],
)
def test_the_splits_that_the_data_is_known_for(real: Companies, ticker: str, ex_date: date, ratio: Fraction) -> None:
    assert real.of(ticker, ex_date).splits(ex_date, ex_date) == [(ex_date, ratio)]


def test_apples_dividends_are_what_it_paid(real: Companies) -> None:
    paid = dict(real.of("AAPL", date(2015, 1, 2)).dividends(date(2013, 1, 1), date(2014, 12, 31)))
    assert paid[date(2014, 5, 8)] == pytest.approx(3.29, abs=2e-3)
    assert paid[date(2014, 8, 7)] == pytest.approx(0.47, abs=2e-3)


@pytest.mark.parametrize(
    ("ticker", "day", "name"),
    [
        ("TWX", date(2000, 6, 1), "twx.1"),
        ("TWX", date(2014, 6, 9), "twx"),
        ("AOL", date(2001, 6, 1), "twx"),
        ("NWSA", date(2013, 6, 28), "tfcfa"),
        ("FOXA", date(2013, 7, 1), "tfcfa"),
        ("NWSA", date(2013, 7, 1), "nwsa"),
        ("FB", date(2002, 1, 2), "fb.1"),
        ("FB", date(2012, 5, 18), "fb"),
        ("GOOG", date(2014, 4, 2), "googl"),
        ("GOOG", date(2014, 4, 3), "goog"),
        ("WMI", date(2009, 8, 4), "wm"),
        ("WM", date(2009, 8, 5), "wm"),
    ],
)
def test_reused_and_changed_tickers(real: Companies, ticker: str, day: date, name: str) -> None:
    assert real.of(ticker, day).name == name


def test_washington_mutual_is_not_paid_waste_managements_dividends(real: Companies) -> None:
    mutual: Company = real.of("WM", date(2008, 9, 1))
    assert mutual.actions("WM", *EVER) == []
    assert mutual.spans[0].last == date(2009, 8, 4)
