"""Tomorrow's movements: labels by the protocol, nothing from after the day, an edge found where one is planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.cli import main
from paiid_pipeline.ml.signals.stocknet import BARS, POSTS, TEST, VARIANTS, examples, measure, read
from paiid_pipeline.trading_calendar import TradingCalendar

NAMES = [f"S{i}" for i in range(12)]
XNYS = TradingCalendar("XNYS")


def words(texts: Sequence[str]) -> list[float]:
    """A score that reads "up" and "down"."""
    return [float(text.count("up") - text.count("down")) for text in texts]


def world(last: date = date(2015, 12, 31), honest: float = 0.0, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Random walks, and a post the evening before each session that tells the truth ``honest`` of the time."""
    rng = np.random.default_rng(seed)
    days = [session.day for session in XNYS.sessions(date(2012, 9, 4), last)]
    prices, posts = [], []
    for name in NAMES:
        moves = rng.normal(0, 0.015, len(days))
        close = 50 * np.exp(np.cumsum(moves))
        reach = rng.uniform(0, 0.01, (2, len(days)))
        prices.append(
            pl.DataFrame(
                {
                    "symbol": [name] * len(days), "date": days, "open": close * np.exp(rng.normal(0, 0.003, len(days))),
                    "high": close * (1 + reach[0]), "low": close * (1 - reach[1]), "close": close,
                    "adj_close": close * 0.9, "volume": rng.lognormal(12, 0.5, len(days)),
                }
            )
        )  # fmt: skip
        for before, move in zip(days, moves[1:], strict=False):
            if before >= date(2013, 12, 20):
                said = (move > 0) if rng.random() < honest else (rng.random() < 0.5)
                at = datetime.combine(before, datetime.min.time()) + timedelta(hours=23)
                posts.append((name, at, "up" if said else "down"))
    frame = pl.DataFrame(posts, schema=["symbol", "created_at", "text"], orient="row")
    return pl.concat(prices), frame.with_columns(pl.col("created_at").dt.replace_time_zone("UTC"))


def test_movements_are_those_of_the_protocol_on_adjusted_closes() -> None:
    bars, posts = world()
    rows = examples(bars, posts, words)
    moves = bars.sort("symbol", "date").with_columns(
        move=pl.col("adj_close") / pl.col("adj_close").shift().over("symbol") - 1
    )
    wanted = moves.filter((pl.col("move") >= 0.0055) | (pl.col("move") <= -0.005))
    labelled = rows.join(wanted, left_on=["symbol", "day"], right_on=["symbol", "date"], suffix="_of_the_day")
    assert rows.height == wanted.height == labelled.height
    assert (labelled["up"] == (labelled["move_of_the_day"] > 0)).all()


def test_no_row_rests_on_anything_from_its_day_or_later() -> None:
    """Take away all bars and posts from a day on, and the rows up to it are the same, to the bit."""
    bars, posts = world(date(2014, 6, 30))
    cut = date(2014, 5, 14)
    whole = examples(bars, posts, words).filter(pl.col("day") <= cut)
    # The bar of the day itself gives the label; nothing else of it may be seen.
    hidden = pl.col("date") == cut
    until = bars.filter(pl.col("date") <= cut).with_columns(
        pl.when(hidden).then(pl.col(name) * 3).otherwise(name).alias(name) for name in ("open", "high", "low", "volume")
    )
    said = posts.filter(pl.col("created_at").dt.date() < cut)
    assert whole.height > 500
    assert examples(until, said, words).filter(pl.col("day") <= cut).equals(whole)
    assert not examples(bars, said.with_columns(text=pl.lit("up")), words).filter(pl.col("day") <= cut).equals(whole)


def test_a_planted_edge_is_found_in_posts_and_not_in_prices() -> None:
    report = measure(examples(*world(honest=0.4), words))
    assert set(report.measured) == {"development", "test"}
    for span, forecasts in report.measured.items():
        for name in ("prices and posts", "posts"):
            assert forecasts[name].accuracy.low > 0.55, (span, name)
            assert forecasts[name].mcc.low > 0.1, (span, name)
        assert forecasts["prices"].mcc.low < 0.05 < 0.2
    assert report.rows["test"] > 300


def test_without_an_edge_none_is_claimed() -> None:
    report = measure(examples(*world(), words))
    for forecasts in report.measured.values():
        for name in VARIANTS:
            assert forecasts[name].mcc.low < 0.02
            assert forecasts[name].mcc.high > -0.02
            assert forecasts[name].accuracy.low < 0.51
        assert forecasts["the usual side"].mcc.value == 0.0


def test_without_later_rows_there_is_no_test_and_without_training_rows_no_measure() -> None:
    report = measure(examples(*world(date(2015, 9, 30)), words))
    assert set(report.measured) == {"development"}
    assert "test" not in report.rows
    with pytest.raises(ValueError, match="too few to learn from"):
        measure(examples(*world(date(2014, 1, 20)), words))


def test_the_same_rows_give_the_same_report() -> None:
    rows = examples(*world(honest=0.2), words)
    assert measure(rows) == measure(rows)


def test_a_folder_without_the_files_or_their_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stocknet_daily.parquet does not exist: give the folder"):
        read(tmp_path)
    bars, posts = world(date(2014, 1, 20))
    for name, frame in ((BARS, bars.drop("adj_close")), (POSTS, posts)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        frame.write_parquet(tmp_path / name)
    with pytest.raises(ValueError, match="has no column adj_close"):
        read(tmp_path)


def test_the_command_reads_a_folder_and_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIID_HOME", str(tmp_path / "home"))
    assert main(["models", "movement", "--data", str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err
    for name, frame in zip((BARS, POSTS), world(), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        frame.write_parquet(tmp_path / name)
    assert main(["models", "movement", "--data", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["measured"]["test"]["prices and posts"]
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert document["published"]["StockNet"] == [0.582, 0.081]
    assert "vader" in document["posts_scored_by"]
    assert main(["models", "movement", "--data", str(tmp_path)]) == 0
    assert "StockNet (published)" in capsys.readouterr().out
    assert str(TEST[0]) not in capsys.readouterr().out
