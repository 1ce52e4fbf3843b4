"""One browser and one server for the tests of a process; each test begins with an empty browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.browser.chrome import Person, chromium
from tests.browser.town import Town, fhirclient_js, town


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="session")
def place(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, object]]:
    folder = tmp_path_factory.mktemp("town")
    with town(folder) as running:
        yield running, folder


@pytest.fixture
def person(browser: Chrome) -> Person:
    person = Person(browser)
    person.forget()
    person.speaks("en")
    return person


@pytest.fixture
def here(place: tuple[Town, object]) -> Town:
    return place[0]


@pytest.fixture(scope="session")
def script(place: tuple[Town, object]) -> None:
    """The application's pages have SMART's JavaScript client."""
    fhirclient_js(place[1] / "app")  # type: ignore[operator]
