"""A synthetic world whose clock the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.sources.simulator.server import application
from paiid_pipeline.sources.simulator.synthetic_exchange import SyntheticExchange
from paiid_pipeline_tests.defs.world import ENVIRONMENT, START, World
from paiid_pipeline_tests.sources.fake_vendor import serving

MakeWorld = Callable[..., World]


@pytest.fixture
def universe(tmp_path: Path) -> Path:
    """Two segments, as in the package's own universe, but small."""
    path = tmp_path / "universe.toml"
    path.write_text('[segments]\ntechnology = ["AAPL", "MSFT"]\nfinancials = ["JPM"]\nconsumer = ["KO"]\n')
    return path


@pytest.fixture
def make_world(postgres_url: str, redis_url: str, universe: Path) -> Iterator[MakeWorld]:
    """Makes worlds that share nothing but the servers; the first uses the test's own schema."""
    with ExitStack() as stack:
        schemas: list[str] = []

        def make(real_time: bool = False) -> World:
            url = postgres_url
            if schemas:
                name = f"{postgres_url.rsplit('%3D', 1)[1]}_{len(schemas)}_{uuid4().hex[:6]}"
                with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
                    cursor.execute(f"create schema {name}")
                connection.close()
                url = f"{postgres_url.rsplit('%3D', 1)[0]}%3D{name}"
                stack.callback(_drop, postgres_url, name)
            schemas.append(url)
            clock = FixedClock(START)
            source_url = stack.enter_context(serving(application(SyntheticExchange(), clock)))
            variables = {**ENVIRONMENT, "PAIID_UNIVERSE": str(universe), "PAIID_HOME": str(universe.parent / "home")}
            return World(url, redis_url, source_url, clock, real_time=real_time, variables=variables)

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """One synthetic world."""
    return make_world()


def _drop(url: str, schema: str) -> None:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"drop schema {schema} cascade")
    connection.close()


@pytest.fixture(autouse=True)
def no_state_of_another_instance() -> Iterator[None]:
    """Dagster keeps a store of its instance in a context variable, which a test that is over may have left behind."""
    with set_defs_state_storage(None):
        yield
