"""Each contract between the rooms refuses what it is for: a forbidden import planted for each is found by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).parents[1]

PLANTED: Mapping[str, tuple[str, str]] = {
    "No room imports one above it": ("settings.py", "import paiid_pipeline.decisions"),
    "What decides never imports what looks ahead": ("signals/planted.py", "import paiid_pipeline.backtest.simulation"),
    "The domain is pure: no Dagster, SQL, Redis, HTTP, clock, settings": ("technicals/planted.py", "import time"),
    "Only ml speaks MLflow, torch, transformers, xgboost, scikit-learn, SciPy": ("serving/planted.py", "import mlflow"),
    "Only the warehouse speaks SQL": ("operations/planted.py", "import psycopg2"),
    "Only the cache speaks Redis": ("warehouse/planted.py", "import redis"),
    "Only the API speaks FastAPI": ("serving/planted.py", "import fastapi"),
    "The API and Dagster's wiring do not know each other": ("api/planted.py", "import paiid_pipeline.defs.resources"),
    "Only the wiring speaks Dagster": ("cache/planted.py", "import dagster"),
    "Text models and signal models do not know each other": (
        "ml/text/planted.py",
        "import paiid_pipeline.ml.signals.gate",
    ),
    "The simulator and the vendors do not know each other": (
        "sources/simulator/planted.py",
        "import paiid_pipeline.sources.alpaca",
    ),
    "The registry knows no domain": ("ml/signing.py", "import paiid_pipeline.sentiment.labels"),
}
"""By contract: a module of the package, and the import that it must not have."""


def contracts() -> list[str]:
    configured = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [contract["name"] for contract in configured]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the package with every forbidden import planted."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copytree(PROJECT / "paiid_pipeline", copy / "paiid_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", copy)
    for place, line in PLANTED.values():
        module = copy / "paiid_pipeline" / place
        module.write_text((module.read_text() if module.exists() else "") + f"\n{line}\n")
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "400"}
    done = subprocess.run([program, "--no-cache"], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions count as well."""
    graph = grimp.build_graph("paiid_pipeline")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()


def test_every_contract_has_an_import_planted_against_it() -> None:
    assert sorted(contracts()) == sorted(PLANTED)


@pytest.mark.parametrize("contract", PLANTED)
def test_the_planted_import_is_refused_by_name(verdicts: str, contract: str) -> None:
    place, line = PLANTED[contract]
    module = "paiid_pipeline." + place.removesuffix(".py").replace("/", ".")
    _, found, told = verdicts.partition(f"{contract}\n{'-' * len(contract)}\n")
    assert found, f"{contract!r} was kept"
    assert f"{module} -> {line.removeprefix('import ')}" in told.partition("\n---")[0]
