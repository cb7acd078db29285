"""The sentiment of a symbol at a decision: the exponentially decayed mean over the articles known by then.

A row is a pure function of the scores known at its decision, bit for bit: weights are computed one by one and sums are
exactly rounded (`math.fsum`), so it depends neither on the order of rows nor on other decisions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from paiid_pipeline.arrays import Floats
from paiid_pipeline.schemas import DECISIONS, SYMBOL_SENTIMENT
from paiid_pipeline.sentiment import ensemble
from paiid_pipeline.sentiment.article_selection import standings, versions

_SECOND = timedelta(seconds=1)


def aggregate(
    scores: pl.DataFrame,
    decisions: pl.DataFrame,
    lookback: timedelta,
    half_life: timedelta,
    model: str = ensemble.MODEL,
) -> pl.DataFrame:
    """`schemas.SYMBOL_SENTIMENT`: one row a decision, in the order of ``decisions``.

    ``scores``: `schemas.STORED_ARTICLE_SENTIMENT`, all versions, in any order; ``decisions``:
    `schemas.DECISIONS`. For a decision at T count the articles of :func:`counted`. Each weighs
    w = c * 0.5 ** ((T - published_at) / half_life), with c its confidence:

    score = sum(w s) / sum(w); disagreement = sqrt(sum(w (s - score)^2) / sum(w)); confidence = the decayed
    mean of c, times E / (1 + E) with E = sum(w), which shrinks it where there are few or old articles. Without
    articles article_count is 0 and score, confidence and disagreement are null. novelty is the fraction of articles
    that are not copies.
    """
    rows = versions(scores, model)
    known = standings(rows, decisions, lookback)
    pairs = known.filter(pl.col("standing") == "counts")
    with_copies = known.filter(pl.col("standing").is_in(["counts", "copy"]))
    bounds = _bounds(pairs, decisions.height)
    articles = np.diff(_bounds(with_copies, decisions.height)).tolist()
    how = f"{lookback / _SECOND:g}/{half_life / _SECOND:g}"
    means = _means(pairs, _decay(pairs, half_life), _row_digests(rows), bounds, articles, how)
    read = pl.DataFrame(means, schema=_MEAN, orient="row")
    placed = decisions.select(DECISIONS.keys())
    return placed.hstack(read).select(pl.lit(model).alias(n) if n == "model" else pl.col(n) for n in SYMBOL_SENTIMENT)


def counted(
    scores: pl.DataFrame,
    decisions: pl.DataFrame,
    lookback: timedelta,
    half_life: timedelta,
    model: str = ensemble.MODEL,
) -> pl.DataFrame:
    """The articles behind the rows of :func:`aggregate`, each with its ``weight``, by decision and publication.

    Those of :func:`~paiid_pipeline.sentiment.article_selection.standings` that count, within the look-back.
    """
    rows = versions(scores, model)
    pairs = standings(rows, decisions, lookback).filter(pl.col("standing") == "counts")
    pairs = pairs.join(rows.select("row", "symbol", "article_id", "known_at"), on="row", maintain_order="left")
    return pairs.with_columns(weight=pl.Series(_decay(pairs, half_life)) * pl.col("confidence"))


_MEAN = {
    name: SYMBOL_SENTIMENT[name]
    for name in (
        "score", "confidence", "article_count", "disagreement", "newest_published_at", "model_version", "inputs_hash",
        "novelty",
    )
}  # fmt: skip


def _bounds(pairs: pl.DataFrame, decisions: int) -> NDArray[np.int64]:
    """The offsets of each decision's pairs, and the end."""
    return np.searchsorted(pairs["decision"].to_numpy(), np.arange(decisions + 1))


def _row_digests(rows: pl.DataFrame) -> NDArray[np.void]:
    """16 bytes a row: a digest of its article and score."""
    evidence = rows.select("article_id", "content_hash", "model_version", "published_at", "score", "confidence")
    texts = (repr(row).encode() for row in evidence.with_columns(pl.col("published_at").to_physical()).iter_rows())
    return np.array([hashlib.sha256(text).digest()[:16] for text in texts], dtype="V16")


def _decay(pairs: pl.DataFrame, half_life: timedelta) -> Floats:
    # Scalar: vectorised powers may round the rows at the end of an array differently.
    ages = (pairs["as_of"] - pairs["published_at"]).to_physical().to_numpy()
    return np.array([0.5**halves for halves in (ages / (half_life / timedelta(microseconds=1))).tolist()])


def _means(
    pairs: pl.DataFrame,
    decay: Floats,
    digests: NDArray[np.void],
    bounds: NDArray[np.int64],
    articles: Sequence[int],
    how: str,
) -> list[tuple[object, ...]]:
    """The columns of ``_MEAN`` for the pairs between each two bounds."""
    scores, confidences = pairs["score"].to_numpy(), pairs["confidence"].to_numpy()
    counts, weights = np.diff(bounds), decay * confidences
    evidence, decayed = _sums(weights, bounds), _sums(decay, bounds)
    total = np.where(counts > 0, evidence, np.nan)
    score = np.clip(_sums(weights * scores, bounds) / total, -1.0, 1.0)
    off = scores - np.repeat(score, counts)
    disagreement = np.sqrt(_sums(weights * off * off, bounds) / total)
    confidence = total / np.where(counts > 0, decayed, 1.0) * total / (1 + total)
    seen = digests[pairs["row"].to_numpy()]
    published, versions = pairs["published_at"], pairs["model_version"].to_list()
    found: list[tuple[object, ...]] = []
    for index, (start, stop) in enumerate(pairwise(bounds.tolist())):
        inputs_hash = hashlib.sha256(seen[start:stop].tobytes() + f"{articles[index]}/{how}".encode()).hexdigest()
        if start == stop:
            found.append((None, None, 0, None, None, None, inputs_hash, None))
            continue
        version = ",".join(sorted(set(versions[start:stop])))
        numbers = (score[index], confidence[index], stop - start, disagreement[index])
        novelty = (stop - start) / articles[index]
        found.append((*numbers, published[stop - 1], version, inputs_hash, novelty))
    return found


def _sums(values: Floats, bounds: NDArray[np.int64]) -> Floats:
    """The exactly rounded sum of the values between each two bounds."""
    numbers = values.tolist()
    return np.array([math.fsum(numbers[start:stop]) for start, stop in pairwise(bounds.tolist())])
