"""What applications import from `paiid_pipeline` itself, called as the project's first document calls it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import paiid_pipeline
from paiid_pipeline import (
    CacheManager,
    MLDataPipeline,
    RiskManager,
    SentimentAnalyzer,
    SignalGenerator,
    SignalValidator,
    TechnicalAnalyzer,
)
from paiid_pipeline.cache import CacheError
from paiid_pipeline.ml.signing import SigningKey, sign_folder
from paiid_pipeline.ml.text.scoring import save_blend
from paiid_pipeline.schemas import BARS, SIGNALS, SYMBOL_SENTIMENT, empty
from paiid_pipeline.sentiment.ensemble import EnsembleWeights
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.warehouse import Warehouse, migrate
from paiid_pipeline_tests.signals.test_generator import OVERSOLD, indicators
from paiid_pipeline_tests.warehouse.rows import MINUTE, T0, article, bar, bars, news

NOW = datetime(2014, 6, 9, 19, 0, 20, tzinfo=UTC)
T = NOW.replace(second=0)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_url: str) -> str:
    """A process started as `paiid with-services` starts one, on an empty warehouse at 15:00:20 in New York."""
    variables = {
        "PAIID_HOME": str(tmp_path),
        "PAIID_POSTGRES_URL": postgres_url,
        "PAIID_REDIS_URL": redis_url,
        "PAIID_CLOCK": f"replay:{NOW.isoformat()}@1",
        "PAIID_MODEL_KEY": "11" * 32,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    migrate(postgres_url)
    return postgres_url


@pytest.fixture
def warehouse(environment: str) -> Iterator[Warehouse]:
    with Warehouse(environment) as opened:
        yield opened


def decided(
    horizon: Horizon = "intraday", symbol: str = "AAPL", as_of: datetime = T, **changes: object
) -> pl.DataFrame:
    moments = {"as_of": as_of, "bar_start": as_of - MINUTE, "bar_end": as_of}
    return indicators(symbol, **{**OVERSOLD, "horizon": horizon, **moments, **changes})


def test_the_package_itself_imports_nothing_that_costs() -> None:
    code = "import paiid_pipeline, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    with_it = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"polars", "numpy", "pandas", "pydantic", "redis", "sqlalchemy", "psycopg2", "dagster", "httpx", "torch"}
    assert not heavy & set(with_it)
    assert not [name for name in with_it if name.startswith("paiid_pipeline.")]


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(paiid_pipeline.__all__) <= set(dir(paiid_pipeline))
    assert all(getattr(paiid_pipeline, name).__name__ == name for name in paiid_pipeline.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'SignalGenerater'"):
        paiid_pipeline.SignalGenerater  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.usefixtures("environment")
def test_a_sentiment_analyzer_has_what_is_installed_and_says_what_is_not(tmp_path: Path) -> None:
    bare = SentimentAnalyzer()
    result = bare.analyze_sentiment("Apple beats estimates: excellent profit")
    assert result.label == "positive"
    assert {"missing:custom_bert", "missing:finbert"} <= set(result.flags)
    assert bare.route.unavailable.keys() == {"custom_bert", "finbert"}
    save_blend(EnsembleWeights("fitted.x", {"vader": 1.0}, 2.0), tmp_path / "models" / "ensemble")
    sign_folder(tmp_path / "models" / "ensemble", SigningKey(b"\x11" * 32))
    assert SentimentAnalyzer().analyze_sentiment("excellent profit").model_version.startswith("fitted.x(vader")


def test_the_pipeline_answers_in_an_event_loop_and_beside_others(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(1, headline="Great profit", updated=T - MINUTE)), NOW)
    warehouse.bars.write(bars(bar(T - MINUTE, close=101.0)), NOW)

    async def ask() -> list[object]:
        pipeline = MLDataPipeline()
        return await asyncio.gather(
            *(pipeline.get_sentiment_analysis(symbol, 3) for symbol in ("AAPL", "MSFT", "AAPL"))
        )

    apple, other, again = asyncio.run(ask())  # type: ignore[misc]
    assert (apple.article_count, apple.price, other.article_count) == (1, 101.0, 0)
    assert (again.score, apple.score > 0) == (apple.score, True)
    assert MLDataPipeline().get_sentiment_analysis_sync("AAPL", 3).score == apple.score


def test_signals_are_generated_from_the_sentiment_of_a_text_and_the_indicators_that_are_stored(
    warehouse: Warehouse,
) -> None:
    """At the newest decision of each horizon that still holds; the day's own daily one is not due before the close."""
    yesterday = datetime(2014, 6, 9, tzinfo=UTC)  # the synthetic exchange's midnight
    warehouse.indicators.write(
        pl.concat([decided(as_of=T - 5 * MINUTE, rsi_14=50.0), decided(), decided("daily", as_of=yesterday)])
    )
    good = SentimentAnalyzer().analyze_sentiment("Apple beats estimates: excellent profit and growth")
    bad = SentimentAnalyzer().analyze_sentiment("Apple fraud: awful losses and bankruptcy")
    daily, intraday = SignalGenerator().generate_signals("AAPL", good)
    assert (daily.horizon, daily.as_of, intraday.horizon, intraday.as_of) == ("daily", yesterday, "intraday", T)
    assert intraday.signal in ("BUY", "STRONG_BUY")
    assert intraday.valid_until > NOW
    assert SignalGenerator().generate_signals("AAPL", bad)[1].strength < intraday.strength
    assert warehouse.signals.read(None, "intraday", T, T).is_empty()
    silent = SentimentAnalyzer().analyze_sentiment("")
    assert "No news" in SignalGenerator().generate_signals("AAPL", silent)[1].reasons


