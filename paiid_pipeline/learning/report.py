"""The evaluation report: the protocol's tables, measured fold by fold and written for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paiid_pipeline.learning.data import Texts
from paiid_pipeline.learning.training import Choice
from paiid_pipeline.models.protocol import Report, measure
from paiid_pipeline.models.training import Progress


def measured(
    texts: Texts, choice: Choice, home: Path, folds: Sequence[int], progress: Callable[[int, Progress], None]
) -> Report:
    """`protocol.measure`, kept in a folder of ``home`` for these texts and choice: killed, it goes on from there."""
    recipe = choice.recipe()
    named = json.dumps([texts.labelled.sha256, texts.articles_sha256, asdict(recipe)], sort_keys=True)
    folder = home / hashlib.sha256(named.encode()).hexdigest()[:12]
    return measure(texts.labelled, recipe, folder, folds, progress, texts.articles)


def markdown(report: Report) -> str:
    """The report as Markdown: a table of all sets with 95 % intervals, and each fold's figures."""
    sets = {name: found for name, found in report.items() if "all" in found}
    about = report.get("data", {})
    return "\n".join(
        [
            "# How well the custom BERT reads texts it has not seen",
            "",
            f"{about.get('rows', '?')} labelled texts, sha256 `{about.get('sha256', '?')}`. Near-duplicates are "
            "grouped, and a group is in one fold; brackets hold 95 % intervals, groups resampled together. The last "
            "column is the ECE that a perfect calibration would show on so many rows.",
            "",
            "| set | rows | accuracy | macro-F1 | ECE | by chance |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_row(name, found["all"]) for name, found in sets.items()),
            "",
            *(line for name, found in sets.items() for line in _compared(name, found)),
            "",
            "## Every fold",
            "",
            "| set | seed | fold | rows | accuracy | macro-F1 |",
            "| --- | --- | --- | --- | --- | --- |",
            *(line for name, found in sets.items() for line in _folds(name, found)),
        ]
    )


def _row(name: str, found: Mapping[str, Any]) -> str:
    measures = " | ".join(_interval(found[each]) for each in ("accuracy", "macro_f1", "ece"))
    return f"| {name} | {found['rows']} | {measures} | {found['ece_by_chance']:.3f} |"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _compared(name: str, found: Mapping[str, Any]) -> list[str]:
    """Each paired test of a set: how likely so large a difference is by chance."""
    return [f"{name}, {test}: {value:.2g} (McNemar)" for test, value in found.items() if test.startswith("p against ")]


def _folds(name: str, found: Mapping[str, Any]) -> list[str]:
    return [
        f"| {name} | {found['seed'] + int(fold)} | {fold} | {each['rows']} | {each['accuracy']:.3f} | "
        f"{each['macro_f1']:.3f} |"
        for fold, each in found["folds"].items()
    ]
