"""`varde cql` and `varde explain PlanDefinition/ID`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.app import create_app, open_store
from fhir_server.cli import app
from fhir_server.resource_json import encode
from fhir_server.settings import Settings
from tests.alerts.cql_build import HEAD, LOW, action, definition, library, value_set
from tests.http.conftest import Fhir
from tests.rules.build import SPO2, observation

LIMITS = "library Limits version '1'\ndefine Lowest: 90\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "low.cql").write_text(LOW)
    (tmp_path / "Limits.cql").write_text(LIMITS)
    (tmp_path / "plain.cql").write_text(
        "library P\ninclude Limits version '1'\nparameter n Integer default 1\n"
        "define Sum: Limits.Lowest + n\ndefine Day: Today()\ndefine Text: 'a'\n"
    )
    reading = observation(SPO2, "88.50", "2026-11-21T08:00:00+01:00")
    entries = [{"resource": {"resourceType": "Patient", "id": "p"}}, {"resource": reading}]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bundle.json").write_bytes(
        encode({"resourceType": "Bundle", "type": "collection", "entry": entries})
    )
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["cql", *(a.replace("@", f"{folder}/") for a in arguments)])
    assert result.exit_code == code, result.output
    return result.output.replace(f"{folder}/", "")


def test_definitions_are_listed_with_their_types(folder: Path) -> None:
    assert run(folder, "@low.cql").splitlines()[-2:] == ["Low: Boolean", "Very low: Boolean"]


def test_a_definition_is_evaluated(folder: Path) -> None:
    assert run(folder, "@plain.cql", "--define", "Sum") == "Sum: 91\n"
    assert run(folder, "@plain.cql", "-d", "Sum", "-p", "n=1 + 1", "-d", "Text") == "Sum: 92\nText: 'a'\n"
    assert (
        run(folder, "@plain.cql", "-d", "Day", "--now", "2026-11-21T10:00:00+01:00") == "Day: @2026-11-21\n"
    )


@pytest.mark.parametrize("data", ["@data", "@data/bundle.json"])
def test_over_data_from_a_file_or_a_folder(folder: Path, data: str) -> None:
    assert run(folder, "@low.cql", "--define", "Low", "--data", data) == "Low: true\n"
    everything = run(folder, "@low.cql", "--data", data).splitlines()
    assert everything[1:] == ["Latest: " + everything[1][8:], "Low: true", "Very low: false"]
    assert '"value":88.50' in everything[1]


def test_over_ndjson_with_a_value_set(folder: Path) -> None:
    ill = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]},
    }
    lines = [encode(one).decode() for one in ({"resourceType": "Patient", "id": "p"}, ill, value_set("1"))]
    (folder / "data.ndjson").write_text("\n".join(lines))
    (folder / "ill.cql").write_text(HEAD + 'define "Ill": exists [Condition: "COPD"]\n')
    assert run(folder, "@ill.cql", "-d", "Ill", "--data", "@data.ndjson") == "Ill: true\n"
    (folder / "data.ndjson").write_text("\n".join(lines[:2]))
    failed = run(folder, "@ill.cql", "-d", "Ill", "--data", "@data.ndjson", code=1)
    assert failed == "error: the value set http://example.org/ValueSet/copd is not on this server\n"


def test_elm_and_python_are_printed(folder: Path) -> None:
    elm = run(folder, "@low.cql", "--elm")
    assert json.loads(elm)["library"]["identifier"]["id"] == "Oxygen"
    (folder / "low.json").write_text(elm)
    assert run(folder, "@low.json", "-d", "Low", "--data", "@data") == "Low: true\n"
    assert "def define_2_Low(c):" in run(folder, "@low.cql", "--python")


def test_every_error_is_shown_where_it_is(folder: Path) -> None:
    (folder / "wrong.cql").write_text("library W\ndefine A: 1 + 'a'\n\tdefine B: Nothing\ndefine C: (\n")
    assert run(folder, "@wrong.cql", code=1) == (
        "wrong.cql:2:13: semantic error: Concatenate does not take (Integer, String)\n"
        "  define A: 1 + 'a'\n"
        "              ^\n"
        "wrong.cql:3:12: semantic error: there is no Nothing\n"
        "  \tdefine B: Nothing\n"
        "  \t          ^\n"
        "wrong.cql:5:1: syntax error: expected an expression, found the end of the text\n"
        "3 errors\n"
    )


def test_an_error_in_an_included_library_is_shown_there(folder: Path) -> None:
    (folder / "Limits.cql").write_text("library Limits version '1'\ndefine Lowest: x\n")
    assert run(folder, "@plain.cql", code=1).startswith("Limits.cql:2:16: semantic error: there is no x")
    (folder / "Limits.cql").unlink()
    assert "plain.cql:2:1: include error: there is no library Limits version 1" in run(
        folder, "@plain.cql", code=1
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("@missing.cql",), "missing.cql: error: No such file or directory"),
        (("@low.cql", "--define", "Nothing"), "the library defines no Nothing"),
        (("@plain.cql", "-d", "Sum", "-p", "n"), "NAME=VALUE"),
        (("@plain.cql", "-d", "Sum", "-p", "n='a'"), "the parameter n is not of type Integer"),
        (("@plain.cql", "-d", "Sum", "-p", "m=1"), "there is no parameter m"),
        (("@plain.cql", "-d", "Sum", "--now", "soon"), "--now is no date and time"),
        (("@low.cql", "--data", "@low.cql"), "low.cql: error: "),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in run(folder, *arguments, code=1)


def test_explain_shows_the_rules_of_a_plan_definition(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    fhir = Fhir(create_app(Settings(auth=False), store), store)
    fhir.put("/Library/oxygen", library())
    fhir.put("/PlanDefinition/rule", definition(action("Low", title="Low oxygen", zone="red")))
    fhir.close()
    result = CliRunner().invoke(app, ["explain", "PlanDefinition/rule", "--store", sqlite_url])
    lines = result.output.splitlines()
    assert lines[:2] == ["PlanDefinition/rule/_history/1 (status active)", "judges everybody"]
    assert "  red: Oxygen.Low (Low oxygen)" in lines
    assert "  looks at: [Observation: code in 59408-5]" in lines
    assert "def define_2_Low(c):" in lines
    missing = CliRunner().invoke(app, ["explain", "PlanDefinition/none", "--store", sqlite_url])
    assert missing.exit_code == 1