def test_signals_are_generated_from_a_frame_at_the_decisions_that_it_is_of(warehouse: Warehouse) -> None:
    earlier = T - 60 * MINUTE
    warehouse.indicators.write(pl.concat([decided(as_of=earlier), decided()]))
    row = ("AAPL", "intraday", earlier, 0.8, 0.6, 3, 0.1, earlier, "ensemble", "1", "h", 1.0)
    frame = pl.DataFrame([row], schema=SYMBOL_SENTIMENT, orient="row")
    [signal] = SignalGenerator().generate_signals("AAPL", frame)
    assert (signal.as_of, signal.signal) == (earlier, "STRONG_BUY")
    given = SignalGenerator(indicators=decided(as_of=earlier)).generate_signals("AAPL", frame)
    assert given == [signal]


def test_the_stakes_of_a_segment_share_its_budget(warehouse: Warehouse) -> None:
    """The others of the segment are decided with it, on their own stored sentiment."""
    good = SentimentAnalyzer().analyze_sentiment("Excellent profit and growth, great success")
    warehouse.indicators.write(decided(atr_percent=0.0005))
    [alone] = SignalGenerator().generate_signals("AAPL", good)
    segment = next(s for s in SignalGenerator()._settings.universe.segments.values() if "AAPL" in s)
    others = [symbol for symbol in segment if symbol != "AAPL"]
    warehouse.indicators.write(pl.concat(decided(symbol=symbol, atr_percent=0.0005) for symbol in others))
    [together] = SignalGenerator().generate_signals("AAPL", good)
    assert alone.position_fraction is not None
    assert together.position_fraction is not None
    assert 0 < together.position_fraction < alone.position_fraction


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ([], "intraday: no decision with indicators that still holds; daily: no decision"),
        ([decided(as_of=T - 10 * MINUTE)], "intraday: no decision with indicators that still holds"),
        ([decided(bar_end=T - 40 * MINUTE)], "intraday: its newest bar ended more than 0:15:00 before the decision"),
    ],
)
def test_where_no_signal_can_be_made_the_reasons_are_said(
    warehouse: Warehouse, stored: list[pl.DataFrame], why: str
) -> None:
    for frame in stored:
        warehouse.indicators.write(frame)
    with pytest.raises(LookupError, match=f"no signal on AAPL: .*{why}"):
        SignalGenerator().generate_signals("AAPL", SentimentAnalyzer().analyze_sentiment("Great profit"))


@pytest.mark.usefixtures("environment")
def test_a_symbol_that_is_not_followed_is_refused_with_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'AAPL'"):
        SignalGenerator().generate_signals("aapll", SentimentAnalyzer().analyze_sentiment("Great profit"))


