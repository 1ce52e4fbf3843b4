"""$validate in all its forms, profiles that take effect at once, and those that writes are held to."""

from __future__ import annotations

import json
import threading

import pytest

from fhir_server.app import create_app, open_store
from fhir_server.interactions import incoming
from fhir_server.settings import Settings
from profiles import context
from profiles.structure import validate
from tests.http.conftest import Fhir

HL7 = "http://hl7.org/fhir/StructureDefinition/"
URL = "http://example.org/fhir/StructureDefinition/named"
NAMED = {
    "resourceType": "StructureDefinition",
    "id": "named",
    "url": URL,
    "name": "Named",
    "status": "active",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": HL7 + "Patient",
    "derivation": "constraint",
    "differential": {
        "element": [
            {
                "id": "Patient.name",
                "path": "Patient.name",
                "min": 1,
                "constraint": [
                    {
                        "key": "named-1",
                        "severity": "error",
                        "human": "A name has letters",
                        "expression": "family.matches('[A-Z].*')",
                    }
                ],
            }
        ]
    },
}
PATIENT = {"resourceType": "Patient", "gender": "female"}


def errors(answer, severity="error"):
    assert answer.status_code == 200, answer.text
    issues = answer.json()["issue"]
    return [(i["code"], i["expression"][0]) for i in issues if i["severity"] == severity]


def parameters(*parts):
    return {"resourceType": "Parameters", "parameter": list(parts)}


def of(resource):
    return {"name": "resource", "resource": resource}


@pytest.mark.parametrize("path", ["/$validate", "/Patient/$validate", "/Patient/p/$validate"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_resource_is_judged_at_every_level(fhir, path, wrapped):
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    bad = {"resourceType": "Patient", "id": "p", "gender": "lady", "shoeSize": 42}
    found = errors(fhir.post(path, parameters(of(bad)) if wrapped else bad))
    assert sorted(found) == [("code-invalid", "Patient.gender"), ("structure", "Patient.shoeSize")]
    good = {**PATIENT, "id": "p"}
    assert errors(fhir.post(path, parameters(of(good)) if wrapped else good)) == []
    assert fhir.get("/Patient?gender=lady").json()["total"] == 0


def test_a_stored_resource_is_judged_by_get(fhir):
    fhir.put("/StructureDefinition/named", NAMED)
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    assert errors(fhir.get("/Patient/p/$validate")) == []
    assert errors(fhir.get(f"/Patient/p/$validate?profile={URL}")) == [("required", "Patient.name")]
    assert fhir.get("/Patient/nobody/$validate").status_code == 404


def test_a_profile_takes_effect_at_once(fhir):
    asked = parameters(of(PATIENT), {"name": "profile", "valueUri": URL})
    (warning,) = errors(fhir.post("/$validate", asked), "warning")
    assert warning == ("not-found", "Patient")
    fhir.put("/StructureDefinition/named", NAMED)
    assert errors(fhir.post("/$validate", asked)) == [("required", "Patient.name")]
    changed = json.loads(json.dumps(NAMED).replace('"min": 1', '"min": 0'))
    fhir.put("/StructureDefinition/named", changed)
    assert errors(fhir.post("/$validate", asked)) == []
    fhir.delete("/StructureDefinition/named")
    assert errors(fhir.post("/$validate", asked), "warning") == [("not-found", "Patient")]


def test_a_finding_says_which_rule_it_is_from(fhir):
    fhir.put("/StructureDefinition/named", NAMED)
    resource = {**PATIENT, "meta": {"profile": [URL]}, "name": [{"family": "berg"}]}
    issues = fhir.post("/Patient/$validate", resource).json()["issue"]
    (error,) = [issue for issue in issues if issue["severity"] == "error"]
    assert (error["code"], error["expression"]) == ("invariant", ["Patient.name[0]"])
    assert error["details"]["text"] == f"{URL}#named-1"
    (advice,) = [issue for issue in issues if issue["severity"] == "information"]
    assert advice["details"]["text"] == "dom-6"


def test_codes_are_looked_up_in_stored_and_published_value_sets(fhir):
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://example.org/fhir/ValueSet/v",
        "status": "active",
        "compose": {"include": [{"system": "http://example.org/s", "concept": [{"code": "a"}]}]},
    }
    assert fhir.post("/ValueSet", value_set).status_code == 201
    profile = json.loads(json.dumps(NAMED))
    binding = {"strength": "required", "valueSet": value_set["url"]}
    profile["differential"]["element"] = [
        {"id": "Patient.maritalStatus", "path": "Patient.maritalStatus", "binding": binding}
    ]
    fhir.put("/StructureDefinition/named", profile)

    def judged(code, system="http://example.org/s"):
        status = {"coding": [{"system": system, "code": code}]}
        asked = parameters(of({**PATIENT, "maritalStatus": status}), {"name": "profile", "valueUri": URL})
        return errors(fhir.post("/$validate", asked))

    assert judged("a") == []
    assert judged("b") == [("code-invalid", "Patient.maritalStatus")]
    v3 = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
    assert ("code-invalid", "Patient.maritalStatus.coding[0].code") in judged("XYZ", v3)
    weight = {"value": 1, "system": "http://unitsofmeasure.org", "code": "kilos"}
    reading = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "w"},
        "valueQuantity": weight,
    }
    assert errors(fhir.post("/$validate", reading)) == [
        ("code-invalid", "Observation.value.ofType(Quantity)")
    ]


