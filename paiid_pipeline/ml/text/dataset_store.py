"""The training and evaluation texts of sentiment models: built from a data folder, stored under the home."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from paiid_pipeline.atomic_files import replacing
from paiid_pipeline.ml.text.datasets import Dataset, build_dataset, digest, read_labelled
from paiid_pipeline.ml.text.distillation import read_articles, without_near_duplicates
from paiid_pipeline.sentiment.text.normalise import normalise

HELD_OUT: Final = 0
"""The fold that no training uses.

A text's fold is a hash of its near-duplicate group, so that the same text is held out of every training, whatever the
data folder and seed: champion and challenger are compared on rows that neither was trained on.
"""

_VALIDATION = 4
_ABOUT = "paiid"
_LABELLED, _ARTICLES = "labelled.parquet", "articles.parquet"


@dataclass(frozen=True)
class Texts:
    """The data of a training."""

    labelled: Dataset
    articles: pl.DataFrame
    """Unlabelled news (`distillation.ARTICLES`), without near-duplicates of labelled texts."""

    @property
    def articles_sha256(self) -> str:
        """SHA-256 over the articles, in their order."""
        return hashlib.sha256(self.articles.write_ndjson().encode()).hexdigest()


@dataclass(frozen=True)
class Parts:
    """Disjoint splits of a dataset; a near-duplicate group is in one of them only."""

    training: pl.DataFrame
    validation: pl.DataFrame
    """A quarter of the held-out fold, for ensemble weights and temperatures."""
    test: pl.DataFrame
    """The rest of the held-out fold, for all reported metrics."""


def prepare(text: str) -> str:
    """The normalised text, with personal data masked."""
    return normalise(text).text


def make_texts(folder: Path | None) -> Texts:
    """The texts of a data folder, prepared. Raises LookupError with the remedy where it has no labelled ones."""
    if folder is None or not folder.is_dir():
        raise LookupError(
            f"no labelled texts: PAIID_DATA_DIR is {str(folder) if folder else 'not set'}: set it to a folder with "
            "sentiment/*.csv, or name one with --data"
        )
    labelled = build_dataset(folder, prepare)
    return Texts(labelled, without_near_duplicates(read_articles(folder, prepare), labelled.rows))


def save_texts(texts: Texts, folder: Path) -> None:
    """Write texts as two Parquet files, each whole or not at all."""
    data = texts.labelled
    about = {"sha256": data.sha256, "sources": data.sources, "doubles": data.doubles}
    about |= {"contradictions": data.contradictions, "articles_sha256": texts.articles_sha256}
    _write(texts.articles, folder / _ARTICLES, {})
    _write(data.rows, folder / _LABELLED, {_ABOUT: json.dumps(about)})


def load_texts(folder: Path) -> Texts:
    """What :func:`save_texts` wrote. Raises LookupError where there is nothing, ValueError where it was changed."""
    path = folder / _LABELLED
    if not path.is_file():
        raise LookupError(f"{path} is not there: materialize sentiment_dataset, or run `paiid models train`")
    rows = pl.read_parquet(path)
    about = json.loads(pl.read_parquet_metadata(path)[_ABOUT])
    articles_sha256 = about.pop("articles_sha256")
    texts = Texts(Dataset(rows, **about), pl.read_parquet(folder / _ARTICLES))
    if digest(rows) != about["sha256"] or texts.articles_sha256 != articles_sha256:
        raise ValueError(f"{path} is not what was written: materialize sentiment_dataset again")
    return texts


def split_held_out(rows: pl.DataFrame) -> Parts:
    """The parts of a dataset's rows. Raises ValueError where one of them is empty."""
    held = pl.col("fold") == HELD_OUT
    fitted = pl.col("group").str.slice(8, 8).str.to_integer(base=16, dtype=pl.UInt64) % _VALIDATION == 0
    parts = Parts(rows.filter(~held), rows.filter(held & fitted), rows.filter(held & ~fitted))
    if parts.training.is_empty() or parts.validation.is_empty() or parts.test.is_empty():
        raise ValueError(f"{rows.height} labelled texts are too few to train on some and measure on others")
    return parts


def labelled_rows(path: Path) -> pl.DataFrame:
    """A user's labelled CSV, prepared, as text | label | entity | group: each text a group of its own.

    Raises ValueError, naming the column, or the label and its row, where it is no such file.
    """
    rows = read_labelled(path)
    prepared = rows.with_columns(
        pl.Series(name, [prepare(text) if text else None for text in rows[name]], pl.String)
        for name in ("text", "entity")
    ).drop_nulls("text")
    if prepared.is_empty():
        raise ValueError(f"{path} has no text with a label: give at least one")
    return prepared.with_columns(group=pl.col("text"))


def _write(frame: pl.DataFrame, path: Path, about: dict[str, str]) -> None:
    with replacing(path) as draft:
        frame.write_parquet(draft, metadata=about)
