"""The universe file as it was when the servers of a home started: an edit must not give two processes two universes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from paiid_pipeline.atomic_files import replacing

ORIGINAL = "_PAIID_UNIVERSE_FROM"
"""Environment variable naming the file that the universe in use was copied from."""


def freeze(original: Path, folder: Path) -> Path:
    """A copy of a universe file in ``folder``, named by its content; the file itself where it is one, or is missing."""
    if original.parent == folder or not original.is_file():
        return original
    content = original.read_bytes()
    copy = folder / f"{hashlib.sha256(content).hexdigest()[:12]}-{original.name}"
    with replacing(copy) as draft:
        draft.write_bytes(content)
    return copy


def changed(environ: Mapping[str, str] | None = None) -> str:
    """A warning where the original differs from the copy in use; empty where it does not, or none is in use."""
    env = os.environ if environ is None else environ
    if ORIGINAL not in env:
        return ""
    original = Path(env[ORIGINAL])
    try:
        same = original.read_bytes() == Path(env["PAIID_UNIVERSE"]).read_bytes()
    except OSError as error:
        return f"the universe file {original} cannot be read ({error.strerror}): the one read at the start is in use"
    return "" if same else f"the universe file {original} has changed: restart `paiid up` to apply it"
