"""A TOML document read strictly: unknown, missing and out-of-bounds keys are errors with a remedy."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from paiid_pipeline.did_you_mean import did_you_mean


class Section:
    """One table of a document. Every refusal is a ValueError naming the file, the key, the value and the remedy."""

    def __init__(self, file: Path, name: str, content: Mapping[str, Any], known: Collection[str]) -> None:
        """``known``: the keys that may occur; ``name``: the table's own, empty for the whole document."""
        self.file, self.name, self._content = file, name, content
        for key in content:
            if key not in known:
                raise self.refusal(key, f"unknown key: {did_you_mean(key, known)}")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def refusal(self, key: str, remedy: str) -> ValueError:
        """The error to raise for a key of this table."""
        where = f"[{self.name}] {key}" if self.name else key
        value = f" = {self._content[key]!r}" if key in self._content else " is missing"
        return ValueError(f"{self.file}: {where}{value}: {remedy}")

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number in [low, high]."""
        value = self._content.get(key)
        if not _is_number(value) or not low <= value <= high:  # type: ignore[operator]
            raise self.refusal(key, f"give a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    def text(self, key: str) -> str:
        """A text that is not blank."""
        value = self._content.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.refusal(key, "give a text in quotes")
        return value

    def choice(self, key: str, known: Collection[str]) -> str:
        """One of the words ``known``."""
        value = self.text(key)
        if value not in known:
            raise self.refusal(key, f"unknown word: {did_you_mean(value, known)}")
        return value

    def section(self, key: str, known: Collection[str]) -> Section:
        """A table of this table; an absent one reads as empty."""
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            raise self.refusal(key, f"write it as a table: [{self._inner(key)}]")
        return Section(self.file, self._inner(key), value, known)

    def sections(self, key: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The tables of this table whose names are the user's own: (name, content); at least one."""
        value = self._content.get(key)
        if not isinstance(value, dict) or not value:
            raise self.refusal(key, f"write at least one table, such as [{self._inner(key)}.first]")
        for name, content in value.items():
            if not isinstance(content, dict):
                raise ValueError(f"{self.file}: {key}.{name} = {content!r}: write it as a table: [{key}.{name}]")
        return list(value.items())

    def numbers(self, key: str, known: Collection[str], low: float, high: float) -> dict[str, float]:
        """Numbers in [low, high] by words of ``known``; empty where the key is absent."""
        inner = self.section(key, known)
        return {word: inner.number(word, low, high) for word in known if word in inner}

    def pairs(self, key: str) -> list[Sequence[Any]]:
        """A list of at least one [number, anything], the numbers ascending; inf is a number here."""
        value = self._content.get(key)
        pairs = value if isinstance(value, list) else []
        sound = pairs and all(
            isinstance(p, list) and len(p) == 2 and isinstance(p[0], int | float) and not isinstance(p[0], bool)
            for p in pairs
        )
        if not sound or not all(a[0] < b[0] for a, b in pairwise(pairs)):
            raise self.refusal(key, "give a list of pairs with ascending numbers, such as [[20, 1.0], [80, -1.0]]")
        return pairs

    def _inner(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def read_document(file: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises ValueError naming the file and the remedy."""
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise ValueError(f"rules file {file} does not exist: set PAIID_RULES to one that does, or unset it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"rules file {file} cannot be read as TOML: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
