"""Scoring in the real graph: every member and the ensemble, missing models counted, and nothing scored twice."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pytest

from paiid_pipeline.ml.signing import KEY_VARIABLE, SigningKey, sign_folder
from paiid_pipeline.ml.text import scoring
from paiid_pipeline.ml.text.scoring import save_blend
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, EnsembleWeights, select_models
from paiid_pipeline.sentiment.transformer import Transformer
from paiid_pipeline.sentiment.vader import Vader
from paiid_pipeline.wiring import Components
from paiid_pipeline_tests.defs.world import START, World, metadata
from paiid_pipeline_tests.warehouse.rows import article, news

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)
DAYS = timedelta(days=1)


@pytest.fixture
def models(world: World, tmp_path: Path) -> Path:
    """An empty folder of models that the world looks into, and the key that signs them."""
    world.variables = {**world.variables, "PAIID_MODELS": str(tmp_path / "models"), KEY_VARIABLE: "21" * 32}
    return tmp_path / "models"


def score(world: World, minutes: int = 0) -> dict[str, Any]:
    result = world.run("all_news", NOW + timedelta(minutes=minutes), DAY, by_segment=False)
    assert result.success
    return dict(metadata(result, "article_sentiment"))


def flags(reported: dict[str, Any]) -> dict[str, int]:
    """How many rows of the ensemble carry each flag."""
    return {row["flags"]: row["rows"] for row in reported["flags"]}


def stored(world: World) -> pl.DataFrame:
    names = ["model", "model_version", "count"]
    query = "select model, model_version, count(*)::text from article_sentiment group by 1, 2"
    import psycopg2

    connection = psycopg2.connect(world.postgres_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        rows = cursor.fetchall()
    connection.close()
    return pl.DataFrame(rows, schema=names, orient="row").sort("model", "model_version")


@pytest.mark.usefixtures("models")
def test_without_models_vader_is_the_ensemble_and_the_others_are_counted(world: World) -> None:
    reported = score(world)
    assert set(json_of(reported["missing members"])) == {"custom_bert", "finbert"}
    assert json_of(reported["failed members"]) == {}
    found = stored(world)
    assert flags(reported)["missing:custom_bert"] == int(found["count"][0])
    assert found["model"].to_list() == ["ensemble", "vader"]
    assert found["count"].n_unique() == 1
    again = score(world)
    assert (again["articles scored"], again["inserted"]) == (0, 0)


def test_a_new_version_of_the_ensemble_scores_again_and_keeps_what_was(world: World, models: Path) -> None:
    score(world)
    before = world.rows("article_sentiment")
    blend = models / "ensemble"
    save_blend(EnsembleWeights("fitted.x", {"vader": 1.0}, 2.0), blend)
    unsigned = score(world)
    assert "signature.json" in str(unsigned["missing members"])
    assert world.rows("article_sentiment") == before
    sign_folder(blend, SigningKey(bytes.fromhex("21" * 32)))
    assert score(world)["articles scored"] > 0  # type: ignore[operator]
    after = world.rows("article_sentiment")
    assert set(before) < set(after)
    assert stored(world)["model_version"].str.starts_with("fitted.x(").sum() == 1
    # Vader's own scores are those that were there, and wordings that newer ones have outdated are not read again.
    assert len(before) < len(after) <= len(before) * 3 // 2
    scores = world.warehouse.article_sentiment.read(
        world.pipeline(NOW).universe.symbols, "ensemble", START - 9 * DAYS, NOW, NOW
    )
    newest = scores.sort("known_at").unique(["symbol", "article_id"], keep="last", maintain_order=True)
    assert newest["model_version"].str.starts_with("fitted.x(").all()


def json_of(value: object) -> dict[str, str]:
    return dict(value) if isinstance(value, dict) else json.loads(str(value))


def test_articles_of_any_kind_are_scored_or_counted(world: World) -> None:
    """Through real storage: what cannot be read gets a neutral score without confidence, and a flag that is counted."""
    odd = {
        "blank": " \u200b\u202e ", "only emoji": "🚀🔥", "markup": "<script>up</script>",
        "foreign": "株価が上昇した", "long": "profit rises " * 80_000, "hidden": "pro\u200bfit r\u0456ses",
        "private": "mail ann@example.com, card 4111 1111 1111 1111", "quotes": "it's \"up\" \\N \t {x} %s $1",
    }  # fmt: skip
    symbols: list[list[str | None]] = [["AAPL"], ["AAPL", "AAPL", None], ["AAPL", "MSFT", "KO"]]
    rows = [
        article(
            number, START, headline, symbols[number % 3], published_at=START, summary=None, content_hash=f"{number}"
        )  # type: ignore[arg-type]
        for number, headline in enumerate(odd.values())
    ]
    rows += [article(90, START, "no symbols", [], published_at=START)]
    world.pipeline(START).warehouse.news.write(news(*rows), START)
    reported = score(world)
    assert reported["articles scored"] >= len(rows)  # type: ignore[operator]
    found = world.rows("article_sentiment", where="article_id like 'test:%' and model = 'ensemble'")
    assert len({row[:3] for row in found}) == len(found) == sum(len({s for s in row["symbols"] if s}) for row in rows)
    assert not [row for row in found if {"NaN", "Infinity", "-Infinity"} & set(row)]
    expected = {"empty", "emoji", "non_english", "byte_cap", "markup", "tampered", "email", "card"}
    assert expected <= flags(reported).keys()
    assert score(world)["articles scored"] == 0


def test_a_member_that_fails_while_scoring_is_counted_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The run goes on with the others; the kind of the error and what it says stand in the metadata and the log."""

    def no_memory(*_given: object) -> NoReturn:
        raise RuntimeError("out of memory:\n 3 of 2 GB")

    guarded = scoring._guarded("finbert", no_memory)
    finbert = Transformer("finbert", "1", encode=guarded, forward=no_memory, columns=(0, 1, 2))
    broken = SentimentAnalyzer(select_models([Vader(), finbert], {}, DEFAULT_WEIGHTS))
    monkeypatch.setattr(Components, "analyzer", lambda *_given, **_named: broken)
    reported = score(world)
    scored = world.rows("article_sentiment", where="model = 'ensemble'")
    why = "finbert failed on a batch: RuntimeError: out of memory: 3 of 2 GB"
    assert json_of(reported["failed members"]) == {"finbert": {"reason": why, "texts": len(scored)}}
    assert f"finbert failed on {len(scored)} texts: {why}" in capfd.readouterr().out
    assert flags(reported)["missing:finbert"] == len(scored)


def test_a_tampered_model_is_left_out_counted_and_never_read(world: World, models: Path) -> None:
    """The run goes on with the others, and says why."""
    folder = models / "custom_bert"
    folder.mkdir(parents=True)
    for name, content in {"model.onnx": "rubbish", "served.json": "[]", "tokenizer.json": "no"}.items():
        (folder / name).write_text(content)
    sign_folder(folder, SigningKey(bytes.fromhex("21" * 32)))
    reported = score(world)
    assert "cannot be loaded" in json_of(reported["missing members"])["custom_bert"]
    assert "missing:custom_bert" in flags(reported)
    (folder / "model.onnx").write_text("changed")
    assert "changed after signing" in json_of(score(world)["missing members"])["custom_bert"]
