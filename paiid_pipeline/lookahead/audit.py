"""Audit against look-ahead: no decision changes when all rows that became known later are removed.

One check finds every leak. For each decision of a sample, all rows that were not known by then are physically removed,
the decision is made again, and every value must have the same bits as in a recomputation from all that is
stored now, and as the row that is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from paiid_pipeline.lookahead.decision_path import DecisionPath, History, Key, Output
from paiid_pipeline.schemas import ARTICLE_SENTIMENT, DECISION_KEY
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.transformer import ARITHMETIC

RECOMPUTED, STORED = "recomputed from all that is known now", "stored"
BOUND, EDGE = 1e-5, 0.1
"""How far a probability of another kind of processor may be off; and how far where an activation of an int8 model
lies at a rounding edge, so that its last float bits decide on a level, which models exported before `models.portable`
leave to the processor. The label must be the same in both cases."""
ELSEWHERE = f"stored by another kind of processor, the same within {BOUND}"
ROUNDED = f"stored by another kind of processor, with the same label and within {EDGE}: at a rounding edge of int8"
ROW = "(row)"
"""The column that a difference names where one side has no row at all."""
UNKNOWN = "(absent)"

_SHARES = ("p_neutral", "p_negative", "p_positive")


@dataclass(frozen=True)
class Difference:
    """One value that knowledge from after its decision has changed."""

    table: str
    column: str
    symbol: str
    horizon: str
    as_of: str
    then: str
    """From what was known by then; `repr`, so that every bit of a number shows."""
    against: str
    """What it is compared with: ``RECOMPUTED``, ``STORED`` or ``ELSEWHERE``."""
    otherwise: str

    def __str__(self) -> str:
        return (
            f"{self.table}.{self.column} of {self.symbol}, {self.horizon}, {self.as_of}: {self.then} from what was "
            f"known by then, but {self.otherwise} {self.against}"
        )


@dataclass
class AuditReport:
    """What an audit has covered, and what it has found."""

    decisions: int = 0
    symbols: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows compared, by table and what they were compared with."""
    values: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    """What could not be compared, and how often."""
    differences: list[Difference] = field(default_factory=list)

    def merge(self, other: AuditReport) -> None:
        """Add what another audit covered and found."""
        self.decisions += other.decisions
        self.symbols |= other.symbols
        self.values += other.values
        self.differences += other.differences
        for mine, theirs in ((self.rows, other.rows), (self.notes, other.notes)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count

    @property
    def first(self) -> Difference | None:
        """The earliest difference; at one moment that of the table that is computed first."""
        order = [
            "market_bars",
            "article_sentiment",
            "technical_indicators",
            "symbol_sentiment",
            "features",
            "withheld",
            "signals",
        ]
        places = {name: place for place, name in enumerate(order)}
        return min(self.differences, key=lambda d: (d.as_of, places.get(d.table, -1), d.symbol), default=None)


def audit(pipeline: DecisionPath, history: History, sample: pl.DataFrame, stored: Output | None = None) -> AuditReport:
    """Make each decision of ``sample`` from what was known by then, and compare.

    ``history``: with all that came later, and all decisions among which the sampled ones are to be
    recomputed; ``sample``: some of its decisions. ``stored``: the rows that the warehouse has for them, by table;
    of several for one decision the last with the engine and version of the recomputed one counts. A stored
    row of another model version is not compared but noted.
    """
    report = AuditReport(sample.height, set(sample["symbol"].to_list()))
    recomputed = pipeline(history)
    full = {name: _rows(frame, sample) for name, frame in recomputed.items()}
    kept = {
        name: _rows(_filled(report, name, frame, recomputed[name]), sample) for name, frame in (stored or {}).items()
    }
    for moment in sample.sort("known_by").partition_by("known_by", maintain_order=True):
        keys = moment.select(DECISION_KEY).rows()
        for name, frame in pipeline(history.as_known_by(moment["known_by"][0], recomputed["signals"])).items():
            then = _rows(frame, moment)
            for key in keys:
                alone = then.get(key, [])
                _compare(report, name, RECOMPUTED, key, alone, full.get(name, {}).get(key, []))
                if name in kept:
                    _compare_stored(report, name, key, alone, kept[name].get(key, []))
    return report


def too_early(bars: pl.DataFrame) -> AuditReport:
    """Bars (`schemas.STORED_BARS`) that claim to have been known before they ended, or to end before they began."""
    report = AuditReport(rows={f"market_bars, {STORED}": bars.height}, values=bars.height)
    ends = pl.col("bar_end")
    for column, bound, wrong in (
        ("known_at", "bar_end", pl.col("known_at") < ends),
        ("bar_end", "bar_start", ends <= pl.col("bar_start")),
    ):
        for bar in bars.filter(wrong).iter_rows(named=True):
            of = (bar["symbol"], bar["timeframe"], bar["bar_start"].isoformat())
            against = f"is its {bound}, which cannot come later"
            report.differences.append(
                Difference("market_bars", column, *of, bar[column].isoformat(), against, bar[bound].isoformat())
            )
    return report


def audit_scores(scores: pl.DataFrame, article_versions: pl.DataFrame, analyzer: SentimentAnalyzer) -> AuditReport:
    """Score the article versions of some stored scores again, and compare.

    ``scores``: `schemas.STORED_ARTICLE_SENTIMENT` of the ensemble; ``article_versions``: `schemas.STORED_NEWS`, all
    versions of their articles. A score known before its version was is a difference. One by models other
    than ``analyzer`` has, version for version, is not compared but noted. One by the same models on another kind of
    processor is compared within ``BOUND`` or, counted apart, ``EDGE``.
    """
    report = AuditReport()
    version = ["article_id", "content_hash"]
    first = article_versions.sort("known_at").unique(version, keep="first", maintain_order=True)
    dated = scores.join(first.select(*version, since="known_at"), on=version, how="left", maintain_order="left")
    for row in dated.filter(pl.col("since").is_null() | (pl.col("since") > pl.col("known_at"))).iter_rows(named=True):
        since = UNKNOWN if row["since"] is None else row["since"].isoformat()
        of = (row["symbol"], row["article_id"], row["known_at"].isoformat())
        against = "is when its version became known, which cannot come later"
        report.differences.append(
            Difference("article_sentiment", "known_at", *of, row["known_at"].isoformat(), against, since)
        )
    # A version that dropped a symbol has no score to recompute.
    scores = scores.filter(~pl.col("flags").list.contains("dropped"))
    models = pl.col("model_version").str.replace_all(ARITHMETIC, "")
    ours = scores.filter(models == re.sub(ARITHMETIC, "", analyzer.model_version))
    if others := scores.height - ours.height:
        _note(report, "article_sentiment: scored by models that are not installed here", others)
    again = analyzer.score_articles(first.join(ours, on=version, how="semi"))
    made = {(row["symbol"], *(row[name] for name in version)): row for row in again.iter_rows(named=True)
            if row["model"] == analyzer.model}  # fmt: skip
    for row in ours.iter_rows(named=True):
        stored = {name: row[name] for name in ARTICLE_SENTIMENT if name != "fingerprint" or row[name] is not None}
        then = made.get((row["symbol"], row["article_id"], row["content_hash"]))
        key = (row["symbol"], row["article_id"], row["known_at"])
        against = STORED
        if then and row["model_version"] != then["model_version"]:
            against, then = _near(then, stored)
        _compare(report, "article_sentiment", against, key, [then] if then else [], [stored])
    return report


def _near(then: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """How a score of another kind of processor is compared, and ``then`` with its numbers where they are near."""
    numbers = (*_SHARES, "score", "confidence")
    off = max(abs(then[name] - stored[name]) for name in numbers)
    version = {"model_version": stored["model_version"]}
    if off > EDGE or _label(then) != _label(stored):
        return ELSEWHERE, {**then, **version}
    return ELSEWHERE if off <= BOUND else ROUNDED, {**then, **version, **{name: stored[name] for name in numbers}}


def _label(score: Mapping[str, Any]) -> str:
    return max(_SHARES, key=lambda name: score[name])


def _filled(report: AuditReport, table: str, kept: pl.DataFrame, recomputed: pl.DataFrame) -> pl.DataFrame:
    """``kept`` without the columns that were added to the table after all of its rows, which are noted."""
    added = [
        name
        for name in kept.columns
        if name in recomputed.columns and kept.height and kept[name].null_count() == kept.height
        if recomputed[name].null_count() == 0 and recomputed.height
    ]
    for name in added:
        _note(report, f"{table}.{name}: not filled in any stored row", kept.height)
    return kept.drop(added)


def _rows(frame: pl.DataFrame, decisions: pl.DataFrame) -> dict[Key, list[dict[str, Any]]]:
    """The rows of each decision that has any, in their order."""
    found: dict[Key, list[dict[str, Any]]] = {}
    chosen = frame.join(decisions.select(DECISION_KEY), on=DECISION_KEY, how="semi", maintain_order="left")
    for row in chosen.iter_rows(named=True):
        found.setdefault(tuple(row[name] for name in DECISION_KEY), []).append(row)
    return found


def _compare_stored(
    report: AuditReport, table: str, key: Key, then: Sequence[Mapping[str, Any]], kept: Sequence[Mapping[str, Any]]
) -> None:
    """``then`` against the stored rows of the same decision: those of its own engine and version."""
    if not kept:
        if then:
            _note(report, f"{table}: not stored")
        return
    if not then:
        _compare(report, table, STORED, key, [], kept[-1:])
        return
    same = [row for row in kept if _same_maker(row, then[0])]
    if same:
        _compare(report, table, STORED, key, then, same[-1:])
    else:
        _note(report, f"{table}: stored by another version")


def _same_maker(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    # A sentiment without articles has no version, and may be held against any.
    versions = {each.get("model_version") for each in (row, other)} - {None}
    return len(versions) < 2 and all(row.get(name) == other.get(name) for name in ("engine", "model", "version"))


def _note(report: AuditReport, what: str, count: int = 1) -> None:
    report.notes[what] = report.notes.get(what, 0) + count


def _compare(
    report: AuditReport,
    table: str,
    against: str,
    key: Key,
    then: Sequence[Mapping[str, Any]],
    other: Sequence[Mapping[str, Any]],
) -> None:
    """Note the first column in which two rows of one decision differ; both may be absent."""
    if not then and not other:
        return
    counted = f"{table}, {against}"
    report.rows[counted] = report.rows.get(counted, 0) + 1
    symbol, horizon, as_of = key
    found: tuple[str, str, str] | None = None
    if not then or not other:
        found = (ROW, UNKNOWN if not then else "present", UNKNOWN if not other else "present")
    else:
        report.values += len(then[0])
        shared = (name for name in then[0] if name in other[0])
        differing = (name for name in shared if _bits(then[0][name]) != _bits(other[0][name]))
        if (column := next(differing, None)) is not None:
            found = (column, _bits(then[0][column]), _bits(other[0][column]))
    if found is not None:
        column, mine, theirs = found
        report.differences.append(Difference(table, column, symbol, horizon, as_of.isoformat(), mine, against, theirs))


def _bits(value: Any) -> str:
    """A value as text: every bit of a float, and JSON without its layout."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
        except ValueError:
            return value
    return value if isinstance(value, str) else repr(value)
