"""The sentiment on a symbol at a decision: the decayed mean over the articles known by then.

A row is a pure function of the scores known at its decision, to the last bit: weights are computed one
by one and sums are exactly rounded (`math.fsum`), so neither the order of the rows nor the decisions
beside it can show.
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

from paiid_pipeline.contracts import DECISIONS, STORED_ARTICLE_SENTIMENT, SYMBOL_SENTIMENT
from paiid_pipeline.sentiment import ensemble
from paiid_pipeline.sentiment.novelty import near_copies

Floats = NDArray[np.float64]

_SECOND = timedelta(seconds=1)


def aggregate(
    scores: pl.DataFrame,
    decisions: pl.DataFrame,
    lookback: timedelta,
    half_life: timedelta,
    model: str = ensemble.MODEL,
) -> pl.DataFrame:
    """`contracts.SYMBOL_SENTIMENT`: one row a decision, in the order of ``decisions``.

    ``scores``: `contracts.STORED_ARTICLE_SENTIMENT`, all versions, in any order; ``decisions``:
    `contracts.DECISIONS`. For a decision at T count the rows of ``model`` and its symbol with known_at <=
    known_by; of each article the version known last; of those the ones with T - lookback < published_at
    <= T and confidence above 0; of articles with the same content_hash, and of near copies of one story
    (:mod:`~paiid_pipeline.sentiment.novelty`), the one published first, so that ten copies are not ten opinions.
    Each weighs w = c * 0.5 ** ((T - published_at) / half_life), with
    c its confidence:

    score = sum(w s) / sum(w); disagreement = sqrt(sum(w (s - score)^2) / sum(w)); confidence = the decayed
    mean of c, times E / (1 + E) with E = sum(w): one fresh article is half heard, old news hardly. Without
    articles article_count is 0 and score, confidence and disagreement are null. novelty is the share of
    articles that were not copies.
    """
    rows = _versions(scores, model)
    placed = decisions.select(DECISIONS.keys()).with_row_index("decision")
    heard = _heard(rows, placed, lookback)
    pairs = _stories(heard, rows, lookback)
    bounds = _bounds(pairs, placed.height)
    articles = np.diff(_bounds(heard, placed.height)).tolist()
    how = f"{lookback / _SECOND:g}/{half_life / _SECOND:g}"
    means = _means(pairs, _decay(pairs, half_life), _row_digests(rows), bounds, articles, how)
    read = pl.DataFrame(means, schema=_MEAN, orient="row")
    return placed.hstack(read).select(pl.lit(model).alias(n) if n == "model" else pl.col(n) for n in SYMBOL_SENTIMENT)


_MEAN = {
    name: SYMBOL_SENTIMENT[name]
    for name in (
        "score", "confidence", "article_count", "disagreement", "newest_published_at", "model_version", "inputs_hash",
        "novelty",
    )
}  # fmt: skip


def _versions(scores: pl.DataFrame, model: str) -> pl.DataFrame:
    """Every version, with the moment at which a newer one of the same article takes its place."""
    rows = scores.select(STORED_ARTICLE_SENTIMENT.keys()).filter(
        (pl.col("model") == model) & pl.col("score").is_finite() & pl.col("confidence").is_finite()
    )
    article = ["symbol", "article_id"]
    order = [*article, "known_at", "content_hash", "model_version", "published_at", "score", "confidence"]
    rows = rows.sort(order).unique([*article, "known_at"], keep="last", maintain_order=True)
    same = pl.all_horizontal(pl.col(key) == pl.col(key).shift(-1) for key in article)
    rows = rows.with_columns(pl.when(same).then(pl.col("known_at").shift(-1)).alias("superseded_at"))
    return rows.sort("published_at", "article_id", "known_at").with_row_index("row")


def _heard(rows: pl.DataFrame, decisions: pl.DataFrame, lookback: timedelta) -> pl.DataFrame:
    """What each decision hears: decision, as_of and the columns of ``rows``, by decision and published_at."""
    within = (
        (pl.col("known_at") <= pl.col("known_by"))
        & (pl.col("superseded_at").is_null() | (pl.col("superseded_at") > pl.col("known_by")))
        & (pl.col("published_at") <= pl.col("as_of"))
        & (pl.col("published_at") > pl.col("as_of") - lookback)
        & (pl.col("confidence") > 0)
    )
    wanted = decisions.lazy().select("decision", "symbol", "as_of", "known_by")
    found = rows.lazy().select(
        "row",
        "symbol",
        "published_at",
        "known_at",
        "superseded_at",
        "content_hash",
        "model_version",
        "score",
        "confidence",
    )
    return wanted.join(found, on="symbol").filter(within).sort("decision", "row").collect()


def _stories(heard: pl.DataFrame, rows: pl.DataFrame, lookback: timedelta) -> pl.DataFrame:
    """``heard`` without the articles that are copies of one that the same decision heard and that is older."""
    pairs = heard.unique(["decision", "content_hash"], keep="first", maintain_order=True)
    near = _near(rows, lookback)
    older = pairs.select("decision", older="row")
    copies = pairs.select("decision", "row").join(near, on="row").join(older, on=["decision", "older"], how="semi")
    return pairs.join(copies, on=["decision", "row"], how="anti", maintain_order="left")


def _near(rows: pl.DataFrame, lookback: timedelta) -> pl.DataFrame:
    """Which rows are near copies of which older ones about the same symbol: row, older."""
    found: list[tuple[int, int]] = []
    for _, about in rows.group_by("symbol"):
        # Sorted by row, which is by publication.
        places, published = about["row"].to_list(), about["published_at"]
        since = published.search_sorted(published - lookback).to_list()
        found += [(places[a], places[b]) for a, b in near_copies(about["fingerprint"].to_list(), since)]
    return pl.DataFrame(found, schema={"row": rows.schema["row"], "older": rows.schema["row"]}, orient="row")


def _bounds(pairs: pl.DataFrame, decisions: int) -> NDArray[np.int64]:
    """Where the pairs of each decision start, and the end."""
    return np.searchsorted(pairs["decision"].to_numpy(), np.arange(decisions + 1))


def _row_digests(rows: pl.DataFrame) -> NDArray[np.void]:
    """16 bytes a row: what it says, and of what."""
    evidence = rows.select("article_id", "content_hash", "model_version", "published_at", "score", "confidence")
    texts = (repr(row).encode() for row in evidence.with_columns(pl.col("published_at").to_physical()).iter_rows())
    return np.array([hashlib.sha256(text).digest()[:16] for text in texts], dtype="V16")


def _decay(pairs: pl.DataFrame, half_life: timedelta) -> Floats:
    # Power by power: vectorised ones may round the rows at the end of an array otherwise than the rest.
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
    heard = np.where(counts > 0, evidence, np.nan)
    score = np.clip(_sums(weights * scores, bounds) / heard, -1.0, 1.0)
    off = scores - np.repeat(score, counts)
    disagreement = np.sqrt(_sums(weights * off * off, bounds) / heard)
    confidence = heard / np.where(counts > 0, decayed, 1.0) * heard / (1 + heard)
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
