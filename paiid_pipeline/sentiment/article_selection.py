"""Which articles count at a decision, and why others do not.

Of each article the latest score known counts. An article does not count where, by the knowledge of the decision,

- a later one of the same source corrects, refiles or updates it (``replaced``),
- it was withdrawn (``withdrawn``), as does the withdrawal notice itself, or
- it is a copy or near-duplicate of an older one (``copy``). A replacement takes the time of the replaced article.

Near-duplicates that contradict one another, by their claims or by their scores, both count.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.schemas import DECISIONS, STORED_ARTICLE_SENTIMENT
from paiid_pipeline.sentiment.text.near_duplicates import are_similar, claims_in, near_duplicates
from paiid_pipeline.sentiment.text.wire_corrections import KINDS

CORRECTED_WITHIN = timedelta(days=3)
"""Maximum age of the article that a correction refers to."""
_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)
_OVERLAP = 0.6
"""Minimum overlap of the headlines of a correction and its article (`claims.Claims.overlap`)."""
_OPPOSED = 0.5
"""Near-duplicates whose scores differ in sign and by so much both count."""

STANDINGS = ("counts", "copy", "replaced", "withdrawn")
"""The standing of a known article at a decision."""


_WEIGHING = ("row", "published_at", "content_hash", "model_version", "score", "confidence", "withdrawal")


def versions(scores: pl.DataFrame, model: str) -> pl.DataFrame:
    """Every score of ``model`` as a numbered row, with the time at which a newer one of the article supersedes it.

    ``scores``: `schemas.STORED_ARTICLE_SENTIMENT` in any order; the rows are by publication.
    """
    rows = scores.select(STORED_ARTICLE_SENTIMENT.keys()).filter(
        (pl.col("model") == model) & pl.col("score").is_finite() & pl.col("confidence").is_finite()
    )
    article = ["symbol", "article_id"]
    order = [*article, "known_at", "content_hash", "model_version", "published_at", "score", "confidence"]
    rows = rows.sort(order).unique([*article, "known_at"], keep="last", maintain_order=True)
    same = pl.all_horizontal(pl.col(key) == pl.col(key).shift(-1) for key in article)
    rows = rows.with_columns(
        superseded_at=pl.when(same).then(pl.col("known_at").shift(-1)), withdrawal=_is("withdrawal")
    )
    return rows.sort("published_at", "article_id", "known_at").with_row_index("row")


def standings(
    rows: pl.DataFrame, decisions: pl.DataFrame, lookback: timedelta, window: timedelta | None = None
) -> pl.DataFrame:
    """The articles known at each decision: ``decision`` (index), ``as_of``, ``row`` with ``_WEIGHING``, ``standing``.

    By decision and publication. ``rows``: of :func:`versions`; ``decisions``: `schemas.DECISIONS`. Known are scores
    with confidence above 0 and known_at <= known_by of articles with T - ``window`` < published_at <= T, by default
    within the ``lookback``; an article is a copy of none that is older than itself by the ``lookback``.
    ``instead``: the row that replaces it or that it copies, if any.
    """
    placed = decisions.select(DECISIONS.keys()).with_row_index("decision")
    known = _known(rows, placed, window or lookback)
    replaced = _replaced(_like(rows), known)
    # Of an article's versions only the last counts, at the time of the first.
    since = replaced.group_by("decision", row="by").agg(pl.col("older").min().alias("since"))
    near = _pairs(_near(rows, lookback), known).join(since, on=["decision", "row"], how="left")
    near = near.filter(pl.col("older") < pl.col("since").fill_null(pl.col("row")))
    copies = pl.concat([near.select("decision", "row", "older"), _exact(known, lookback)])
    by = [replaced.group_by("decision", row="older").agg(replaced_by=pl.col("by").max()),
          copies.group_by("decision", "row").agg(copy_of=pl.col("older").min())]  # fmt: skip
    for frame in by:
        known = known.join(frame, on=["decision", "row"], how="left", maintain_order="left")
    withdrawn = pl.col("withdrawal") | pl.col("replaced_by").is_in(rows.filter("withdrawal")["row"].implode())
    return known.with_columns(
        standing=pl.when(withdrawn.fill_null(value=False))
        .then(pl.lit("withdrawn"))
        .when(pl.col("replaced_by").is_not_null())
        .then(pl.lit("replaced"))
        .when(pl.col("copy_of").is_not_null())
        .then(pl.lit("copy"))
        .otherwise(pl.lit("counts")),
        instead=pl.coalesce("replaced_by", "copy_of"),
    ).drop("replaced_by", "copy_of", "withdrawal")


def standings_now(scores: pl.DataFrame, model: str, now: datetime, lookback: timedelta) -> pl.DataFrame:
    """`schemas.ARTICLE_STANDINGS`: the standing of each article at a decision at ``now`` that looks back over all.

    ``scores``: `schemas.STORED_ARTICLE_SENTIMENT` of some symbols; ``lookback``: that of the decisions, over which
    copies are known as such.
    """
    rows = versions(scores, model)
    symbols = rows["symbol"].unique().sort()
    decision = {"horizon": "", "as_of": now, "known_by": now, "session": now.date(), "session_open": now, "anchor": now}
    decisions = symbols.to_frame().with_columns(
        pl.lit(value).cast(DECISIONS[n]).alias(n) for n, value in decision.items()
    )
    known = standings(rows, decisions, lookback, now - _BEGINNING)
    article = rows.select("row", "symbol", "article_id")
    known = known.join(article, on="row").join(
        article.select(instead="row", other="article_id"), on="instead", how="left"
    )
    return known.select("symbol", "article_id", "published_at", "standing", instead="other").sort(
        "symbol", "article_id"
    )


def _known(rows: pl.DataFrame, decisions: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """The ``rows`` known at each decision: decision, as_of, ``_WEIGHING``; by decision and published_at."""
    within = (
        (pl.col("known_at") <= pl.col("known_by"))
        & (pl.col("superseded_at").is_null() | (pl.col("superseded_at") > pl.col("known_by")))
        & (pl.col("published_at") <= pl.col("as_of"))
        & (pl.col("published_at") > pl.col("as_of") - window)
        & (pl.col("confidence") > 0)
    )
    wanted = decisions.lazy().select("decision", "symbol", "as_of", "known_by")
    found = rows.lazy().select("symbol", "known_at", "superseded_at", *_WEIGHING)
    kept = wanted.join(found, on="symbol").filter(within).sort("decision", "row")
    return kept.select("decision", "as_of", *_WEIGHING).collect()


def _pairs(of: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The pairs of rows that are both known at a decision."""
    this, other = of.columns[:2]
    left = known.select("decision", pl.col("row").alias(this)).join(of, on=this)
    return left.join(known.select("decision", pl.col("row").alias(other)), on=["decision", other], how="semi")


