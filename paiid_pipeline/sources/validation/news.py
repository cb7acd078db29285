"""Articles, in Alpaca's shape."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paiid_pipeline.schemas import NEWS
from paiid_pipeline.sources.validation.shared import (
    RefusedError,
    RequestScope,
    Row,
    ValidatedPage,
    clean,
    digest,
    identifier,
    refusals,
)
from paiid_pipeline.symbols import read_symbol

HEADLINE_LIMIT = 64 * 1024
SUMMARY_LIMIT = 1024 * 1024


def check_news(articles: Sequence[object], scope: RequestScope) -> ValidatedPage:
    """One page of articles in Alpaca's shape.

    Reasons: ``bad_type``, ``missing_field``, ``empty_headline``, ``headline_too_long`` (over 64 KiB),
    ``summary_too_long`` (over 1 MiB), ``bad_timestamp``, ``updated_before_created``, ``future_timestamp``,
    ``outside_request``, ``unrequested_symbol``. U+0000 and lone surrogates, which no database takes, become U+FFFD;
    the article is kept and its original is filed beside it as ``characters_replaced``.
    """
    good: list[Row] = []
    refused: list[tuple[str, object]] = []
    for article in articles:
        try:
            row = _article(article, scope)
        except RefusedError as why:
            refused.append((why.reason, article))
            continue
        good.append(row)
        if isinstance(article, dict) and any(clean(t) != t for t in _texts(article)):
            refused.append(("characters_replaced", article))
    return ValidatedPage(pl.DataFrame(good, schema=NEWS, orient="row"), refusals(scope.source, refused))


def _article(article: object, scope: RequestScope) -> Row:
    if not isinstance(article, dict):
        raise RefusedError("bad_type")
    headline = _text(article, "headline", required=True)
    if len(headline.encode()) > HEADLINE_LIMIT:
        raise RefusedError("headline_too_long")
    if not headline.strip():
        raise RefusedError("empty_headline")
    summary, url = _text(article, "summary"), _text(article, "url")
    if len(summary.encode()) > SUMMARY_LIMIT:
        raise RefusedError("summary_too_long")
    created, updated = _published(article, scope)
    symbols = _symbols(article)
    if not scope.symbols.intersection(symbols):
        raise RefusedError("unrequested_symbol")
    publisher = _text(article, "source") or scope.source
    return {
        "article_id": identifier(article.get("id"), publisher, [created.isoformat(), headline, url]),
        "published_at": created,
        "updated_at": updated,
        "source": publisher,
        "headline": headline,
        "summary": summary,
        "url": url,
        "symbols": symbols,
        "content_hash": digest([headline, summary, symbols]),
    }


def _published(article: Row, scope: RequestScope) -> tuple[datetime, datetime]:
    created = parse_moment(article.get("created_at"))
    updated = parse_moment(article["updated_at"]) if article.get("updated_at") is not None else created
    if updated < created:
        raise RefusedError("updated_before_created")
    if updated > scope.now:
        raise RefusedError("future_timestamp")
    if not scope.start <= updated < scope.end:
        raise RefusedError("outside_request")
    return created, updated


def parse_moment(value: object) -> datetime:
    """An RFC 3339 moment, UTC to the microsecond; it must name its offset."""
    if value is None:
        raise RefusedError("missing_field")
    if not isinstance(value, str):
        raise RefusedError("bad_type")
    parsed = pl.Series([clean(value)]).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)[0]
    if parsed is None:
        raise RefusedError("bad_timestamp")
    moment: datetime = parsed
    return moment


def _texts(article: Row) -> list[str]:
    return [value for key in ("headline", "summary", "url", "source") if isinstance(value := article.get(key), str)]


def _text(article: Row, key: str, required: bool = False) -> str:
    value = article.get(key)
    if value is None:
        if required:
            raise RefusedError("missing_field")
        return ""
    if not isinstance(value, str):
        raise RefusedError("bad_type")
    return clean(value)


def _symbols(article: Row) -> list[str]:
    symbols = article.get("symbols")
    if symbols is None:
        raise RefusedError("missing_field")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise RefusedError("bad_type")
    return sorted({read_symbol(clean(symbol)) for symbol in symbols} - {""})