def test_the_modes(fhir):
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    assert errors(fhir.get("/Patient/p/$validate?mode=delete")) == []
    assert fhir.get("/Patient/$validate?mode=delete").status_code == 400
    assert fhir.get("/Patient/nobody/$validate?mode=delete").status_code == 404
    created = fhir.post("/Patient/p/$validate?mode=create", {**PATIENT, "id": "p"})
    assert [issue["code"] for issue in created.json()["issue"] if issue["severity"] == "error"] == [
        "business-rule"
    ]
    other = fhir.post("/Patient/p/$validate?mode=update", {**PATIENT, "id": "q"})
    assert [issue["code"] for issue in other.json()["issue"] if issue["severity"] == "error"] == ["invalid"]
    assert fhir.get("/Patient/p/$validate?mode=guess").status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/Patient/$validate", parameters()),
        ("/Patient/$validate", parameters({"name": "profile", "valueUri": URL})),
        ("/Patient/$validate?wish=granted", PATIENT),
        ("/Patient/$validate?" + "&".join(["profile=x"] * 30), PATIENT),
    ],
)
def test_what_cannot_be_asked_is_refused(fhir, path, body):
    answer = fhir.post(path, body)
    if body == parameters():  # a resource like any other
        assert [i for i in answer.json()["issue"] if i["severity"] == "error"]
    else:
        assert answer.status_code == 400


def test_a_resource_that_says_another_type_or_none(fhir):
    assert (
        fhir.post("/Patient/$validate", {"resourceType": "Basic", "code": {"text": "a"}}).json()["issue"][-1][
            "severity"
        ]
        == "error"
    )
    assert errors(fhir.post("/$validate", {"id": "a"})) == [("structure", "Resource")]
    assert errors(fhir.post("/$validate", {"resourceType": "Patient", "contact": "x" * 100})) != []


def test_a_questionnaire_response_is_held_to_its_questionnaire(fhir):
    questionnaire = {
        "resourceType": "Questionnaire",
        "url": "http://example.org/fhir/Questionnaire/q",
        "status": "active",
        "item": [{"linkId": "1", "type": "boolean", "required": True}],
    }
    fhir.post("/Questionnaire", questionnaire)
    response = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": questionnaire["url"],
        "status": "completed",
        "item": [{"linkId": "1", "answer": [{"valueString": "yes"}]}],
    }
    where = "QuestionnaireResponse.item[0].answer[0]"
    assert errors(fhir.post("/$validate", response)) == [("structure", where)]


# Writes


def test_a_profile_that_makes_no_sense_is_refused_with_its_reasons(fhir):
    senseless = json.loads(json.dumps(NAMED).replace("Patient.name", "Patient.nickname"))
    answer = fhir.put("/StructureDefinition/named", senseless)
    assert answer.status_code == 422
    assert "nickname is not an element of Patient" in answer.json()["issue"][0]["diagnostics"]


def test_what_claims_a_profile_is_held_to_it(fhir):
    claiming = {**PATIENT, "meta": {"profile": [URL]}}
    assert fhir.post("/Patient", claiming).status_code == 201  # nobody knows the profile yet
    fhir.put("/StructureDefinition/named", NAMED)
    refused = fhir.post("/Patient", claiming)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Patient.name"]
    assert fhir.post("/Patient", {**claiming, "name": [{"family": "Berg"}]}).status_code == 201
    assert fhir.post("/Patient", PATIENT).status_code == 201  # claims nothing


