"""`paiid audit-lookahead`: the look-ahead audit of the user's own warehouse, universe and rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from paiid_pipeline.cli.access import stored
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import print_err, print_out, timed
from paiid_pipeline.lookahead.audit import RECOMPUTED, AuditReport
from paiid_pipeline.operations.lookahead_audit import audited, chosen_symbols
from paiid_pipeline.settings import Settings
from paiid_pipeline.wiring import Components

_SHOWN = 10


def audit(settings: Settings, **options: Any) -> int:
    """:func:`audit_lookahead` of the stored data, under the settings that it was made with."""
    with stored(settings) as found:
        return audit_lookahead(found, **options)


def audit_lookahead(settings: Settings, symbols: Sequence[str], sample: int, seed: int, *, as_json: bool) -> int:
    """Audit decisions of the warehouse and print the result. Returns the exit code.

    0: no difference; 1: at least one, or nothing decided to look at; 2: an unknown symbol.
    """
    chosen = chosen_symbols(settings, symbols, seed)
    if isinstance(chosen, str):
        print_err(f"paiid: {chosen}")
        return 2
    opened = Components(settings)
    with opened.warehouse as warehouse, timed(quiet=as_json) as parts:
        report = audited(warehouse, settings, SystemClock().now(), chosen, sample, seed, opened.analyzer())
        parts.append(f"audited {report.decisions} decisions")
    if as_json:
        print_out(json.dumps(_document(report, chosen, seed), indent=2, ensure_ascii=False))
    else:
        _print(report, chosen, settings, seed)
    return 0 if report.decisions and not report.differences else 1


def _document(report: AuditReport, symbols: Sequence[str], seed: int) -> dict[str, object]:
    return {
        "passed": bool(report.decisions) and not report.differences,
        "decisions": report.decisions,
        "symbols": list(symbols),
        "seed": seed,
        "rows_compared": report.rows,
        "values_compared": report.values,
        "not_compared": report.notes,
        "first_difference": asdict(report.first) if report.first else None,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _print(report: AuditReport, symbols: Sequence[str], settings: Settings, seed: int) -> None:
    total = len(settings.universe.symbols)
    if not report.decisions:
        print_out("nothing has been decided yet: run `paiid demo` or `paiid up` first")
        return
    print_out(
        f"{report.decisions} decisions on {len(symbols)} of {total} symbols (seed {seed}), "
        f"each made again from what was known by then: {report.values:,} values compared"
    )
    for name, count in report.rows.items():
        print_out(f"  {count:6} rows of {name}")
    for name, count in report.notes.items():
        print_out(f"  {count:6} not compared: {name}")
    if report.first is None:
        print_out("no difference: nothing has looked ahead")
        return
    print_out(f"{len(report.differences)} DIFFERENCES; the first:")
    print_out(f"  {report.first}")
    if all(difference.against != RECOMPUTED for difference in report.differences):
        print_out(
            "  (only stored rows differ: they were made by other code, or what they rest on was changed in place)"
        )
    for difference in [other for other in report.differences if other is not report.first][:_SHOWN]:
        print_out(f"  {difference}")
    if len(report.differences) > _SHOWN + 1:
        print_out(f"  … and {len(report.differences) - _SHOWN - 1} more (--json has them all)")
