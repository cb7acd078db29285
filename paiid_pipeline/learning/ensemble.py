"""The ensemble's weights and calibration, fitted to the installed members, compared with the seed's, registered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from paiid_pipeline.learning.data import HELD_OUT, split_held_out
from paiid_pipeline.learning.measuring import ALL, evaluate_sets, labels, metrics, mixed, opinions, shares
from paiid_pipeline.learning.training import Registered
from paiid_pipeline.learning.workshop import Workshop
from paiid_pipeline.models.datasets import Dataset
from paiid_pipeline.models.evaluation import mcnemar
from paiid_pipeline.models.plots import plots
from paiid_pipeline.models.signing import UntrustedModelError
from paiid_pipeline.scoring import TRANSFORMERS, installed_member, save_blend
from paiid_pipeline.sentiment.ensemble import MODEL, SEED
from paiid_pipeline.sentiment.fitting import fit_blend
from paiid_pipeline.sentiment.members import Member, MemberError
from paiid_pipeline.sentiment.vader import Vader

SEEDS: Final = "ensemble, seed's weights"


def installed_members(workshop: Workshop) -> tuple[list[Member], Mapping[str, str]]:
    """VADER and the installed transformers, and why each other one is not among them."""
    found: list[Member] = [Vader()]
    absent: dict[str, str] = {}
    for name in TRANSFORMERS:
        try:
            found.append(installed_member(name, workshop.models, workshop.key.public))
        except (LookupError, UntrustedModelError, ValueError, OSError, MemberError) as error:
            absent[name] = str(error)
    return found, absent


def fit_ensemble(data: Dataset, workshop: Workshop, say: Callable[[str], None]) -> Registered:
    """Fit the blend of the installed members on the validation rows, measure it on the test rows, and register it.

    Raises LookupError, saying what is missing, where no member but VADER is installed.
    """
    members, absent = installed_members(workshop)
    if len(members) == 1:
        raise LookupError("there is nothing to blend with VADER: " + "; ".join(absent.values()))
    parts = split_held_out(data.rows)
    say(f"blending {', '.join(member.name for member in members)}")
    blend = fit_blend(labels(parts.validation).tolist(), opinions(members, parts.validation))
    said = opinions(members, parts.test)
    found = {
        MODEL: mixed(blend, said),
        SEEDS: mixed(SEED, said),
        **{name: shares(each) for name, each in said.items()},
    }
    measured = {name: evaluate_sets(parts.test, each) for name, each in found.items()}
    versions = {member.name: member.version for member in members}
    facts = {
        **{f"weight of {name}": weight for name, weight in blend.weights.items()},
        "temperature": blend.temperature,
        "floor": blend.floor,
        "p against seed": mcnemar(labels(parts.test), found[MODEL], found[SEEDS]),
    }
    images = plots(measured[MODEL][ALL], {name: each[ALL] for name, each in measured.items()})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / MODEL
        save_blend(blend, folder)
        version = workshop.registry.register(
            MODEL,
            folder,
            workshop.key,
            data_sha256=data.sha256,
            metrics={**metrics(measured[MODEL]), **facts},
            parameters={"blend": blend.version, **versions, "held_out_fold": HELD_OUT},
            documents={"evaluation": {name: each[ALL].as_dict() for name, each in measured.items()}},
            plots=images,
        )
    say(f"registered as {MODEL} version {version.version}")
    return Registered(version, measured, images, {**facts, **{f"without {n}": why for n, why in absent.items()}})
