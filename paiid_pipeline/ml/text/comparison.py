"""Whether a new model may become the champion: it must be better than what is there, beyond noise."""

from __future__ import annotations

from collections.abc import Mapping

from paiid_pipeline.ml.classification_metrics import Floats, Groups, Labels, is_better, likelihood_gain, mcnemar
from paiid_pipeline.ml.verdict import GateResult


def compare(labels: Labels, challenger: Floats, rivals: Mapping[str, Floats]) -> GateResult:
    """Compare the challenger with each rival (the champion and the baselines) on the same held-out rows.

    ``labels`` (n,), probabilities (n, 3), rows that none of them was trained on. Promotion needs more rows right
    than every rival has, with p < 0.05 each (McNemar). Raises ValueError where there is no rival: a model
    that was compared with nothing is not better than anything.
    """
    if not rivals:
        raise ValueError("nothing to compare the model with: give the champion's or a baseline's probabilities")
    passed = {name: is_better(labels, challenger, other) for name, other in rivals.items()}
    return GateResult(
        all(passed.values()), tuple(_reason(labels, challenger, n, o, passed[n]) for n, o in rivals.items())
    )


def judge_blend(
    labels: Labels,
    challenger: Floats,
    *,
    blends: Mapping[str, Floats],
    members: Mapping[str, Floats],
    baselines: Mapping[str, Floats],
    groups: Groups,
) -> GateResult:
    """Compare a blend with other blends of the same ``members``, with each of them, and with ``baselines``.

    It must beat the baselines as in :func:`compare`, and must not have fewer rows right, beyond noise, than any
    member alone. Blends seldom differ in the likeliest label, but in how sure they are. So of another blend it
    must have more rows right beyond noise; or as many within noise, and make the labels more likely beyond
    noise: the 95 % interval of the mean gain in log-likelihood, ``groups`` (n,) resampled together, is above 0.
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
        said = f"log-likelihood {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        reasons.append(f"{_reason(labels, challenger, name, other, passed[-1])}, {said}")
    return GateResult(all(passed), tuple(reasons))


def _reason(labels: Labels, challenger: Floats, name: str, other: Floats, better: bool) -> str:
    return f"{'better than' if better else 'not better than'} {name}{_figures(labels, challenger, other)}"


def _figures(labels: Labels, challenger: Floats, other: Floats) -> str:
    ours, theirs = (float((each.argmax(1) == labels).mean()) for each in (challenger, other))
    return f": {ours:.4f} to {theirs:.4f}, p = {mcnemar(labels, challenger, other):.2g}"