def test_a_technical_analyzer_reads_bars_in_any_order() -> None:
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 300)))
    frame = pl.DataFrame(
        {
            "symbol": ["A"] * 300,
            "timeframe": ["1Min"] * 300,
            "bar_start": [T0 + MINUTE * n for n in range(300)],
            "bar_end": [T0 + MINUTE * (n + 1) for n in range(300)],
            **{name: close for name in ("open", "high", "low", "close")},
            "volume": np.full(300, 10.0),
            "source": ["test"] * 300,
        }
    ).select(name for name in BARS if name not in ("vwap", "trade_count"))
    expected = indicator_panel(frame, ["symbol", "timeframe"])
    assert TechnicalAnalyzer().indicator_panel(frame.reverse()).equals(expected)
    alone = TechnicalAnalyzer().indicator_panel(frame.select("high", "low", "close", "volume"))
    assert alone["rsi_14"].equals(expected["rsi_14"])
    assert alone["rsi_14"].null_count() == 249


def test_a_risk_manager_has_the_limits_of_the_shipped_rules() -> None:
    rows = pl.DataFrame(
        {
            "symbol": ["A"], "horizon": ["daily"], "as_of": [T], "signal": ["BUY"], "confidence": [0.8],
            "price": [100.0], "atr_percent": [0.02], "turnover_20": [1e9], "valid_until": [T + timedelta(days=1)],
        }
    )  # fmt: skip
    [sized] = RiskManager().size(rows, RiskInputs()).to_dicts()
    assert 0 < sized["position_fraction"] <= 1
    assert sized["stop_loss"] < 100 < sized["take_profit"]


def test_a_signal_validator_names_what_is_unsound() -> None:
    good = SignalGenerator(indicators=decided()).decide(decided(), empty(SYMBOL_SENTIMENT))[0].select(SIGNALS.keys())
    bad = good.with_columns(confidence=pl.lit(1.5))
    validator = SignalValidator()
    assert validator.unsound_signal(pl.concat([good, bad])).to_list() == [None, "the confidence is 1.5"]
    rows = decided().with_columns(sentiment_score=None, sentiment_confidence=None)
    short = rows.with_columns(bars=pl.lit(10, pl.Int64))
    assert validator.unsound_inputs(pl.concat([rows, short])).to_list() == [None, "only 10 of 250 bars"]


@pytest.mark.usefixtures("environment")
def test_a_cache_manager_gives_back_what_was_cached_while_it_is_fresh() -> None:
    async def use() -> tuple[object, ...]:
        cache = CacheManager()
        await cache.cache_result("AAPL:7d", {"score": 0.5, "at": NOW}, "sentiment")
        await cache.cache_result("AAPL", [1, 2], "market")
        return (
            await cache.get_cached_result("AAPL:7d", "sentiment"),
            await cache.get_cached_result("AAPL", "market"),
            await cache.get_cached_result("AAPL", "sentiment"),
        )

    assert asyncio.run(use()) == ({"score": 0.5, "at": "2014-06-09T19:00:20Z"}, [1, 2], None)


@pytest.mark.usefixtures("environment")
def test_what_is_past_its_ttl_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(CacheManager().cache_result("AAPL", 1, "market"))
    later = NOW + timedelta(seconds=70)
    monkeypatch.setenv("PAIID_CLOCK", f"replay:{later.isoformat()}@1")
    assert asyncio.run(CacheManager().get_cached_result("AAPL", "market")) is None


@pytest.mark.usefixtures("environment")
def test_a_wrong_kind_and_a_redis_out_of_reach_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="cache_type='signal' is none of market, signals, sentiment, news"):
        asyncio.run(CacheManager().cache_result("AAPL", 1, "signal"))
    with pytest.raises(TypeError):
        asyncio.run(CacheManager().cache_result("AAPL", object(), "signals"))
    monkeypatch.setenv("PAIID_REDIS_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(CacheError):
        asyncio.run(CacheManager().get_cached_result("AAPL", "signals"))


def test_without_addresses_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAIID_REDIS_URL", raising=False)
    monkeypatch.delenv("PAIID_POSTGRES_URL", raising=False)
    with pytest.raises(LookupError, match="PAIID_REDIS_URL is not set: run through `paiid with-services"):
        CacheManager()
    with pytest.raises(LookupError, match="PAIID_POSTGRES_URL is not set: run through `paiid with-services"):
        MLDataPipeline()
