"""The dataset is prepared before it is kept, reads back as it was written, and its parts share no group."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.ml.text.dataset_store import labelled_rows, load_texts, make_texts, save_texts, split_held_out
from paiid_pipeline.ml.text.distillation import ARTICLES


def test_texts_read_back_as_they_were_and_changed_ones_are_refused(labelled_folder: Path, tmp_path: Path) -> None:
    made, folder = make_texts(labelled_folder), tmp_path / "kept"
    made = replace(made, articles=pl.DataFrame({"title": ["A"], "body": ["B rose."]}, schema=ARTICLES))
    with pytest.raises(LookupError, match="materialize sentiment_dataset"):
        load_texts(folder)
    save_texts(made, folder)
    read = load_texts(folder)
    assert read.labelled.rows.equals(made.labelled.rows)
    assert replace(read.labelled, rows=made.labelled.rows) == made.labelled
    assert read.articles.equals(made.articles)
    assert sorted(file.name for file in folder.iterdir()) == ["articles.parquet", "labelled.parquet"]
    made.articles.clear().write_parquet(folder / "articles.parquet")
    with pytest.raises(ValueError, match="is not what was written"):
        load_texts(folder)
    save_texts(made, folder)
    path = folder / "labelled.parquet"
    about = pl.read_parquet_metadata(path)
    made.labelled.rows.with_columns(label=pl.lit("neutral")).write_parquet(path, metadata={"paiid": about["paiid"]})
    with pytest.raises(ValueError, match="is not what was written"):
        load_texts(folder)


def test_no_group_is_in_two_parts_and_another_data_folder_holds_the_same_texts_out(labelled_folder: Path) -> None:
    rows = make_texts(labelled_folder).labelled.rows
    parts = split_held_out(rows)
    groups = [set(part["group"]) for part in (parts.training, parts.validation, parts.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == rows["group"].n_unique()
    fewer = split_held_out(rows.filter(pl.col("source") != "tweets"))
    assert set(fewer.test["id"]) <= set(parts.test["id"])


def test_personal_data_is_masked_before_anything_is_kept(tmp_path: Path) -> None:
    (tmp_path / "twitter_financial_news.csv").write_text(
        "id,text,label\n1,Call 212-555-0147 about $GM,bullish\n2,mail jo@example.com now,bearish\n"
    )
    texts = make_texts(tmp_path).labelled.rows["text"].to_list()
    assert sorted(texts) == ["Call [phone] about $GM", "mail [email] now"]


def test_news_that_resembles_a_labelled_text_is_not_learnt_from(labelled_folder: Path, tmp_path: Path) -> None:
    texts = make_texts(labelled_folder).labelled.rows["text"].to_list()
    own = "An article of its own about a harbour far away from every word in the others."
    bodies = [own, *(f"{text} {text} {text}." for text in texts[:2])]
    shutil.copytree(labelled_folder, tmp_path / "data")
    (tmp_path / "data" / "news").mkdir()
    frame = pl.DataFrame({"title": [f"Title {n}" for n in range(3)], "body": bodies})
    frame.write_parquet(tmp_path / "data" / "news" / "ticker_news_2011.parquet")
    assert make_texts(tmp_path / "data").articles["body"].to_list() == [own]


def test_a_labelled_file_is_prepared_as_texts_are_when_they_are_scored(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label,entity\nPr\u043efit r\u200bises,Bullish,\n<b>Down</b>,bad,X\n,good,\n")
    assert labelled_rows(path).select("text", "label", "entity").rows() == [
        ("Profit rises", "positive", None), ("Down", "negative", "X"),
    ]  # fmt: skip
    path.write_text("text,label\n,good\n")
    with pytest.raises(ValueError, match="no text with a label"):
        labelled_rows(path)
