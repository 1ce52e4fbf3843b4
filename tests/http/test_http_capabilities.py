"""GET /metadata says what is really there, https://hl7.org/fhir/R4/capabilitystatement.html"""

from __future__ import annotations

from importlib import import_module

import pytest

from profiles.structure import validate


@pytest.fixture
def store_url(sqlite_url):
    """What is tested here happens before any store: one will do."""
    return sqlite_url


@pytest.fixture
def statement(fhir):
    return fhir.get("/metadata").json()


def test_the_statement_is_valid(statement):
    assert validate(statement) == []
    import_module("fhir.resources.R4B.capabilitystatement").CapabilityStatement.model_validate(statement)


def test_it_says_what_software_and_which_fhir(statement, fhir):
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["kind"] == "instance"
    assert statement["software"]["name"] == "Varde"
    assert statement["implementation"]["url"] == fhir.base
    assert {"application/fhir+json", "application/fhir+xml"} <= set(statement["format"])
    assert statement["date"].startswith("2026-11-21T")


def test_every_resource_type_is_there(statement):
    resources = {resource["type"]: resource for resource in statement["rest"][0]["resource"]}
    assert len(resources) == 146
    interactions = {item["code"] for item in resources["Observation"]["interaction"]}
    assert {
        "read",
        "vread",
        "create",
        "update",
        "patch",
        "delete",
        "history-instance",
        "search-type",
    } <= interactions
    assert "Observation:subject" in resources["Observation"]["searchInclude"]
    for code in ("_id", "_lastUpdated"):
        assert all(code in [p["name"] for p in r["searchParam"]] for r in resources.values())


def test_every_search_parameter_that_it_names_is_applied(statement, fhir):
    values = {"token": "a", "reference": "Patient/1", "date": "2020", "string": "a", "number": "1", "quantity": "1",
              "uri": "http://a", "composite": "a$b", "special": "a"}  # fmt: skip
    for resource in statement["rest"][0]["resource"]:
        if resource["type"] in ("Patient", "Observation", "CarePlan", "Task", "Questionnaire"):
            for parameter in resource["searchParam"]:
                value = values[parameter["type"]]
                if parameter["name"].endswith(("-quantity", "-date")) and parameter["type"] == "composite":
                    value = "a$2020"
                query = f"{parameter['name']}={value}"
                found = fhir.get(f"/{resource['type']}?{query}", prefer="handling=strict")
                assert found.status_code == 200, (resource["type"], query, found.text)
                assert parameter["name"] in found.json()["link"][0]["url"]


def test_the_system_interactions_are_there(statement):
    codes = [item["code"] for item in statement["rest"][0]["interaction"]]
    assert codes == ["transaction", "batch", "history-system", "search-system"]


def test_the_modes(fhir):
    full = fhir.get("/metadata?mode=full").json()
    assert full == fhir.get("/metadata").json() == fhir.get("/metadata?mode=normative").json()
    terminology = fhir.get("/metadata?mode=terminology").json()
    assert terminology["resourceType"] == "TerminologyCapabilities"
    assert validate(terminology) == []
    assert fhir.get("/metadata?mode=nonsense").status_code == 400
    assert fhir.get("/metadata?nonsense=1", prefer="handling=strict").status_code == 400


def test_a_part_of_the_statement(fhir):
    part = fhir.get("/metadata?_elements=fhirVersion").json()
    assert part["fhirVersion"] == "4.0.1"
    assert "software" not in part
    assert fhir.get("/metadata?_summary=true").json()["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_head_says_what_get_says_without_a_body(fhir):
    get, head = fhir.get("/metadata"), fhir.request("HEAD", "/metadata")
    assert head.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["content-type"] == get.headers["content-type"]
