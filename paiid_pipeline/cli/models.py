"""`paiid models`: train, import, list, promote and cross-validate text models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from paiid_pipeline.console import print_err, print_out, table
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.ml.text.cross_validation import cross_validate_in, markdown
from paiid_pipeline.ml.text.custom_bert import Choice, Registered, calibration_texts, train_custom_bert
from paiid_pipeline.ml.text.dataset_store import (
    Texts,
    labelled_rows,
    load_texts,
    make_texts,
    save_texts,
    split_held_out,
)
from paiid_pipeline.ml.text.ensemble import fit_ensemble
from paiid_pipeline.ml.text.evaluation import summary
from paiid_pipeline.ml.text.gate import force, promote
from paiid_pipeline.ml.text.hub import check_source
from paiid_pipeline.ml.text.import_model import import_model
from paiid_pipeline.ml.text.progress import ProgressReporter
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.settings import Settings
from paiid_pipeline.wiring import Components

REFUSED = (LookupError, ValueError, UntrustedModelError)
"""Errors of the input, exit code 2; everything else is a failure."""


def missing_command(_settings: Settings) -> int:
    """`paiid models` alone."""
    print_err("paiid models: say what to do, such as `paiid models train` (see paiid models --help)")
    return 2


def train(
    settings: Settings, data: Path | None, base: str | None, seed: int, epochs: int | None, *, only: str | None
) -> int:
    """Build the data set, train, fit the ensemble, and put each through its gate. Returns the exit code."""
    choice = Choice(base, seed, epochs)

    def run(store: ModelStore) -> None:
        texts = make_texts(data or settings.data_dir)
        save_texts(texts, store.texts)
        labelled = texts.labelled
        print_err(f"{labelled.rows.height} labelled texts: {_counts(labelled.sources)}; sha256 {labelled.sha256[:12]}")
        print_err(f"{texts.articles.height} articles without labels")
        test = _held_out(texts)
        if only != "ensemble":
            _show(train_custom_bert(texts, choice, store, print_err), store, test)
        if only != "custom_bert":
            _show(fit_ensemble(labelled, store, print_err), store, test)

    try:
        return _done("train", lambda: run(Components(settings).store))
    except KeyboardInterrupt:
        print_err("stopped: the same command goes on from the last checkpoint")
        raise


def import_(settings: Settings, name: str, source: str, labelled: Path | None) -> int:
    """Import a model from a folder or a hub. Returns the exit code; 2 where it is refused."""

    def run(store: ModelStore) -> None:
        check_source(source)  # before anything that takes time
        print_err(f"importing {source}; this takes a minute or two")
        rows = labelled_rows(labelled) if labelled else None
        try:
            texts = split_held_out(_texts(settings, store).labelled.rows)
            calibration = calibration_texts(texts.training)
            rows = texts.test if rows is None else rows
        except LookupError:
            calibration = []
            print_err(
                "without labelled texts to fix int8 scales with (PAIID_DATA_DIR): it is served in float32, and slower"
            )
        version, verdict = import_model(name, source, store, calibration=calibration, rows=rows)
        _print_verdict(version.name, version.version, verdict, store)
        if verdict.promote:
            print_err("blend it into the ensemble with `paiid models train --only ensemble`")

    return _done("import", lambda: run(Components(settings).store))


def list_(settings: Settings, name: str | None, *, as_json: bool) -> int:
    """Print the versions of one model or of all, newest first. Returns the exit code."""

    def run() -> None:
        registry = Components(settings).registry
        names = [name] if name else registry.names()
        found = [version for each in names for version in registry.versions(each)]
        if as_json:
            print_out(json.dumps([asdict(version) for version in found], indent=2, default=str))
        elif not found:
            print_err(f"no version of {name or 'any model'} is registered: train or import one")
        else:
            _list(found)

    return _done("list", run)


def promote_(
    settings: Settings, name: str, version: int, data: Path | None, labelled: Path | None, *, forced: bool
) -> int:
    """Promote a version through the gate, or without it. Returns the exit code; 1 where the gate refuses."""
    passed = forced

    def run(store: ModelStore) -> None:
        nonlocal passed
        if forced:
            verdict = force(name, version, store, "promoted by hand, without the gate")
        else:
            rows = labelled_rows(labelled) if labelled else _held_out(_texts(settings, store, data))
            verdict = promote(name, version, store, rows)
            passed = verdict.promote
        _print_verdict(name, version, verdict, store)

    return _done("promote", lambda: run(Components(settings).store)) or int(not passed)


def report(
    settings: Settings,
    data: Path | None,
    base: str | None,
    seed: int,
    epochs: int | None,
    folds: Sequence[int],
    out: Path | None,
) -> int:
    """Cross-validate, and print or write the report. Returns the exit code."""
    choice = Choice(base, seed, epochs)

    def run() -> None:
        texts = make_texts(data or settings.data_dir)
        reporter = ProgressReporter(print_err)

        def progress(fold: int, seen: Any) -> None:
            reporter(seen, f"fold {fold}, ")

        found = cross_validate_in(texts, choice, settings.home / "report", folds, progress)
        text = json.dumps(found, indent=1) if out and out.suffix == ".json" else markdown(found)
        if out is None:
            print_out(text)
        else:
            out.write_text(text + "\n")
            print_err(f"written to {out}")

    return _done("report", run)


def _done(command: str, run: Callable[[], None]) -> int:
    try:
        run()
    except REFUSED as error:
        print_err(f"paiid models {command}: {' '.join(str(error.args[0] if error.args else error).split())}")
        return 2
    return 0


def _texts(settings: Settings, store: ModelStore, data: Path | None = None) -> Texts:
    """The texts of a folder, or the stored ones."""
    folder = data or settings.data_dir
    return load_texts(store.texts) if folder is None else make_texts(folder)


def _held_out(texts: Texts) -> pl.DataFrame:
    return split_held_out(texts.labelled.rows).test


def _show(made: Registered, store: ModelStore, test: pl.DataFrame) -> None:
    rows = summary(made.measured)
    header = list(rows[0])
    lines = [[str(value) for value in row.values()] for row in rows]
    for line in table(header, lines, [False, False, True, True, True, True, True]):
        print_out(line)
    for name, fact in made.facts.items():
        print_out(f"{name}: {fact:.4g}" if isinstance(fact, float) else f"{name}: {fact}")
    version = made.version
    _print_verdict(version.name, version.version, promote(version.name, version.version, store, test), store)


def _print_verdict(name: str, version: int, verdict: GateResult, store: ModelStore) -> None:
    is_champion = f"is the champion, and is installed in {store.models / name}"
    print_out(f"{name} version {version} {is_champion if verdict.promote else 'is not promoted'}")
    for reason in verdict.reasons:
        print_out(f"  {reason}")


def _list(found: Sequence[Version]) -> None:
    header = ["model", "version", "champion", "made", "accuracy", "macro-F1", "ECE", "data", "digest"]
    rows = [
        [each.name, str(each.version), "yes" if "champion" in each.aliases else "", f"{each.created:%Y-%m-%d %H:%M}Z"]
        + [f"{each.metrics[name]:.4f}" if name in each.metrics else "–" for name in ("accuracy", "macro_f1", "ece")]
        + [each.data_sha256[:12] or "–", each.digest[:12]]
        for each in found
    ]
    for line in table(header, rows, [False, True, False, False, True, True, True, False, False]):
        print_out(line)
    for each in found:
        for reason in each.gate:
            print_out(f"{each.name} {each.version}: {reason}")


def _counts(sources: Mapping[str, int]) -> str:
    return ", ".join(f"{rows} {name}" for name, rows in sources.items())
