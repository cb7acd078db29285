"""Corporate actions, in Alpaca's shape: lists by kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from paiid_pipeline.schemas import CORPORATE_ACTIONS
from paiid_pipeline.sources.validation.shared import (
    RefusedError,
    RequestScope,
    Row,
    ValidatedPage,
    as_json,
    identifier,
    refusals,
)
from paiid_pipeline.symbols import read_symbol

BEFORE_EX, AFTER_EX = timedelta(days=10), timedelta(days=120)
"""How far before and after its ex-date an action is processed at most: a dividend with due bills is paid before it,
and few are paid more than a quarter after it. One outside is seen once it is processed."""

_SYMBOL_FIELDS = ("symbol", "source_symbol", "old_symbol", "acquiree_symbol", "new_symbol", "acquirer_symbol")
_DATE_FIELDS = ("ex_date", "effective_date", "process_date", "payable_date")


def check_actions(actions: Mapping[str, object], scope: RequestScope) -> ValidatedPage:
    """One page of corporate actions in Alpaca's shape: lists by kind.

    Splits and stock dividends carry a ratio (new shares per old one), cash dividends an amount (per old share); all
    other kinds are kept under the vendor's singular name with neither. An action is in range by any of its dates, up to
    ``BEFORE_EX`` before and ``AFTER_EX`` after it; one that is not ex yet is left out, and counted as in progress.
    Reasons: ``bad_type``, ``missing_field``, ``bad_timestamp``, ``not_finite``, ``non_positive_rate``, ``unit_ratio``
    (a split of 1:1), ``outside_request``, ``unrequested_symbol``.
    """
    good: list[Row] = []
    refused: list[tuple[str, object]] = []
    ahead = 0
    for kind, listed in actions.items():
        if not isinstance(listed, list):
            refused.append(("bad_type", {"kind": kind, "rows": listed}))
            continue
        for action in listed:
            try:
                rows = _action(kind, action, scope)
                good += [row for row in rows if row["ex_date"] <= _last_day(scope)]
                ahead += any(row["ex_date"] > _last_day(scope) for row in rows)
            except RefusedError as why:
                refused.append((why.reason, {"kind": kind, "row": action}))
    return ValidatedPage(
        pl.DataFrame(good, schema=CORPORATE_ACTIONS, orient="row"), refusals(scope.source, refused), ahead
    )


def _action(kind: str, action: object, scope: RequestScope) -> list[Row]:
    """The action once for each requested symbol that it concerns; its first symbol keeps the vendor's id as it is."""
    if not isinstance(action, dict):
        raise RefusedError("bad_type")
    concerned = _concerned(action)
    days = _days(action)
    ex_date = days[0]
    ours, ratio, amount = _effect(kind, action)
    if not any(_in_scope(day, scope) for day in days):
        raise RefusedError("outside_request")
    wanted = [symbol for symbol in concerned if symbol in scope.symbols]
    if not wanted:
        raise RefusedError("unrequested_symbol")
    action_id = identifier(action.get("id"), scope.source, [as_json(action)])
    return [
        {
            "action_id": action_id if symbol == concerned[0] else f"{action_id}:{symbol}",
            "symbol": symbol,
            "kind": ours,
            "ex_date": ex_date,
            "effective_at": scope.calendar.day_start(ex_date),
            "ratio": ratio,
            "amount": amount,
            "source": scope.source,
        }
        for symbol in wanted
    ]


def _concerned(action: Row) -> list[str]:
    named = [action[key] for key in _SYMBOL_FIELDS if action.get(key) is not None]
    if not named:
        raise RefusedError("missing_field")
    if not all(isinstance(symbol, str) for symbol in named):
        raise RefusedError("bad_type")
    return list(dict.fromkeys(read_symbol(symbol) for symbol in named))


def _days(action: Row) -> list[date]:
    """The action's dates, the ex-date or what comes closest to it first."""
    named = [action[key] for key in _DATE_FIELDS if action.get(key) is not None]
    if not named:
        raise RefusedError("missing_field")
    if not all(isinstance(text, str) for text in named):
        raise RefusedError("bad_type")
    try:
        return [date.fromisoformat(text) for text in named]
    except ValueError:
        raise RefusedError("bad_timestamp") from None


def _in_scope(day: date, scope: RequestScope) -> bool:
    first = scope.start.astimezone(scope.calendar.timezone).date()
    return first - BEFORE_EX <= day <= _last_day(scope) + AFTER_EX


def _last_day(scope: RequestScope) -> date:
    return (scope.end - timedelta(microseconds=1)).astimezone(scope.calendar.timezone).date()


def _effect(kind: str, action: Row) -> tuple[str, float | None, float | None]:
    """Our name for the kind, its ratio and its amount."""
    if kind in ("forward_splits", "reverse_splits"):
        ratio = _rate(action, "new_rate") / _rate(action, "old_rate")
        if ratio == 1.0:
            raise RefusedError("unit_ratio")
        return "split", ratio, None
    if kind == "stock_dividends":
        return "stock_dividend", 1.0 + _rate(action, "rate"), None
    if kind == "cash_dividends":
        return "cash_dividend", None, _rate(action, "rate")
    if kind == "name_changes" and action.get("old_symbol") == action.get("new_symbol"):
        return "same_ticker_name_change", None, None  # no ticker changes hands
    return kind.removesuffix("s"), None, None


def _rate(action: Row, key: str) -> float:
    value = action.get(key)
    if value is None:
        raise RefusedError("missing_field")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError("bad_type")
    if not math.isfinite(value):
        raise RefusedError("not_finite")
    if value <= 0:
        raise RefusedError("non_positive_rate")
    return float(value)
