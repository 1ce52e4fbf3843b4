"""`varde user`: local users from the command line, whose passwords never are an argument."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fhir_server import log
from fhir_server.app import prepare
from fhir_server.cli import app
from fhir_server.settings import Settings
from fhir_server.smart import users
from tests.smart.site import QUICK

log.configure("error")
ANNE = ("--name", "Anne Lege", "--fhir-user", "Practitioner/1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_hasher", QUICK)


def varde(url: str, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["user", *arguments, "--store", url], input=typed)


def test_a_password_is_made_and_shown_once(sqlite_url: str) -> None:
    shown = varde(sqlite_url, "add", "Anne", *ANNE).stdout
    assert "Anne: added" in shown
    password = shown.rpartition(": ")[2].strip()
    assert len(password) == 23
    assert varde(sqlite_url, "list").stdout == "anne  practitioner  Practitioner/1  Anne Lege\n"
    again = varde(sqlite_url, "password", "anne").stdout
    assert password not in again
    assert varde(sqlite_url, "remove", "anne").stdout == "anne: removed\n"
    assert varde(sqlite_url, "list").stdout == ""


def test_one_from_standard_input_is_not_shown(sqlite_url: str) -> None:
    shown = varde(sqlite_url, "add", "anne", *ANNE, "--password-stdin", typed="a password of hers\n")
    assert shown.stdout == "anne: added\n"
    shown = varde(sqlite_url, "password", "anne", "--password-stdin", typed="another of hers\n")
    assert shown.stdout == "anne: has another password\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "anne", "--name", "Anne"), "has a FHIR resource"),
        (("add", "anne", *ANNE, "--role", "nurse"), "role is one of"),
        (("add", "anne", *ANNE, "--password-stdin"), "at least 12"),
        (("remove", "nobody"), "no such user"),
        (("password", "nobody"), "no such user"),
    ],
)
def test_refused(sqlite_url: str, arguments: tuple[str, ...], said: str) -> None:
    result = varde(sqlite_url, *arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_new_server_has_an_administrator_whose_password_is_shown_once(sqlite_url: str) -> None:
    settings = Settings(store=sqlite_url)
    password = asyncio.run(prepare(settings))
    assert password
    assert asyncio.run(prepare(settings)) is None
    assert varde(sqlite_url, "list").stdout == "admin  administrator  -  Administrator\n"


def test_without_access_control_nobody_is_made(sqlite_url: str) -> None:
    assert asyncio.run(prepare(Settings(store=sqlite_url, auth=False))) is None
    assert varde(sqlite_url, "list").stdout == ""


def test_what_is_kept_is_for_nobody_else_on_the_machine(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = f"sqlite:///{tmp_path}/data/varde.db"
        done = CliRunner().invoke(app, ["user", "list", "--store", store])
        assert done.exit_code == 0, done.output
    finally:
        os.umask(before)
    kept = [tmp_path / "data", *(tmp_path / "data").iterdir()]
    assert len(kept) > 1
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []
