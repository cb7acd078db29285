"""Sentences written by rule carry the label that their numbers say."""

from __future__ import annotations

import re

import polars as pl

from paiid_pipeline.ml.text.synthetic_sentences import result_sentences

AMOUNTS = re.compile(r"(?:EUR|USD|SEK|GBP|Rs) (\d+\.\d+)")


def test_the_label_follows_from_the_numbers() -> None:
    rows = result_sentences(3000)
    seen = 0
    for text, label in rows.select("text", "label").iter_rows():
        amounts = [float(each) for each in AMOUNTS.findall(text)]
        compares = re.search(r"compared with|against|a year earlier| from | \(", text)
        if len(amounts) == 2 and compares and amounts[0] != amounts[1]:
            seen += 1
            lossy = re.search(r"loss", text, re.IGNORECASE) and "profit" not in text
            grew = amounts[0] > amounts[1]
            if turned := re.search(r"to a (profit|loss) of|posted a net (profit|loss) of .* against", text):
                assert (label == "positive") == ("profit" in turned.groups()), text
            else:
                assert (label == "positive") == (grew != bool(lossy)), text
    assert seen > 400


def test_the_sentences_are_distinct_repeatable_and_hold_nothing_unfilled() -> None:
    rows = result_sentences(2000, seed=1)
    assert rows["text"].n_unique() == 2000
    assert rows.equals(result_sentences(2000, seed=1))
    assert not rows.equals(result_sentences(2000, seed=2))
    assert not rows["text"].str.contains(r"[{}]").any()
    counts = dict(rows["label"].value_counts().iter_rows())
    assert min(counts.values()) > 300
    target = rows.select(pl.sum_horizontal("p_negative", "p_neutral", "p_positive")).to_series()
    assert (target - 1).abs().max() < 1e-9  # type: ignore[operator]