def _exact(known: pl.DataFrame, lookback: timedelta) -> pl.DataFrame:
    """Articles with the content hash of an older one: decision, row, older."""
    same = ["decision", "content_hash"]
    before = known.select(
        "decision",
        "row",
        older=pl.col("row").shift(1).over(same),
        apart=pl.col("published_at") - pl.col("published_at").shift(1).over(same),
    )
    return before.filter(pl.col("apart") < lookback).select("decision", "row", "older")


def _near(rows: pl.DataFrame, lookback: timedelta) -> pl.DataFrame:
    """Near-duplicates of older rows of the same symbol: row, older."""
    found: list[tuple[int, int]] = []
    for _, about in rows.group_by("symbol"):
        # Sorted by row, which is by publication.
        places, published = about["row"].to_list(), about["published_at"]
        scores = about["score"].to_list()
        since = published.search_sorted(published - lookback).to_list()
        near = near_duplicates(about["fingerprint"].to_list(), since)
        found += [(places[a], places[b]) for a, b in near if not _opposed(scores[a], scores[b])]
    return pl.DataFrame(found, schema={"row": rows.schema["row"], "older": rows.schema["row"]}, orient="row")


def _opposed(one: float, other: float) -> bool:
    return one * other < 0 and abs(one - other) >= _OPPOSED


def _like(rows: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a marked row and one it may correct, update or withdraw, with their similarity: by, older, likeness."""
    found: list[tuple[int, int, float]] = []
    marked = rows.filter(pl.any_horizontal(_is(kind) for kind in KINDS))
    about = rows.filter(pl.col("symbol").is_in(marked["symbol"].unique().implode()))
    for _, one in about.group_by("symbol"):
        read = one.select("row", "article_id", "published_at", "flags", "fingerprint").to_dicts()
        for later in (row for row in read if set(KINDS).intersection(row["flags"] or ())):
            alike = ((row["row"], _likeness(row, later)) for row in read if _may_be_of(row, later))
            found += [(later["row"], older, likeness) for older, likeness in alike if likeness]
    kind = rows.schema["row"]
    return pl.DataFrame(found, schema={"by": kind, "older": kind, "likeness": pl.Float64}, orient="row")


def _replaced(like: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows that each marked row replaces at each decision: decision, by, older.

    The most similar known article, of several the newest; and those that are paired with that one.
    """
    both = _pairs(like.select("by", "older"), known).join(like, on=["by", "older"])
    best = both.sort("likeness", "older").unique(["decision", "by"], keep="last").rename({"older": "best"})
    pairs = like.select("by", "older")
    paired = pl.concat([pairs.select(best="older", older="by"), pairs.select(best="by", older="older")])
    others = best.select("decision", "by", "best").join(paired, on="best")
    others = both.select("decision", "by", "older").join(others, on=["decision", "by", "older"], how="semi")
    return pl.concat([best.select("decision", "by", older="best"), others])


def _may_be_of(row: dict[str, Any], later: dict[str, Any]) -> bool:
    age = later["published_at"] - row["published_at"]
    return (
        row["article_id"] != later["article_id"]
        and row["row"] < later["row"]
        and age <= CORRECTED_WITHIN
        and _source(row["article_id"]) == _source(later["article_id"])
    )


def _source(article_id: str) -> str:
    """The publisher prefix of an article id; empty without one."""
    publisher, colon, _ = article_id.partition(":")
    return publisher if colon and publisher != "sha256" else ""


def _likeness(row: dict[str, Any], later: dict[str, Any]) -> float:
    overlap = claims_in(row["fingerprint"]).overlap(claims_in(later["fingerprint"]))
    if overlap >= _OVERLAP:
        return overlap
    return _OVERLAP if are_similar(row["fingerprint"], later["fingerprint"]) else 0.0


def _is(kind: str) -> pl.Expr:
    return pl.col("flags").list.contains(kind).fill_null(value=False)
