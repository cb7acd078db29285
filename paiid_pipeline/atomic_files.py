"""Files that are written whole: a reader, or a process that is killed meanwhile, leaves or sees the old or the new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside ``path`` that the body writes, and that then takes its place; without it where the body raises.

    Atomic against readers, other writers and kills, not against a loss of power: nothing is flushed to the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace the content of a file; ``private``: only its owner may read it."""
    with replacing(path) as draft:
        draft.touch(mode=0o600 if private else 0o666, exist_ok=False)
        draft.write_text(text)
