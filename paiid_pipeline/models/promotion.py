"""Whether a new model may become the champion: it must be better than what is there, beyond noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paiid_pipeline.models.evaluation import Floats, Labels, is_better, mcnemar


@dataclass(frozen=True)
class Verdict:
    """The gate's answer, and for each rival why; the reasons are for people."""

    promote: bool
    reasons: tuple[str, ...]


def judge(labels: Labels, challenger: Floats, rivals: Mapping[str, Floats]) -> Verdict:
    """Compare the challenger with each rival (the champion and the baselines) on the same held-out rows.

    ``labels`` (n,), probabilities (n, 3), rows that none of them was trained on. Promotion needs more rows right
    than every rival has, with p < 0.05 each (McNemar). Raises ValueError where there is no rival: a model
    that was compared with nothing is not better than anything.
    """
    if not rivals:
        raise ValueError("nothing to compare the model with: give the champion's or a baseline's probabilities")
    passed = {name: is_better(labels, challenger, other) for name, other in rivals.items()}
    return Verdict(all(passed.values()), tuple(_reason(labels, challenger, n, o, passed[n]) for n, o in rivals.items()))


def _reason(labels: Labels, challenger: Floats, name: str, other: Floats, better: bool) -> str:
    ours, theirs = (float((each.argmax(1) == labels).mean()) for each in (challenger, other))
    p = mcnemar(labels, challenger, other)
    return f"{'better than' if better else 'not better than'} {name}: {ours:.4f} to {theirs:.4f}, p = {p:.2g}"
