"""One entry makes all of an indicator: column, comment, check, feature and values."""

from __future__ import annotations

import numpy as np
import polars as pl
import psycopg2
import pytest
import talib

from paiid_pipeline import indicator_catalogue as catalogue
from paiid_pipeline.indicator_catalogue import COLUMNS, Feature, Indicator
from paiid_pipeline.quality.rows import broken
from paiid_pipeline.signals.features import FEATURES, computed, model_features
from paiid_pipeline.technicals.derived import FUNCTIONS, INTERMEDIATE, MEASURED, Prices, measures
from paiid_pipeline.technicals.indicators import ROW_FUNCTIONS
from paiid_pipeline.warehouse import migrate

WILLIAMS_R = Indicator(
    "willr_14", pl.Float64, "Williams %R over 14 bars, -100 to 0.", "WILLR", ("high", "low", "close"), (14,),
    unit="points", low=-100, high=0, check="%R lies in [-100, 0]",
    features=(Feature(27, "williams", pl.col("willr_14") * 0.01 + 0.5, "Williams %R at {willr_14:.0f}"),),
)  # fmt: skip


def test_an_entry_makes_column_comment_check_feature_and_values() -> None:
    columns = (*COLUMNS, WILLIAMS_R)
    assert list(catalogue.schema(columns).items())[-1] == ("willr_14", pl.Float64)
    assert catalogue.comments(columns)["willr_14"] == "Williams %R over 14 bars, -100 to 0."
    rules = {name: rule for name, rule in catalogue.checks(columns).items() if name not in catalogue.checks()}
    assert broken(pl.DataFrame({"willr_14": [-50.0, None, 1.0]}), rules) == {"%R lies in [-100, 0]": 1}
    added = model_features(columns)[-1]
    row = pl.DataFrame({"symbol": "A", "horizon": "daily", "as_of": 0, "willr_14": -25.0})
    assert computed(row, {added.name: added.value})["williams"].to_list() == [0.25]
    close = np.random.default_rng(0).uniform(10, 11, 300)
    prices = Prices(close, close + 1, close - 1, close, close)
    *_, values = measures(prices, close, close, (close, close, close), (*MEASURED, WILLIAMS_R))
    assert np.array_equal(values, talib.WILLR(close + 1, close - 1, close, 14), equal_nan=True)


def test_every_function_exists_and_every_feature_has_its_own_place() -> None:
    for name in (*(entry.function for entry in catalogue.indicators()), *(step[0] for step in INTERMEDIATE.values())):
        assert name in FUNCTIONS or name in ROW_FUNCTIONS or hasattr(talib, name), name
    assert [feature.place for feature in model_features()] == list(range(1, len(FEATURES) + 1))


@pytest.mark.parametrize("relation", ["technical_indicators", "indicators_latest"])
def test_the_migrations_store_the_comments_of_the_catalogue(postgres_url: str, relation: str) -> None:
    migrate(postgres_url)
    connection = psycopg2.connect(postgres_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
            f" WHERE attrelid = '{relation}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        stored = cursor.fetchall()
    connection.close()
    assert stored == list(catalogue.comments().items())