def test_an_entry_of_a_bundle_is_held_to_its_profile(fhir):
    fhir.put("/StructureDefinition/named", NAMED)
    entry = {
        "resource": {**PATIENT, "meta": {"profile": [URL]}},
        "request": {"method": "POST", "url": "Patient"},
    }
    answer = fhir.post("/", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.name"]
    assert fhir.get("/Patient").json()["total"] == 0


def test_a_setting_says_which_profiles_a_type_must_follow(store_url, clock):
    store = open_store(store_url)
    app = create_app(Settings(auth=False, profiles={"Patient": [URL]}, claimed_profiles=False), store, clock)
    client = Fhir(app, store)
    try:
        client.put("/StructureDefinition/named", NAMED)
        refused = client.post("/Patient", PATIENT)
        assert refused.status_code == 422
        assert refused.json()["issue"][0]["expression"] == ["Patient.name"]
        assert client.post("/Patient", {**PATIENT, "name": [{"family": "Berg"}]}).status_code == 201
        assert client.post("/Basic", {"resourceType": "Basic", "code": {"text": "a"}}).status_code == 201
    finally:
        client.close()


def test_a_profile_of_ten_thousand_elements_is_refused_with_the_reason(fhir):
    slices = [
        {"id": f"Patient.telecom:s{n}", "path": "Patient.telecom", "sliceName": f"s{n}"}
        for n in range(10_000)
    ]
    whole = [{"id": "Patient", "path": "Patient"}, *slices]
    answer = fhir.put("/StructureDefinition/named", NAMED | {"differential": {"element": whole}})
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert issue["diagnostics"] == "A StructureDefinition may have 5000 elements"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_takes_too_long_to_hold_to_its_profile_is_refused(fhir, monkeypatch):
    """Not stored half judged."""
    monkeypatch.setattr(context, "MOST_STEPS", 20)
    profile = json.loads(json.dumps(NAMED))
    by_use = {"slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"}}
    profile["differential"]["element"] = [
        {"id": "Patient.telecom", "path": "Patient.telecom", **by_use},
        {"id": "Patient.telecom:home", "path": "Patient.telecom", "sliceName": "home"},
        {"id": "Patient.telecom:home.use", "path": "Patient.telecom.use", "fixedCode": "home"},
    ]
    assert fhir.put("/StructureDefinition/named", profile).status_code == 201
    telecom = [{"system": "phone", "value": "1"}]
    claimed = {**PATIENT, "meta": {"profile": [URL]}}
    assert fhir.post("/Patient", {**claimed, "telecom": telecom * 10}).status_code == 201
    answer = fhir.post("/Patient", {**claimed, "telecom": telecom * 30})
    assert answer.status_code == 422
    assert [issue["code"] for issue in answer.json()["issue"]] == ["too-costly"]


MANY = [{"resourceType": "Basic", "id": f"b{n}", "code": {"text": "x"}} for n in range(600)]


@pytest.mark.parametrize("way", ["alone", "transaction", "batch"])
@pytest.mark.parametrize(
    ("resource", "aside"),
    [
        (
            {
                **PATIENT,
                "link": [{"type": "refer", "other": {"reference": f"#{b['id']}"}} for b in MANY],
                "contained": MANY,
            },
            True,
        ),
        (NAMED, True),
        (PATIENT, False),
    ],
    ids=["much", "a profile", "little"],
)
def test_what_takes_long_to_judge_does_not_hold_up_the_others(fhir, monkeypatch, way, resource, aside):
    """It is judged in a thread beside that of the event loop."""
    threads = []

    def noting(judged):
        threads.append(threading.current_thread())
        return validate(judged)

    monkeypatch.setattr(incoming, "validate", noting)
    resource = {name: value for name, value in resource.items() if name != "id"}
    if way == "alone":
        answer = fhir.post(f"/{resource['resourceType']}", resource)
    else:
        entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
        answer = fhir.post("", {"resourceType": "Bundle", "type": way, "entry": [entry]})
    assert answer.status_code in (200, 201), answer.text
    assert [thread is not threading.main_thread() for thread in threads] == [aside]


def test_demands_beyond_r4_are_the_servers(store_url):
    """They are made of what is validated, never of what is written."""
    store = open_store(store_url)
    strict = Fhir(create_app(Settings(auth=False, demands=["real-urls", "references"]), store), store)
    try:
        image = {"resourceType": "Patient", "photo": [{"url": "http://example.org/me.png"}]}
        assert errors(strict.post("/$validate", image)) == [("invalid", "Patient.photo[0].url")]
        assert strict.post("/Patient", image).status_code == 201
        known = strict.put("/Patient/known", PATIENT | {"id": "known"})
        assert known.status_code == 201
        for id_, expected in (("known", []), ("other", [("not-found", "Patient.link[0].other")])):
            link = {"type": "seealso", "other": {"reference": f"Patient/{id_}"}}
            assert errors(strict.post("/$validate", PATIENT | {"link": [link]})) == expected
    finally:
        strict.close()
