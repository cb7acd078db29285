"""News becomes training rows: read without its agency's marks, apart from what is measured, taught by the mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.ml.text.classifier import encode, has_bfloat16, load_network, load_tokenizer, predict
from paiid_pipeline.ml.text.datasets import GROUPED
from paiid_pipeline.ml.text.distillation import pseudo_labelled, read_articles, without_near_duplicates
from paiid_pipeline.ml.text.training import FineTuningConfig, train


@pytest.fixture
def articles() -> pl.DataFrame:
    bodies = [f"the board of plant {n} holds its market order today in spring" for n in range(12)]
    return pl.DataFrame({"title": [f"profit rises {n}" for n in range(12)], "body": bodies})


@pytest.fixture
def teachers(tiny_base: Path, labelled: pl.DataFrame, tmp_path: Path) -> list[Path]:
    plan = FineTuningConfig(str(tiny_base), epochs=1, batch=8, learning_rate=3e-3, train_embeddings=True, half=False)
    return [train(labelled, labelled, replace(plan, seed=n), tmp_path / f"teacher-{n}").folder for n in (0, 1)]


def test_titles_and_bodies_lose_what_the_agency_put_before_them(tmp_path: Path) -> None:
    (tmp_path / "news").mkdir()
    pl.DataFrame(
        {
            "title": ["UPDATE 2-Hartwell profit rises", "Sundale names chief", "Short", "Sundale names chief"],
            "body": [
                "LONDON  Sept 14 Hartwell plc  the maker of beer &amp; wine said profit rose on strong demand in Asia.",
                "Oct 7 Sundale Inc named a chief executive on Thursday after a long search for one.",
                "* Shares off",
                "Another body of the same title that is long enough to be a sentence of its own.",
            ],
        }
    ).write_parquet(tmp_path / "news" / "ticker_news_2011.parquet")
    assert read_articles(tmp_path, str.strip).rows() == [
        (
            "Hartwell profit rises",
            "Hartwell plc the maker of beer & wine said profit rose on strong demand in Asia.",
        ),
        ("Sundale names chief", "Sundale Inc named a chief executive on Thursday after a long search for one."),
    ]
    assert read_articles(tmp_path / "nowhere", str.strip).is_empty()


def test_a_near_duplicate_of_a_labelled_text_is_left_out(articles: pl.DataFrame, labelled: pl.DataFrame) -> None:
    copies = pl.DataFrame({"title": ["a", "b"], "body": [labelled["text"][0], labelled["text"][7].upper() + " !"]})
    mixed = pl.concat([articles.head(5), copies, articles.tail(7)])
    assert without_near_duplicates(mixed, labelled).equals(articles)


def test_the_target_is_the_mean_of_what_all_teachers_say_of_both_views(
    articles: pl.DataFrame, teachers: list[Path], tmp_path: Path
) -> None:
    rows = pseudo_labelled(articles, teachers, 5, tmp_path)
    assert (rows.height, dict(rows.schema)) == (5, GROUPED)
    title = dict(articles.select("body", "title").iter_rows())
    said = [
        predict(
            load_network(teacher), encode(load_tokenizer(teacher), [(text, None) for text in view]), half=has_bfloat16()
        )
        for teacher in teachers
        for view in (list(rows["text"]), [title[text] for text in rows["text"]])
    ]
    found = rows.select("p_negative", "p_neutral", "p_positive").to_numpy()
    assert np.abs(found - np.mean(said, axis=0)).max() < 1e-6
    assert rows["label"].to_list() == [("negative", "neutral", "positive")[n] for n in found.argmax(1)]


def test_what_was_taught_is_kept_until_a_teacher_changes(
    articles: pl.DataFrame, teachers: list[Path], tmp_path: Path
) -> None:
    first = pseudo_labelled(articles, teachers, 5, tmp_path)
    assert pseudo_labelled(articles, teachers, 5, tmp_path).equals(first)
    assert len(list(tmp_path.glob("pseudo-labelled-*.parquet"))) == 1
    assert not pseudo_labelled(articles, teachers[:1], 5, tmp_path).equals(first)
    assert pseudo_labelled(articles.clear(), teachers, 5, tmp_path).is_empty()
