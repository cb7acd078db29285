"""The terminal output of `paiid`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def print_out(line: str = "") -> None:
    """One line of a result, on standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_err(line: str) -> None:
    """One line of progress or of an error, on standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def timed(*, quiet: bool = False) -> Iterator[list[str]]:
    """Print, once the body is done, what it put into the list and the seconds that it took; nothing if quiet."""
    begin, parts = time.monotonic(), list[str]()
    yield parts
    if not quiet:
        print_err(f"  {' '.join(parts)} ({time.monotonic() - begin:.1f} s)")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines of an aligned table; ``right``: which columns are aligned to the right."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        return " | ".join(cells).rstrip()

    return [line(header), "-+-".join("-" * width for width in widths), *map(line, rows)]
