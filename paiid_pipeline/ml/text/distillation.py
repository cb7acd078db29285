"""Pseudo-labelled news: the first sentence of an article, with the teachers' predictions as its target.

Models trained on headlines are less accurate on report sentences. An article has both on one event: the target for
the sentence is the mean prediction of several teachers over title and sentence (distillation, Hinton 2015; two views,
Blum & Mitchell 1998).
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from paiid_pipeline.atomic_files import replacing
from paiid_pipeline.ml.text.classifier import (
    WEIGHTS,
    Text,
    encode,
    has_bfloat16,
    load_network,
    load_tokenizer,
    predict,
)
from paiid_pipeline.ml.text.datasets import GROUPED, ROWS, Prepare, with_groups, without_leaks
from paiid_pipeline.sentiment.labels import LABELS

ARTICLES: Final = {"title": pl.String, "body": pl.String}
"""``body`` is an article's first sentence."""
SOURCE: Final = "news"

_FILE = "news/ticker_news_2011.parquet"
_SERIES = re.compile(r"^(?:[A-Z][A-Z ]*(?: \d+)?\s*-\s*)+(?=[A-Z])")
_PLACE = re.compile(r"^[A-Z][A-Z ./'-]{2,40}?\s+(?=[A-Z][a-z])")
_DAY = re.compile(r"^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.? \d+ ")
_GAP = re.compile(r"\s{2,}")
_LENGTHS = 40, 300


def read_articles(folder: Path, prepare: Prepare) -> pl.DataFrame:
    """The distinct articles (:data:`ARTICLES`) of a data folder, prepared as labelled texts are; empty without a file.

    A title's series ("UPDATE 2-") and a body's dateline are stripped; articles whose body is no sentence are dropped.
    """
    path = folder / _FILE
    if not path.is_file():
        return pl.DataFrame(schema=ARTICLES)
    found = pl.read_parquet(path, columns=list(ARTICLES)).unique("title", keep="first", maintain_order=True)
    read = pl.DataFrame(
        {
            "title": [prepare(_SERIES.sub("", title)) for title in found["title"]],
            "body": [prepare(_body(body)) for body in found["body"]],
        },
        schema=ARTICLES,
    )
    length = pl.col("body").str.len_chars()
    return read.filter(length.is_between(*_LENGTHS) & pl.col("body").str.ends_with(".") & (pl.col("title") != ""))


def without_near_duplicates(articles: pl.DataFrame, labelled: pl.DataFrame) -> pl.DataFrame:
    """The ``articles`` whose body is no near-duplicate of a ``labelled`` text, so that no test text is trained on."""
    rows = pl.concat([labelled.select(ROWS.keys()), _unlabelled(articles)])
    grouped = with_groups(rows)
    news = pl.col("source") == SOURCE
    free = without_leaks(grouped.filter(news), grouped.filter(~news))
    return articles[free["id"].cast(pl.Int64).sort().to_list()]


def pseudo_labelled(articles: pl.DataFrame, teachers: Sequence[Path], count: int, folder: Path) -> pl.DataFrame:
    """At most ``count`` rows of `datasets.GROUPED`: article bodies with the mean prediction of the ``teachers``.

    Deterministic, and cached in ``folder``.
    """
    if articles.is_empty():
        return pl.DataFrame(schema=GROUPED)
    made = hashlib.sha256(f"{count}\n{articles.write_ndjson()}".encode())
    for teacher in teachers:
        made.update((teacher / WEIGHTS).read_bytes())
    kept = folder / f"pseudo-labelled-{made.hexdigest()[:16]}.parquet"
    if not kept.is_file():
        with replacing(kept) as draft:
            _pseudo_label(articles, teachers, count).write_parquet(draft)
    return pl.read_parquet(kept)


def _pseudo_label(articles: pl.DataFrame, teachers: Sequence[Path], count: int) -> pl.DataFrame:
    chosen = articles.unique("body", keep="first", maintain_order=True)
    chosen = chosen.sample(min(count, chosen.height), seed=0)
    targets = np.mean([_predict(teacher, list(chosen[view])) for teacher in teachers for view in ARTICLES], axis=0)
    labels = pl.Series("label", [LABELS[place] for place in targets.argmax(1)], pl.String)
    columns = [pl.Series(f"p_{label}", targets[:, place].astype(float)) for place, label in enumerate(LABELS)]
    return with_groups(_unlabelled(chosen).with_columns(labels, *columns))


def _unlabelled(articles: pl.DataFrame) -> pl.DataFrame:
    blank: dict[str, object] = {
        "source": SOURCE, "entity": None, "label": "neutral", "agreement": 100, "conflict": False,
        **{f"p_{label}": 0.0 for label in LABELS},
    }  # fmt: skip
    return articles.select(
        pl.int_range(pl.len()).cast(pl.String).alias("id"),
        pl.col("body").alias("text"),
        *(pl.lit(value, ROWS[name]).alias(name) for name, value in blank.items()),
    ).select(ROWS.keys())


def _predict(teacher: Path, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    pairs: list[Text] = [(text, None) for text in texts]
    return predict(load_network(teacher), encode(load_tokenizer(teacher), pairs), half=has_bfloat16())


def _body(text: str) -> str:
    # Where the file lost its commas it kept two spaces.
    joined = _GAP.sub(" ", html.unescape(text).strip().lstrip("* "))
    return _DAY.sub("", _PLACE.sub("", joined))
