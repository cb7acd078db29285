"""Paired comparison of a challenger with the champion and baselines, for the promotion gate."""

from __future__ import annotations

from collections.abc import Mapping

from paiid_pipeline.ml.classification_metrics import Floats, Groups, Labels, is_better, likelihood_gain, mcnemar
from paiid_pipeline.ml.verdict import GateResult


def compare(labels: Labels, challenger: Floats, rivals: Mapping[str, Floats]) -> GateResult:
    """Compare the challenger with each rival (the champion and the baselines) on the same held-out rows.

    ``labels`` (n,), probabilities (n, 3), of rows that none was trained on. Promotion needs a higher accuracy than
    every rival with p < 0.05 each (McNemar). Raises ValueError where there is no rival.
    """
    if not rivals:
        raise ValueError("nothing to compare the model with: give the champion's or a baseline's probabilities")
    passed = {name: is_better(labels, challenger, other) for name, other in rivals.items()}
    return GateResult(
        all(passed.values()), tuple(_reason(labels, challenger, n, o, passed[n]) for n, o in rivals.items())
    )


def compare_blend(
    labels: Labels,
    challenger: Floats,
    *,
    blends: Mapping[str, Floats],
    members: Mapping[str, Floats],
    baselines: Mapping[str, Floats],
    groups: Groups,
) -> GateResult:
    """Compare an ensemble with other ``blends`` of its ``members``, with each member, and with ``baselines``.

    It must beat the baselines as in :func:`compare` and be significantly less accurate than no member. Blends seldom
    differ in the predicted class, but in confidence: another blend is beaten by significantly higher accuracy, or by
    no significant loss of it and a 95 % interval of the mean gain in log-likelihood above 0 (``groups`` (n,)
    resampled together).
    """
    naive = compare(labels, challenger, baselines)
    passed, reasons = [naive.promote], [*naive.reasons]
    for name, other in members.items():
        passed.append(not is_better(labels, other, challenger))
        verdict = "not worse than" if passed[-1] else "worse than"
        reasons.append(f"{verdict} {name}{_figures(labels, challenger, other)}")
    for name, other in blends.items():
        gain = likelihood_gain(labels, challenger, other, groups)
        likelier = gain.low > 0 and not is_better(labels, other, challenger)
        passed.append(likelier or is_better(labels, challenger, other))
        likelihood = f"log-likelihood {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        reasons.append(f"{_reason(labels, challenger, name, other, passed[-1])}, {likelihood}")
    return GateResult(all(passed), tuple(reasons))


def _reason(labels: Labels, challenger: Floats, name: str, other: Floats, better: bool) -> str:
    return f"{'better than' if better else 'not better than'} {name}{_figures(labels, challenger, other)}"


def _figures(labels: Labels, challenger: Floats, other: Floats) -> str:
    ours, theirs = (float((each.argmax(1) == labels).mean()) for each in (challenger, other))
    return f": {ours:.4f} to {theirs:.4f}, p = {mcnemar(labels, challenger, other):.2g}"
