"""FHIRPath Patch, https://hl7.org/fhir/R4/fhirpatch.html, beyond the cases of the suite."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.patch import fhirpath_patch
from fhir_server.resource_json import decode, encode
from profiles.structure import validate

NOTE = {"url": "urn:x", "valueString": "n"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "A", "alias": ["B"]}],
    "identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}],
    "name": [
        {
            "use": "official",
            "family": "Berg",
            "given": ["Kari", "Anne", "Marie"],
            "_given": [None, {"id": "g"}, None],
        },
        {"use": "usual", "given": ["Kaja"]},
    ],
    "birthDate": "1950-01-02",
    "_birthDate": {"extension": [NOTE]},
    "deceasedBoolean": False,
    "managingOrganization": {"reference": "#o"},
}


def operation(type_: str, path: str, **parts: Any) -> dict[str, Any]:
    made: list[dict[str, Any]] = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, given in parts.items():
        if name in ("index", "source", "destination"):
            made.append({"name": name, "valueInteger": given})
        elif name == "name":
            made.append({"name": name, "valueString": given})
        else:
            made.append({"name": "value", name: given})
    return {"name": "operation", "part": made}


def patched(*operations: dict[str, Any], tree: Any = PATIENT) -> Any:
    return fhirpath_patch.read({"resourceType": "Parameters", "parameter": list(operations)})(tree)


def changed(**change: Any) -> dict[str, Any]:
    return {key: value for key, value in {**PATIENT, **change}.items() if value is not None}


def first_name(**change: Any) -> dict[str, Any]:
    first = {key: value for key, value in {**PATIENT["name"][0], **change}.items() if value is not None}
    return changed(name=[first, PATIENT["name"][1]])


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (operation("replace", "Patient.name.where(use = 'official').family", valueString="Li"), first_name(family="Li")),
        (operation("replace", "name[0].family", valueString="Li"), first_name(family="Li")),
        (operation("delete", "Patient.name[0].given[1]"), first_name(given=["Kari", "Marie"], _given=None)),
        (operation("delete", "Patient.name[0].given.where($this = 'Kari')"), first_name(given=["Anne", "Marie"], _given=[{"id": "g"}, None])),
        (operation("delete", "Patient.name.given.last()"), changed(name=[PATIENT["name"][0], {"use": "usual"}])),
        (operation("replace", "(Patient.name.first()).given.skip(1).first()", valueString="B"),
         first_name(given=["Kari", "B", "Marie"], _given=None)),
        (operation("insert", "Patient.name[0].given", index=1, valueString="X"),
         first_name(given=["Kari", "X", "Anne", "Marie"], _given=[None, None, {"id": "g"}, None])),
        (operation("move", "Patient.name[0].given", source=0, destination=2),
         first_name(given=["Anne", "Marie", "Kari"], _given=[{"id": "g"}, None, None])),
        (operation("insert", "Patient.telecom", index=0, valueContactPoint={"rank": 1}), changed(telecom=[{"rank": 1}])),
        (operation("replace", "Patient.deceased", valueDateTime="2020-01-02"),
         changed(deceasedBoolean=None, deceasedDateTime="2020-01-02")),
        (operation("replace", "Patient.deceased.ofType(boolean)", valueBoolean=True), changed(deceasedBoolean=True)),
        (operation("replace", "(Patient.deceased as boolean)", valueBoolean=True), changed(deceasedBoolean=True)),
        (operation("add", "Patient", name="multipleBirth", valueInteger=2), changed(multipleBirthInteger=2)),
        (operation("add", "Patient", name="multipleBirthInteger", valueInteger=2), changed(multipleBirthInteger=2)),
        (operation("add", "Patient.birthDate", name="extension", valueExtension={"url": "urn:y", "valueCode": "c"}),
         changed(_birthDate={"extension": [NOTE, {"url": "urn:y", "valueCode": "c"}]})),
        (operation("add", "Patient.name[0].given[0]", name="extension", valueExtension=NOTE),
         first_name(_given=[{"extension": [NOTE]}, {"id": "g"}, None])),
        (operation("delete", "Patient.birthDate.extension('urn:x')"), changed(_birthDate=None)),
        (operation("delete", "Patient.birthDate"), changed(birthDate=None, _birthDate=None)),
        (operation("delete", "Patient.contained.where(id = 'o').alias[0]"),
         changed(contained=[{"resourceType": "Organization", "id": "o", "name": "A"}])),
        (operation("replace", "Patient.contained.ofType(Organization).name", valueString="B"),
         changed(contained=[{"resourceType": "Organization", "id": "o", "name": "B", "alias": ["B"]}])),
        (operation("delete", "%resource.name[1]"), changed(name=PATIENT["name"][:1])),
        (operation("delete", "Patient.gender"), PATIENT),
        (operation("delete", "Patient.identifier.where(system = 'urn:c')"), PATIENT),
    ],
)  # fmt: skip
def test_what_the_operations_do(done: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(PATIENT)
    result = patched(done)
    assert result == expected
    assert validate(result) == []
    assert before == PATIENT


def test_parts_make_a_backbone_element() -> None:
    parts = [
        {"name": "relationship", "valueCodeableConcept": {"text": "son"}},
        {"name": "relationship", "valueCodeableConcept": {"text": "heir"}},
        {"name": "name", "part": [{"name": "family", "valueString": "Berg"}]},
    ]
    add = operation("add", "Patient", name="contact")
    add["part"].append({"name": "value", "part": parts})
    contact = {"relationship": [{"text": "son"}, {"text": "heir"}], "name": {"family": "Berg"}}
    assert patched(add)["contact"] == [contact]


def test_numbers_keep_their_text() -> None:
    tree = decode(b'{"resourceType":"Observation","valueQuantity":{"value":1e2}}')
    value = decode(b'{"v":91.50}')["v"]
    assert encode(
        patched(operation("replace", "Observation.value.value", valueDecimal=value), tree=tree)
    ) == (b'{"resourceType":"Observation","valueQuantity":{"value":91.50}}')
    moved = patched(operation("add", "Observation", name="status", valueCode="final"), tree=tree)
    assert b"1e2" in encode(moved)


@pytest.mark.parametrize(
    "done",
    [
        operation("replace", "Patient.gender", valueCode="male"),
        operation("replace", "Patient.name.family.family", valueString="x"),
        operation("replace", "Patient.identifier", valueIdentifier={"value": "x"}),
        operation("replace", "Patient", valueString="x"),
        operation("replace", "Patient.deceased", valueString="x"),
        operation("replace", "Patient.name[0]", valueString="x"),
        operation("replace", "Patient.birthDate", valueHumanName={"text": "x"}),
        operation("add", "Patient.name", name="text", valueString="x"),
        operation("add", "Patient", name="nonsense", valueString="x"),
        operation("add", "Patient", name="birthDate", valueDate="1950"),
        operation("add", "Patient", name="deceased", valueBoolean=True),
        operation("delete", "Patient.identifier"),
        operation("delete", "Patient"),
        operation("delete", "Patient.nonsense"),
        operation("insert", "Patient.identifier", index=3, valueIdentifier={"value": "x"}),
        operation("insert", "Patient.birthDate", index=0, valueDate="1950"),
        operation("insert", "Patient.name.given", index=0, valueString="x"),
        operation("move", "Patient.identifier", source=0, destination=2),
        operation("move", "Patient.identifier", source=2, destination=0),
        operation("move", "Patient.gender", source=0, destination=0),
        operation("delete", "Patient.name.single()"),
    ],
)
def test_what_does_not_fit_is_told_with_the_operation(done: dict[str, Any]) -> None:
    with pytest.raises(FhirError) as caught:
        patched(operation("delete", "Patient.gender"), done)
    assert caught.value.category == "unprocessable"
    issue = caught.value.issues[0]
    assert issue.expression == "Parameters.parameter[1]"
    assert issue.diagnostics.startswith(f"Operation 2 ({done['part'][0]['valueCode']}): ")


@pytest.mark.parametrize(
    "done",
    [
        {"name": "other"},
        {"name": "operation"},
        operation("merge", "Patient.name"),
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]},
        operation("delete", "Patient.name["),
        operation("delete", "Patient.name.where(use = )"),
        operation("delete", "1 + 1"),
        operation("delete", "Patient.name.children()"),
        operation("delete", "Patient.managingOrganization.resolve()"),
        operation("delete", "Patient.name.where(nonsense())"),
        operation("delete", "Patient.name | Patient.contact"),
        operation("delete", "%ucum.name"),
        operation("delete", "Patient." + "name." * 1000 + "family"),
        operation("add", "Patient", valueString="x"),
        operation("add", "Patient", name="gender"),
        operation("insert", "Patient.identifier", valueString="x"),
        operation("insert", "Patient.identifier", index=-1, valueString="x"),
        operation("delete", "Patient.gender", valueCode="male"),
        {
            "name": "operation",
            "part": [*operation("delete", "x")["part"], {"name": "path", "valueString": "y"}],
        },
    ],
)
def test_what_is_no_patch_is_malformed(done: dict[str, Any]) -> None:
    with pytest.raises(FhirError) as caught:
        patched(done)
    assert caught.value.category == "malformed"


def test_there_is_an_end_to_operations() -> None:
    with pytest.raises(FhirError) as caught:
        patched(*[operation("delete", "Patient.gender")] * 1001)
    assert caught.value.status == 413
