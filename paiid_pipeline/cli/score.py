"""`paiid score` and `paiid models evaluate`: the sentiment of one text, and metrics on a labelled CSV."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from paiid_pipeline.console import print_err, print_out, table
from paiid_pipeline.ml.classification_metrics import Evaluation
from paiid_pipeline.ml.text.datasets import read_labelled
from paiid_pipeline.ml.text.evaluation import evaluate_rows
from paiid_pipeline.sentiment.analyzer import MemberResult, SentimentResult
from paiid_pipeline.settings import Settings
from paiid_pipeline.symbols import canonical_symbol
from paiid_pipeline.wiring import Components


def score(settings: Settings, text: str | None, symbol: str | None, *, budget_ms: float | None, as_json: bool) -> int:
    """Print the scores of a text, by default standard input, by each installed model and the ensemble.

    Returns the exit code: 2 for what is no symbol.
    """
    settings.universe  # noqa: B018 - its errors are raised before standard input is read
    text = sys.stdin.read() if text is None else text
    try:
        symbol = canonical_symbol(symbol) if symbol is not None else None
    except ValueError as error:
        print_err(f"paiid score: {error}")
        return 2
    analyzer = Components(settings).analyzer(budget_ms=budget_ms)
    result = analyzer.analyze_sentiment(text, symbol)
    if as_json:
        document = {
            **asdict(result),
            "label": result.label,
            "symbol": symbol,
            "left_out": dict(analyzer.route.unavailable),
        }
        print_out(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    header = ["model", "label", "score", "negative", "neutral", "positive", "confidence", "version"]
    right = [False, False, *[True] * 5, False]
    for line in table(header, [_row(each) for each in (*result.members, result)], right):
        print_out(line)
    for line in _flag_lines(result):
        print_out(line)
    for name, reason in analyzer.route.unavailable.items():
        print_err(f"without {name}: {reason}")
    return 0


def evaluate(settings: Settings, path: Path, *, as_json: bool) -> int:
    """Print the metrics of each installed model and the ensemble on a labelled CSV; 0, or 2 for an invalid file.

    Columns: ``text``, ``label`` and, where labels are about an entity, ``entity``.
    """
    try:
        rows = read_labelled(path)  # before the models are opened, which takes longer
    except (ValueError, OSError) as error:
        print_err(f"paiid models evaluate: {error}")
        return 2
    analyzer = Components(settings).analyzer()
    found = evaluate_rows(analyzer, rows)
    if as_json:
        document = {name: each.as_dict() for name, each in found.items()}
        print_out(json.dumps({"models": document, "left_out": dict(analyzer.route.unavailable)}, indent=2))
        return 0
    header = ["model", "rows", "accuracy", "macro-F1", "ECE", "by chance"]
    for line in table(header, [_measured(name, each) for name, each in found.items()], [False, *[True] * 5]):
        print_out(line)
    for name, reason in analyzer.route.unavailable.items():
        print_err(f"without {name}: {reason}")
    return 0


def _row(result: MemberResult) -> list[str]:
    shares = (result.p_negative, result.p_neutral, result.p_positive, result.confidence)
    numbers = [f"{result.score:+.4f}", *(f"{share:.4f}" for share in shares)]
    return [result.model, result.label, *numbers, result.model_version]


def _flag_lines(result: SentimentResult) -> list[str]:
    flags = [f"flags: {', '.join(result.flags)}"] if result.flags else []
    return [*flags, *([f"tampered with: {result.tamper:.2f}"] if result.tamper else [])]


def _measured(name: str, found: Evaluation) -> list[str]:
    measures = map(str, (found.accuracy, found.macro_f1, found.ece))
    return [name, str(found.rows), *measures, f"{found.ece_by_chance:.4f}"]
