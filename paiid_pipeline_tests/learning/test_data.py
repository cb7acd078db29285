"""The dataset is prepared before it is kept, reads back as it was written, and its parts share no group."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.learning.data import (
    labelled_rows,
    load_dataset,
    make_dataset,
    save_dataset,
    split_held_out,
)


def test_a_dataset_reads_back_as_it_was_and_a_changed_one_is_refused(labelled_folder: Path, tmp_path: Path) -> None:
    made, path = make_dataset(labelled_folder), tmp_path / "kept" / "sentiment.parquet"
    with pytest.raises(LookupError, match="materialize sentiment_dataset"):
        load_dataset(path)
    save_dataset(made, path)
    read = load_dataset(path)
    assert read.rows.equals(made.rows)
    assert (read.sha256, read.sources, read.doubles) == (made.sha256, made.sources, made.doubles)
    assert [file.name for file in path.parent.iterdir()] == ["sentiment.parquet"]
    about = pl.read_parquet_metadata(path)
    made.rows.with_columns(label=pl.lit("neutral")).write_parquet(path, metadata={"paiid": about["paiid"]})
    with pytest.raises(ValueError, match="is not what was written"):
        load_dataset(path)


def test_no_group_is_in_two_parts_and_another_data_folder_holds_the_same_texts_out(labelled_folder: Path) -> None:
    rows = make_dataset(labelled_folder).rows
    parts = split_held_out(rows)
    groups = [set(part["group"]) for part in (parts.training, parts.validation, parts.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == rows["group"].n_unique()
    fewer = split_held_out(rows.filter(pl.col("source") != "tweets"))
    assert set(fewer.test["id"]) <= set(parts.test["id"])


def test_personal_data_is_masked_before_anything_is_kept(tmp_path: Path) -> None:
    (tmp_path / "twitter_financial_news.csv").write_text(
        "id,text,label\n1,Call 212-555-0147 about $GM,bullish\n2,mail jo@example.com now,bearish\n"
    )
    texts = make_dataset(tmp_path).rows["text"].to_list()
    assert sorted(texts) == ["Call [phone] about $GM", "mail [email] now"]


def test_a_labelled_file_is_prepared_as_texts_are_when_they_are_scored(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label,entity\nPr\u043efit r\u200bises,Bullish,\n<b>Down</b>,bad,X\n,good,\n")
    assert labelled_rows(path).select("text", "label", "entity").rows() == [
        ("Profit rises", "positive", None), ("Down", "negative", "X"),
    ]  # fmt: skip
    path.write_text("text,label\n,good\n")
    with pytest.raises(ValueError, match="no text with a label"):
        labelled_rows(path)
