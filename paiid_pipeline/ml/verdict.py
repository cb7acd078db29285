"""What a promotion gate found, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GateResult:
    """The gate's answer, and for each rival why; the reasons are for people."""

    promote: bool
    reasons: tuple[str, ...]
