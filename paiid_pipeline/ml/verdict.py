"""The result of a promotion gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GateResult:
    """Whether to promote, with a human-readable reason for each test."""

    promote: bool
    reasons: tuple[str, ...]
