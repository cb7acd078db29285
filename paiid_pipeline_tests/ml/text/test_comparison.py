"""A blend is promoted for being surer where it is right, never for noise, and never where a member alone is better."""

from __future__ import annotations

import numpy as np
import pytest

from paiid_pipeline.ml.classification_metrics import scale_temperature
from paiid_pipeline.ml.text.comparison import compare_blend
from paiid_pipeline.ml.verdict import GateResult

RNG = np.random.default_rng(3)
ROWS = 600
LABELS = RNG.integers(0, 3, ROWS)
MIX = RNG.dirichlet(np.ones(3), ROWS) * 0.5 + 0.5 * np.eye(3)[LABELS]
NAIVE = np.tile([0.4, 0.3, 0.3], (ROWS, 1))
GROUPS = np.arange(ROWS) // 2


def verdict(challenger: np.ndarray, other: np.ndarray, member: np.ndarray = NAIVE) -> GateResult:
    return compare_blend(
        LABELS, challenger, blends={"other": other}, members={"member": member}, baselines={"naive": NAIVE},
        groups=GROUPS,
    )  # fmt: skip


def test_as_many_rows_right_and_likelier_labels_are_better_and_the_reverse_is_not() -> None:
    timid = scale_temperature(MIX, 4.0)
    found = verdict(MIX, timid)
    assert found.promote
    assert [reason.split(":")[0] for reason in found.reasons] == [
        "better than naive", "not worse than member", "better than other",
    ]  # fmt: skip
    assert "p = 1, log-likelihood +" in found.reasons[2]
    turned = verdict(timid, MIX)
    assert not turned.promote
    assert "not better than other" in turned.reasons[2]


def test_the_same_blend_again_is_no_better() -> None:
    assert not verdict(MIX, MIX).promote


def test_a_blend_that_a_member_alone_beats_is_not_promoted() -> None:
    blurred = MIX.copy()
    blurred[:80] = np.eye(3)[(LABELS[:80] + 1) % 3] * 0.4 + 0.2
    found = verdict(blurred, scale_temperature(blurred, 9.0), MIX)
    assert not found.promote
    assert found.reasons[1].startswith("worse than member: ")


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows_decide_nothing(rows: int) -> None:
    found = compare_blend(
        LABELS[:rows], MIX[:rows], blends={"other": NAIVE[:rows]}, members={}, baselines={"naive": NAIVE[:rows]},
        groups=GROUPS[:rows],
    )  # fmt: skip
    assert not found.promote
