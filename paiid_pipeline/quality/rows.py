"""Row rules of every table, and which rows break them; those of bars are in `quality.bars`.

Each rule is stated once, with its tolerance, for decisions and asset checks alike. A row that breaks one
withholds the decision of its own symbol only; see :func:`fault`.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import polars.selectors as cs

from paiid_pipeline.indicator_catalogue import MINIMUM_BARS, checks
from paiid_pipeline.schemas import DECISION_KEY, SIDES

Rules = Mapping[str, pl.Expr]
"""A rule's name and the expression that is true of a sound row."""

_c = pl.col

NEWS: Rules = {
    "the headline is not blank": _c("headline").str.strip_chars() != "",
    "an article names a symbol": _c("symbols").list.len() > 0,
    "an article is known no earlier than it was updated": _c("known_at") >= _c("updated_at"),
    "an update is no earlier than the publication": _c("updated_at") >= _c("published_at"),
}

ARTICLE_SENTIMENT: Rules = {
    "probabilities add up to one": (pl.sum_horizontal("p_negative", "p_neutral", "p_positive") - 1).abs() < 1e-9,
    "probabilities lie in [0, 1]": pl.all_horizontal(_c("p_negative", "p_neutral", "p_positive").is_between(0, 1)),
    "the score is p_positive - p_negative": _c("score") == _c("p_positive") - _c("p_negative"),
    "confidence lies in [0, 1]": _c("confidence").is_between(0, 1),
}

SYMBOL_SENTIMENT: Rules = {
    "the score lies in [-1, 1]": _c("score").is_between(-1, 1) | _c("score").is_null(),
    "a score rests on articles, and articles give a score": _c("score").is_null() == (_c("article_count") == 0),
    "novelty is a share": (_c("novelty") > 0).fill_null(True) & (_c("novelty") <= 1).fill_null(True),
    "no article is newer than the decision": (_c("newest_published_at") <= _c("as_of")).fill_null(True),
}

INDICATORS: Rules = {
    **checks(),
    "the bands are in order": (_c("bb_lower") <= _c("bb_middle")).fill_null(True)
    & (_c("bb_middle") <= _c("bb_upper")).fill_null(True),
    f"at least {MINIMUM_BARS} bars": _c("bars") >= MINIMUM_BARS,
    "no bar ends after the decision": _c("bar_end") <= _c("as_of"),
    "the price is positive": _c("close") > 0,
}

SIGNALS: Rules = {
    "the class is one of the five": _c("signal").is_in(list(SIDES)),
    "strength lies in [-1, 1]": _c("strength").is_between(-1, 1),
    "confidence lies in [0, 1]": _c("confidence").is_between(0, 1),
    "a buy is never weak, a sell never strong": ~(
        (_c("signal").str.ends_with("BUY") & (_c("strength") <= 0))
        | (_c("signal").str.ends_with("SELL") & (_c("strength") >= 0))
    ),
    "the price is positive": _c("price") > 0,
    "a signal is valid after its decision": _c("valid_until") > _c("as_of"),
    "a stop lies where the price hurts, a take-profit where it pays": (
        _c("stop_loss").is_null()
        | ((_c("stop_loss") < _c("price")) & (_c("price") < _c("take_profit")) & _c("signal").str.ends_with("BUY"))
        | ((_c("stop_loss") > _c("price")) & (_c("price") > _c("take_profit")) & _c("signal").str.ends_with("SELL"))
    ),
    "the position lies in [0, 1]": _c("position_fraction").is_between(0, 1) | _c("position_fraction").is_null(),
}

LABELLED_TEXTS: Rules = {
    "the text is not blank": _c("text").str.strip_chars() != "",
    "the label is one of the three": _c("label").is_in(["negative", "neutral", "positive"]),
    "the target adds up to one": (pl.sum_horizontal("p_negative", "p_neutral", "p_positive") - 1).abs() < 1e-9,
    "the label is the target's likeliest": pl.max_horizontal("p_negative", "p_neutral", "p_positive")
    == pl.coalesce(pl.when(_c("label") == label).then(f"p_{label}") for label in ("negative", "neutral", "positive")),
    "a group lies in one fold": _c("fold").n_unique().over("group") == 1,
}

SIGNAL_ROWS: Rules = {
    "one row a decision": pl.struct(DECISION_KEY).is_unique(),
    "a decision is executed after it was made": _c("entry") > _c("as_of"),
    "an outcome ends after the decision is executed": _c("label_end") > _c("entry"),
    "the class is one of the three": _c("barrier").is_in([-1, 0, 1]),
    "the returns are finite": _c("forward_return").is_finite() & _c("barrier_return").is_finite(),
    "features are finite or not known": pl.all_horizontal(cs.float().is_finite().fill_null(True)),
}


def broken(rows: pl.DataFrame, rules: Rules) -> dict[str, int]:
    """How many rows break each rule; a null verdict counts as broken."""
    verdicts = rows.select(**{name: (~rule).fill_null(True).sum() for name, rule in rules.items()})
    return {name: int(verdicts[name][0]) for name in rules}


def fault(rules: Rules) -> pl.Expr:
    """The first rule that a row breaks, in words; null for a sound row."""
    return pl.coalesce(
        pl.when(rule).then(None).otherwise(pl.lit(f"it breaks the rule '{name}'")) for name, rule in rules.items()
    )
