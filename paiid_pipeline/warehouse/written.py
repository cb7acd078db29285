"""What a write did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Written:
    """How many rows of a batch were new, said something else than what was stored, or said nothing new."""

    inserted: int
    restated: int
    unchanged: int

    def __add__(self, other: Written) -> Written:
        return Written(self.inserted + other.inserted, self.restated + other.restated, self.unchanged + other.unchanged)
