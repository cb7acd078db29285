"""A migrated warehouse in an empty schema of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paiid_pipeline.warehouse import Warehouse, migrate


@pytest.fixture
def warehouse_url(postgres_url: str) -> str:
    migrate(postgres_url)
    return postgres_url


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Warehouse]:
    with Warehouse(warehouse_url) as opened:
        yield opened
