"""Labelled texts of several sources as one table: normalised, deduplicated, grouped before any split, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Indices
from paiid_pipeline.ml.text.labelled_csv import read_csv
from paiid_pipeline.sentiment.labels import INDEX, LABELS, to_label
from paiid_pipeline.sentiment.text.near_duplicates import group_near_duplicates

FOLDS = 5

ROWS: Final = {
    "id": pl.String,
    "source": pl.String,  # phrasebank | headlines | entities | tweets | fiqa
    "text": pl.String,
    "entity": pl.String,  # that the label is about; null: the text as a whole
    "label": pl.String,
    "p_negative": pl.Float64,  # the target distribution: one-hot, or soft where annotators disagree
    "p_neutral": pl.Float64,
    "p_positive": pl.Float64,
    "agreement": pl.Int64,  # at least this percentage of the annotators chose the label; 100 where unknown
    "conflict": pl.Boolean,  # positive for one entity of the text and negative for another
}
GROUPED: Final = {**ROWS, "group": pl.String, "fold": pl.Int64}
"""`group`: one value for all near-duplicates; `fold`: 0 … 4, one for a whole group."""

Prepare = Callable[[str], str]
"""Normalises a text and masks personal data, before anything of it is stored."""

_TARGET = ("p_negative", "p_neutral", "p_positive")
_SHARE_OF_AGREEMENT = {50: 0.80, 66: 0.875, 75: 0.95, 100: 1.0}
"""Agreement in % to the target probability of the majority label: half way from the annotators' share to 1."""
_FIQA_NEUTRAL_WITHIN = 0.35


@dataclass(frozen=True)
class Dataset:
    """Rows of :data:`GROUPED`, the SHA-256 of their content, and counts of what was dropped."""

    rows: pl.DataFrame
    sha256: str
    sources: dict[str, int]
    doubles: int
    contradictions: int
    """Rows dropped since the same text of the same source has two labels."""


def build_dataset(folder: Path, prepare: Prepare) -> Dataset:
    """Merge the source files in ``folder``, a data folder or its ``sentiment/``.

    ``prepare`` is applied to texts and entities first; texts that it leaves empty are dropped. Deterministic.
    Raises LookupError, naming the files looked for, where there is none, ValueError where a file lacks a column or
    has an unknown label.
    """
    base = folder / "sentiment" if (folder / "sentiment").is_dir() else folder
    found = [read(base / name) for name, read in _READERS.items() if (base / name).is_file()]
    if not found:
        raise LookupError(f"no labelled texts in {base}: expected one or more of {', '.join(_READERS)}")
    merged = pl.concat(found).pipe(_prepare, prepare)
    single, doubles, contradictions = _deduplicate(merged)
    rows = with_groups(single)
    return Dataset(
        rows, digest(rows), dict(rows["source"].value_counts(sort=True).iter_rows()), doubles, contradictions
    )


def read_labelled(path: Path) -> pl.DataFrame:
    """A user's CSV with the columns ``text``, ``label`` and, optionally, ``entity``, as text | label | entity.

    Raises ValueError naming the column, or the label and its line, and the remedy.
    """
    frame = read_csv(path, ("text", "label"))
    entity = (
        pl.col("entity").replace("", None) if "entity" in frame.columns else pl.lit(None, pl.String).alias("entity")
    )
    return frame.select(pl.col("text").fill_null(""), _named(path, frame), entity)


def with_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of :data:`ROWS` with ``group`` and ``fold``, which depend on the set of texts only."""
    grouped = rows.with_columns(pl.Series("group", group_near_duplicates(rows["text"].to_list())))
    folds = {name: _fold(name) for name in grouped["group"].unique()}
    return grouped.with_columns(fold=pl.col("group").replace_strict(folds, return_dtype=pl.Int64)).select(
        GROUPED.keys()
    )


def without_leaks(rows: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The ``rows`` of no group that has a row in ``test``: what may be trained on where ``test`` is evaluated on."""
    return rows.join(test.select("group").unique(), on="group", how="anti", maintain_order="left")


def label_indices(rows: pl.DataFrame) -> Indices:
    """The column ``label`` as class indices (rows,) in the order of `labels.LABELS`."""
    return np.array([INDEX[label] for label in rows["label"]], np.int64)


def digest(rows: pl.DataFrame) -> str:
    """SHA-256 of the rows' content, independent of their order."""
    content = rows.select("source", "text", "entity", "label", *_TARGET).sort(pl.all()).write_ndjson()
    return hashlib.sha256(content.encode()).hexdigest()


def _fold(group: str) -> int:
    return int(hashlib.sha256(f"fold:{group}".encode()).hexdigest()[:8], 16) % FOLDS


