"""The universe in use is that of the start, and an edit since then is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paiid_pipeline import universe_snapshot

SMALL = '[segments]\ntech = ["AAPL"]\n'


def edited(path: Path) -> None:
    path.write_text(SMALL + 'banks = ["JPM"]\n')


def replaced(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(SMALL.replace("tech", "technology"))
    fresh.replace(path)


def touched(path: Path) -> None:
    path.write_text(SMALL)


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (edited, "has changed: restart `paiid up` to apply it"),
        (replaced, "has changed: restart `paiid up` to apply it"),
        (Path.unlink, "cannot be read (No such file or directory)"),
        (touched, ""),
    ],
)
def test_the_copy_stays_and_an_edit_is_said(tmp_path: Path, meddle: Callable[[Path], None], said: str) -> None:
    original, folder = tmp_path / "universe.toml", tmp_path / "run" / "universe"
    original.write_text(SMALL)
    copy = universe_snapshot.freeze(original, folder)
    environ = {universe_snapshot.ORIGINAL: str(original), "PAIID_UNIVERSE": str(copy)}
    assert universe_snapshot.changed(environ) == ""
    meddle(original)
    assert copy.read_text() == SMALL
    found = universe_snapshot.changed(environ)
    assert said in found
    assert bool(found) == bool(said)
    assert not said or str(original) in found


def test_a_copy_is_not_copied_and_what_is_missing_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    original = tmp_path / "universe.toml"
    assert universe_snapshot.freeze(original, tmp_path / "run") == original
    original.write_text(SMALL)
    copy = universe_snapshot.freeze(original, tmp_path / "run")
    assert universe_snapshot.freeze(copy, tmp_path / "run") == copy


def test_without_a_copy_nothing_is_compared() -> None:
    assert universe_snapshot.changed({}) == ""
