"""Each command and the function that it runs: they take the same options."""

from __future__ import annotations

import inspect

import pytest

from paiid_pipeline.cli import function_of
from paiid_pipeline.cli.audit import audit_lookahead
from paiid_pipeline.cli.explain import explain
from paiid_pipeline.cli.parser import paiid_parser

COMMANDS = (
    "up", "demo", "backfill 2026-03-01", "with-services true", "sql", "url redis", "status", "score", "audit-lookahead",
    "explain AAPL", "models", "models evaluate x.csv", "models train", "models report", "models movement",
    "models import finbert x", "models list", "models promote finbert 1",
)  # fmt: skip
WRAPPED = {"audit": audit_lookahead, "explain_stored": explain}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_its_function_what_that_takes(command: str) -> None:
    options = vars(paiid_parser().parse_args(command.split()))
    function = function_of(options.pop("run"))
    inspect.signature(WRAPPED.get(function.__name__, function)).bind("settings", **options)


def test_several_values_are_given_in_a_row() -> None:
    options = paiid_parser().parse_args(["audit-lookahead", "--symbols", "AAPL", "TWX", "--seed", "3", "--json"])
    assert (options.symbols, options.seed, options.as_json) == (["AAPL", "TWX"], 3, True)
    assert paiid_parser().parse_args(["models", "report", "--folds", "0", "4"]).folds == [0, 4]