def _prepare(rows: pl.DataFrame, prepare: Prepare) -> pl.DataFrame:
    def prepared(name: str) -> pl.Series:
        return pl.Series(name, [prepare(text) if text else None for text in rows[name]], pl.String)

    return rows.with_columns(prepared("text"), prepared("entity")).filter(pl.col("text") != "")


def _deduplicate(rows: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    key = ["source", "_text", "_entity"]
    keyed = rows.with_columns(pl.col(name).str.to_lowercase().alias(f"_{name}") for name in ("text", "entity"))
    agreed = keyed.filter(pl.col("label").n_unique().over(key) == 1)
    single = agreed.sort("agreement", descending=True, maintain_order=True).unique(
        key, keep="first", maintain_order=True
    )
    kept = single.select(ROWS.keys()).sort("source", "id")
    return kept, agreed.height - kept.height, rows.height - agreed.height


def _phrasebank(path: Path) -> pl.DataFrame:
    frame = _read(path, ("id", "text", "label", "agree"))
    agreement = pl.col("agree").cast(pl.Int64)
    share = agreement.replace_strict(_SHARE_OF_AGREEMENT, return_dtype=pl.Float64)
    rest = 1 - share
    # Annotators who disagree with "positive" or "negative" chose "neutral"; with "neutral", either.
    neutral = pl.col("label") == "neutral"
    sides = [
        pl.when(neutral).then(rest / 2).when(pl.col("label") == side).then(share).otherwise(0.0).alias(f"p_{side}")
        for side in ("negative", "positive")
    ]
    middle = pl.when(neutral).then(share).otherwise(rest).alias("p_neutral")
    return _rows(frame.with_columns(*sides, middle, agreement=agreement), "phrasebank")


def _headlines(path: Path) -> pl.DataFrame:
    return _rows(_one_hot(_read(path, ("id", "text", "label"))), "headlines")


def _tweets(path: Path) -> pl.DataFrame:
    return _rows(_one_hot(_read(path, ("id", "text", "label"))), "tweets")


def _entities(path: Path) -> pl.DataFrame:
    frame = _one_hot(_read(path, ("id", "text", "entity", "label", "conflict")))
    conflict = pl.col("conflict").str.to_lowercase() == "true"
    return _rows(frame.with_columns(conflict, id=_numbered()), "entities")


def _fiqa(path: Path) -> pl.DataFrame:
    frame = _read(path, ("id", "text", "entity", "score"))
    score = pl.col("score").cast(pl.Float64)
    # FiQA scores have no neutral class: its probability falls linearly with the distance from zero.
    neutral = (1 - score.abs() / _FIQA_NEUTRAL_WITHIN).clip(0, 1)
    label = pl.when(neutral >= 0.5).then(pl.lit("neutral")).when(score > 0).then(pl.lit("positive"))
    return _rows(
        frame.with_columns(
            p_negative=pl.when(score < 0).then(1 - neutral).otherwise(0.0),
            p_neutral=neutral,
            p_positive=pl.when(score < 0).then(0.0).otherwise(1 - neutral),
            label=label.otherwise(pl.lit("negative")),
            id=_numbered(),
        ),
        "fiqa",
    )


_READERS: Final[dict[str, Callable[[Path], pl.DataFrame]]] = {
    "financial_phrasebank.csv": _phrasebank,
    "sentfin_headlines.csv": _headlines,
    "sentfin_entities.csv": _entities,
    "twitter_financial_news.csv": _tweets,
    "fiqa2018.csv": _fiqa,
}


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    frame = read_csv(path, columns)
    return frame.with_columns(_named(path, frame)) if "label" in columns else frame


def _named(path: Path, frame: pl.DataFrame) -> pl.Series:
    names: list[str] = []
    for line, label in enumerate(frame["label"], start=2):
        try:
            names.append(to_label(label or ""))
        except ValueError as error:
            raise ValueError(f"{path}, row {line}: {error}") from None
    return pl.Series("label", names, pl.String)


def _one_hot(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns((pl.col("label") == label).cast(pl.Float64).alias(f"p_{label}") for label in LABELS)


def _numbered() -> pl.Expr:
    return pl.format("{}-{}", "id", pl.int_range(pl.len()))


def _rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    absent = {"entity": pl.lit(None, pl.String), "agreement": pl.lit(100, pl.Int64), "conflict": pl.lit(value=False)}
    frame = frame.with_columns(value.alias(name) for name, value in absent.items() if name not in frame.columns)
    return frame.with_columns(source=pl.lit(source)).select(pl.col(name).cast(kind) for name, kind in ROWS.items())
