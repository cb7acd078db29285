"""Whoever runs the tests without real data is told how many wait for it, and what to set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from paiid_pipeline_tests.conftest import DATA, pytest_terminal_summary

WAITING = SimpleNamespace(longrepr=("t.py", 1, f"Skipped: needs real data: {DATA}=None is not a folder"))
OTHER = SimpleNamespace(longrepr=("t.py", 2, "Skipped: needs another system"))


@pytest.mark.parametrize(
    ("skipped", "said"),
    [
        ([], []),
        ([OTHER], []),
        ([WAITING, OTHER], ["1 skipped for lack of real data: set PAIID_DATA_DIR to its folder to run them"]),
        ([WAITING] * 79, ["79 skipped for lack of real data: set PAIID_DATA_DIR to its folder to run them"]),
    ],
)
def test_what_waits_for_real_data_is_counted_in_one_line(skipped: list[SimpleNamespace], said: list[str]) -> None:
    lines: list[str] = []
    reporter = SimpleNamespace(stats={"skipped": skipped}, write_line=lambda line, **_: lines.append(line))
    pytest_terminal_summary(cast(Any, reporter))
    assert lines == said
