"""Servers with access control, and people who sign in to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.smart import users
from tests.smart.site import APP, PEOPLE, PHONE, QUICK, RECORD, Site


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed in a millisecond."""
    monkeypatch.setattr(users, "_hasher", QUICK)
    users._nobodys.cache_clear()


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path, quick: None) -> Iterator[Site]:
    site = _filled(Site(sqlite_url, tmp_path / "keys"))
    yield site
    site.close()


@pytest.fixture
def either_site(store_url: str, tmp_path: Path, quick: None) -> Iterator[Site]:
    """On each of the stores."""
    site = _filled(Site(store_url, tmp_path / "keys"))
    yield site
    site.close()


def _filled(site: Site) -> Site:
    site.put(*RECORD)
    site.register(APP, PHONE)
    for username in PEOPLE:
        site.add(username)
    return site
