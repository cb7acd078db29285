"""The lock is of the project's own requirements, and neither takes a version with known holes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parents[1]
DOCUMENT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
REQUIRED = [
    Requirement(line)
    for lines in (
        DOCUMENT["project"]["dependencies"],
        *DOCUMENT["project"]["optional-dependencies"].values(),
        *DOCUMENT["dependency-groups"].values(),
    )
    for line in lines
]
LOCKED = {
    canonicalize_name(name): Version(version)
    for name, _, version in (
        line.partition("==") for line in (PROJECT / "requirements.lock").read_text().splitlines() if "==" in line
    )
}
HOLES = {"starlette": "1.3.0", "cryptography": "49.0.0"}
"""The newest versions that are known to have one."""


@pytest.mark.parametrize("requirement", REQUIRED, ids=str)
def test_the_lock_has_what_the_project_asks_for(requirement: Requirement) -> None:
    assert LOCKED[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("name", HOLES)
def test_a_version_with_a_known_hole_is_not_taken(name: str) -> None:
    [required] = [each for each in REQUIRED if each.name == name]
    assert HOLES[name] not in required.specifier
    assert LOCKED[canonicalize_name(name)] > Version(HOLES[name])
