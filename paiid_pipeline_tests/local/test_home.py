"""Who owns a home, what others are told of it, and which Redis database is a profile's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paiid_pipeline.local.home import OccupiedError, lock, profile_of, redis_database, running, share
from paiid_pipeline.settings import load_settings


def test_a_home_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(web="http://127.0.0.1:3000")
        said = rf"`paiid up` \(pid {os.getpid()}.*UI at http://127.0.0.1:3000"
        with pytest.raises(OccupiedError, match=said), lock(tmp_path, "demo"):
            pass
    assert running(tmp_path) is None
    with lock(tmp_path, "demo"), share(tmp_path / "other") as state:
        assert state is None


def test_a_state_file_without_its_owner_counts_for_nothing(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(environment={"PAIID_POSTGRES_URL": "x"})
        stale = (tmp_path / "run" / "state.json").read_text()
        assert running(tmp_path) is not None
    (tmp_path / "run" / "state.json").write_text(stale)
    with share(tmp_path) as state:
        assert state is None


def test_the_state_file_is_private_and_its_passwords_stay_out_of_reprs(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(environment={"PAIID_POSTGRES_URL": "postgresql://a:very-secret@h/d"})
        assert (tmp_path / "run" / "state.json").stat().st_mode & 0o077 == 0
        assert "very-secret" not in repr(running(tmp_path)) + str(running(tmp_path))


def test_a_profile_keeps_its_redis_database_and_two_data_folders_are_two_profiles(tmp_path: Path) -> None:
    profiles = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = load_settings({"PAIID_SOURCE": "replay", "PAIID_DATA_DIR": str(tmp_path / name)})
        profiles.append(profile_of(settings))
    assert len(set(profiles)) == 2
    numbers = [redis_database(tmp_path, profile) for profile in ["synthetic", *profiles]]
    assert numbers == [0, 1, 2]
    assert [redis_database(tmp_path, profile) for profile in [*profiles, "synthetic"]] == [1, 2, 0]


def test_redis_databases_run_out_with_the_remedy(tmp_path: Path) -> None:
    for number in range(64):
        redis_database(tmp_path, f"p{number}")
    with pytest.raises(ValueError, match=r"redis_databases\.json"):
        redis_database(tmp_path, "one more")
