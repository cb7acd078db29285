"""The examples in the docstrings give what they show."""

import doctest
from types import ModuleType

import pytest

from paiid_pipeline.backtest import return_statistics, walk_forward
from paiid_pipeline.signals import risk_limits


@pytest.mark.parametrize("module", [return_statistics, walk_forward, risk_limits])
def test_examples(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
