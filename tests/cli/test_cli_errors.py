"""What commands say of what cannot be: a sentence, whatever was typed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fhir_server.cli import app
from fhir_server.settings import Settings


def varde(*arguments: str, **environment: str) -> Result:
    quiet = {"VARDE_LOG_LEVEL": "error"}  # what is configured here stays so for the tests that follow
    return CliRunner().invoke(app, list(arguments), env=quiet | environment)


@pytest.mark.parametrize(
    "arguments",
    [
        ("profile", "show", "[/nope]"),
        ("package", "install", "/nowhere/[/a].tgz"),
        ("terminology", "import", "atc", "/nowhere/[/x]"),
        ("client", "register", "X", "--scope", "[/x]", "--redirect-uri", "https://a.example/"),
    ],
)
def test_brackets_are_no_markup(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = varde(*arguments, VARDE_STORE=f"sqlite:///{tmp_path}/v.db")
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit), done.exception
    assert "[/" in done.output


def test_a_store_that_is_not_there_is_not_made_to_be_looked_at(tmp_path: Path) -> None:
    done = varde("explain", "CarePlan/x", "--store", f"sqlite:///{tmp_path}/v.db")
    assert done.exit_code == 1
    assert "There is no database" in done.output
    assert os.listdir(tmp_path) == []


def test_a_port_that_is_taken_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = varde("serve", "--port", port, "--store", f"sqlite:///{tmp_path}/v.db")
    assert done.exit_code == 1
    assert f"port {port}" in done.output and "password" not in done.output
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value"), [("VARDE_PROFILES", "foo"), ("VARDE_AUDIT", "perhaps"), ("VARDE_DEMANDS", "x")]
)
def test_settings_that_make_no_sense_are_said(name: str, value: str, tmp_path: Path) -> None:
    done = varde("serve", **{name: value, "VARDE_STORE": f"sqlite:///{tmp_path}/v.db"})
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert "Varde cannot start" in done.output and name.removeprefix("VARDE_").lower() in done.output


@pytest.mark.parametrize("base", ["foo", "ftp://x/fhir", "https://"])
def test_a_public_base_is_a_url(base: str, tmp_path: Path) -> None:
    done = varde("serve", "--base-url", base, "--port", "0", "--store", f"sqlite:///{tmp_path}/v.db")
    assert done.exit_code == 1
    assert "public base" in done.output


def test_every_setting_is_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `VARDE_{name.upper()}` |" in page, name
        assert str(field.description) in page, name
