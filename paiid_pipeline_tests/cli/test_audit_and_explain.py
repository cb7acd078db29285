"""`paiid audit-lookahead` and `paiid explain` on a warehouse that the real graph has filled."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest

from paiid_pipeline.cli import main
from paiid_pipeline.cli.audit import audit_lookahead
from paiid_pipeline.cli.explain import explain
from paiid_pipeline.serving.explanation import moment_of
from paiid_pipeline.settings import Settings
from paiid_pipeline_tests.defs.world import START, World

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


@pytest.fixture
def filled(world: World) -> World:
    """Two days decided, the newer one until noon."""
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    return world


def settings_of(world: World) -> Settings:
    return world.pipeline(NOW).settings


def found(world: World, capsys: pytest.CaptureFixture[str], sample: int = 60) -> tuple[int, dict[str, object]]:
    """The exit code and the document of an audit."""
    capsys.readouterr()
    code = audit_lookahead(settings_of(world), [], sample, 1, as_json=True)
    return code, json.loads(capsys.readouterr().out)


def test_an_honest_warehouse_passes_and_each_way_to_spoil_one_is_named(
    filled: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal, a sentiment and bars changed in place: each shows, and what rests on none of it still passes."""
    code, report = found(filled, capsys)
    assert (code, report["passed"], report["first_difference"]) == (0, True, None)
    assert report["decisions"] == 60
    rows = report["rows_compared"]
    assert rows["signals, stored"] == rows["signals, recomputed from all that is known now"] > 30  # type: ignore[index]
    assert rows["symbol_sentiment, stored"] == 60  # type: ignore[index]
    assert report["not_compared"] == {}

    filled.execute("update signals set strength = strength + 1e-15 where symbol = 'KO' and horizon = 'daily'")
    code, report = found(filled, capsys)
    assert code == 1
    first = report["first_difference"]
    assert (first["table"], first["column"], first["symbol"]) == ("signals", "strength", "KO")  # type: ignore[index]
    assert (first["against"], first["horizon"]) == ("stored", "daily")  # type: ignore[index]

    assert rows["article_sentiment, stored"] > 20  # type: ignore[index]
    filled.execute("update symbol_sentiment set article_count = article_count + 1 where symbol = 'JPM'")
    _, report = found(filled, capsys)
    columns = {(each["table"], each["column"], each["symbol"]) for each in report["differences"]}  # type: ignore[attr-defined]
    assert ("symbol_sentiment", "article_count", "JPM") in columns

    filled.execute(
        "update market_bars set close = high where symbol = 'MSFT' and timeframe = '1Min' and close < high"
        " and bar_end < '2026-03-10 00:00Z'"
    )
    _, report = found(filled, capsys)
    assert ("technical_indicators", "MSFT") in {(each["table"], each["symbol"]) for each in report["differences"]}  # type: ignore[attr-defined]

    filled.execute("update article_sentiment set score = score + 1e-15 where symbol = 'JPM' and model = 'ensemble'")
    _, report = found(filled, capsys)
    assert ("article_sentiment", "score", "JPM") in {
        (each["table"], each["column"], each["symbol"])
        for each in report["differences"]  # type: ignore[attr-defined]
    }

    assert audit_lookahead(settings_of(filled), ["AAPL"], 10, 0, as_json=False) == 0
    printed = capsys.readouterr().out
    assert "no difference: nothing has looked ahead" in printed
    assert "on 1 of 4 symbols" in printed
    assert audit_lookahead(settings_of(filled), ["KO", "JPM", "MSFT"], 60, 0, as_json=False) == 1
    printed = capsys.readouterr().out
    assert "DIFFERENCES; the first:" in printed
    assert "only stored rows differ" in printed


def test_an_empty_warehouse_and_an_unknown_symbol_do_not_pass(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_lookahead(settings_of(world), [], 10, 0, as_json=False) == 1
    assert "nothing has been decided yet" in capsys.readouterr().out
    assert audit_lookahead(settings_of(world), ["AAPX"], 10, 0, as_json=False) == 2
    assert "did you mean AAPL?" in capsys.readouterr().err
    assert explain(settings_of(world), "AAPL", None, None, as_json=False) == 1
    assert "nothing is decided by then" in capsys.readouterr().err
    assert explain(settings_of(world), "AAPL", None, None, engine="ml", as_json=False) == 1
    assert "by the engine ml: no signal model is installed: none has passed the gate" in capsys.readouterr().err


def test_a_signal_is_explained_with_all_that_it_rests_on(filled: World, capsys: pytest.CaptureFixture[str]) -> None:
    for symbol in ("AAPL", "JPM"):
        assert explain(settings_of(filled), symbol, "intraday", None, as_json=True) == 0
        document = json.loads(capsys.readouterr().out)
        signal = document["signal"]
        assert datetime.fromisoformat(signal["as_of"]) == START
        assert sum(reason["contribution"] for reason in signal["reasons"]) == pytest.approx(
            signal["strength"], abs=5e-4
        )
        (bar,) = document["bars"]["newest"]
        assert datetime.fromisoformat(bar["bar_end"]) == START
        assert datetime.fromisoformat(bar["known_at"]) <= datetime.fromisoformat(document["known_by"])
        assert document["bars"]["count"] == document["indicators"]["bars"]
        assert bar["close"] == signal["price"] == document["indicators"]["close"]
        articles, sentiment = document["articles"], document["sentiment"]
        assert len(articles) == sentiment["article_count"] > 0
        weight = sum(article["weight"] for article in articles)
        mean = sum(article["weight"] * article["score"] for article in articles) / weight
        assert mean == pytest.approx(sentiment["score"], abs=1e-12)
        assert all(article["headline"] for article in articles)
        assert all(
            datetime.fromisoformat(a["known_at"]) <= datetime.fromisoformat(document["known_by"]) for a in articles
        )
        assert document["newer_withheld"] is None


def test_the_text_form_and_the_moment_asked_for(filled: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(settings_of(filled), "AAPL", "daily", None, as_json=False) == 0
    printed = capsys.readouterr().out
    run = filled.warehouse.signals.latest(["AAPL"], NOW)["run_id"][0]
    for words in ("why\n", "[rsi]", "known at", "1Day bar", "corporate actions applied", "rsi_14", "sentiment", run):
        assert words in printed, words
    assert explain(settings_of(filled), "AAPL", "intraday", "2026-03-10T09:03Z", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["signal"]["as_of"] == "2026-03-10T09:00:00+00:00"
    assert explain(settings_of(filled), "AAPL", "intraday", "1999-01-01", as_json=True) == 1
    assert explain(settings_of(filled), "AAPL", "intraday", "June", as_json=True) == 2
    assert "--as-of 'June' is not a moment" in capsys.readouterr().err


def test_a_withheld_decision_is_said_with_its_reason(filled: World, capsys: pytest.CaptureFixture[str]) -> None:
    newest = f"as_of = '{START.isoformat()}' and symbol = 'KO' and horizon = 'intraday'"
    filled.execute(f"delete from signals where {newest}")
    filled.execute(
        "delete from market_bars where symbol = 'KO' and timeframe = '1Min' and bar_end > '2026-03-10 11:30Z'"
    )
    assert explain(settings_of(filled), "KO", "intraday", None, as_json=False) == 0
    assert "NOTE: the intraday decision of 2026-03-10 12:00:00Z has none: newest bar ended" in capsys.readouterr().out
    filled.execute("delete from signals where symbol = 'KO' and horizon = 'intraday'")
    assert explain(settings_of(filled), "KO", "intraday", None, as_json=False) == 1
    assert "newest bar ended" in capsys.readouterr().err


def test_a_moment_without_an_offset_is_in_exchange_time(world: World) -> None:
    settings = settings_of(world)
    assert moment_of("2026-03-10T09:00", settings).isoformat() == "2026-03-10T09:00:00+00:00"
    assert moment_of("2026-03-10T09:00-04:00", settings).isoformat() == "2026-03-10T13:00:00+00:00"
    assert moment_of("2026-03-10", settings).isoformat() == "2026-03-11T00:00:00+00:00"


def test_a_sample_that_is_no_count_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["audit-lookahead", "--sample", "none"])
    assert refused.value.code == 2
    assert "'none' is not a count" in capsys.readouterr().err
