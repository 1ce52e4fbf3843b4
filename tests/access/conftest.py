"""Servers to be asked with different grants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.asking import Server


@pytest.fixture
def server(store_url: str) -> Iterator[Server]:
    server = Server(store_url)
    yield server
    server.close()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Server]:
    """On one store only, for what does not depend on it."""
    server = Server(sqlite_url)
    yield server
    server.close()
