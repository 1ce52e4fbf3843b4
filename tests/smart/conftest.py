"""Servers with access control, people who sign in to them, and applications that they are launched for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.smart import users
from fhir_server.smart.keys import SigningKeys
from tests.smart.office import Office
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


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for a whole file: for tests that change nothing which another one sees."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_hasher", QUICK)
        users._nobodys.cache_clear()
        site = _filled(Site(f"sqlite:///{folder}/varde.db", folder / "keys"))
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


@pytest.fixture(scope="session")
def signing_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, since that takes a while."""
    folder = tmp_path_factory.mktemp("signing") / "keys"
    SigningKeys(folder).public(1_700_000_000)
    return folder


@pytest.fixture
def keys(signing_keys: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with a key in it."""
    shutil.copytree(signing_keys, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def office_of(keys: Path) -> Iterator[Callable[..., Office]]:
    """Opens a server on the store of a URL, with settings."""
    opened: list[Office] = []

    def make(url: str, **settings: Any) -> Office:
        opened.append(Office(url, keys, **settings))
        return opened[-1]

    yield make
    for office in opened:
        office.close()


@pytest.fixture
def office(sqlite_url: str, office_of: Callable[..., Office]) -> Office:
    return office_of(sqlite_url)
