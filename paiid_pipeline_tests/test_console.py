"""What is printed on a terminal."""

from __future__ import annotations

from paiid_pipeline.console import table


def test_a_table_is_aligned() -> None:
    assert table(["a", "number"], [["x", "1"], ["long", "-22"]], [False, True]) == [
        "a    | number",
        "-----+-------",
        "x    |      1",
        "long |    -22",
    ]
