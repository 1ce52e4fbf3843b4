"""What each role may write, and what a refusal must not show; see fhir_server/access/writing.py."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.grant import Grant
from tests.access.asking import Server, backend, nurse, patient, scopes
from tests.access.resources import V, of, reading, ref, team


@pytest.fixture
def ward(sqlite: Server) -> Server:
    """Patients a, whose nurse is n1, and b, whose nurse is nobody."""
    sqlite.put(of("Organization", "h", name="Hospital"))
    for id in ("a", "b"):
        sqlite.put(of("Patient", id, identifier=[{"system": "urn:x", "value": id}]))
        sqlite.put(reading(f"o{id}", id))
    sqlite.put(team("t", "a", "Practitioner/n1"))
    return sqlite


def new(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "id"}


def create(ward: Server, grant: Grant | None, resource: dict[str, Any]) -> int:
    return ward.ask(grant, "POST", f"/{resource['resourceType']}", new(resource)).status_code


def answers(patient: str, **more: Any) -> dict[str, Any]:
    return of("QuestionnaireResponse", "q", status="completed", subject=ref(f"Patient/{patient}"), **more)


def message(sender: str, **more: Any) -> dict[str, Any]:
    return of("Communication", "m", status="completed", sender=ref(sender), **more)


def dose(patient: str, performer: str) -> dict[str, Any]:
    return of(
        "MedicationAdministration",
        "d",
        status="completed",
        subject=ref(f"Patient/{patient}"),
        medicationCodeableConcept={"text": "insulin"},
        effectiveDateTime="2026-11-20",
        performer=[{"actor": ref(performer)}],
    )


@pytest.mark.parametrize(
    "resource",
    [
        reading("x", "a"),
        reading("x", "a", performer=[ref("Patient/a")]),
        reading("x", "a", subject={"identifier": {"system": "urn:x", "value": "a"}}),
        answers("a"),
        answers("a", author=ref("Patient/a"), source=ref("Patient/a")),
        message("Patient/a", recipient=[ref("Practitioner/n1")]),
        dose("a", "Patient/a"),
    ],
)
def test_patients_add_readings_answers_doses_and_messages_of_their_own(ward, resource):
    assert create(ward, patient("a"), resource) == 201


@pytest.mark.parametrize(
    "resource",
    [
        reading("x", "b"),
        reading("x", "b", performer=[ref("Patient/a")]),
        reading("x", "nobody"),
        reading("x", "a", performer=[ref("Practitioner/n1")]),
        reading("x", "a", performer=[ref("Patient/a"), ref("Practitioner/n1")]),
        reading("x", "a", performer=[{"display": "Dr. Hansen"}]),
        reading("x", "a", subject={"identifier": {"system": "urn:x", "value": "b"}}),
        answers("b"),
        answers("a", author=ref("Practitioner/n1")),
        answers("a", source=ref("RelatedPerson/r")),
        message("Practitioner/n1", subject=ref("Patient/a")),
        message("Patient/a", subject=ref("Patient/b")),
        dose("a", "Practitioner/n1"),
        of("Goal", "g", lifecycleStatus="active", subject=ref("Patient/a"), description={"text": "x"}),
        of("CarePlan", "c", status="active", intent="plan", subject=ref("Patient/a")),
        of("Flag", "f", status="inactive", code={"text": "x"}, subject=ref("Patient/a")),
        of("PlanDefinition", "p", status="active"),
        of("Library", "l", status="active", type={"text": "x"}),
        of("Patient", "p"),
        of("CareTeam", "t", status="active", subject=ref("Patient/a")),
        of("Practitioner", "p"),
        of(
            "Task",
            "t",
            status="requested",
            intent="plan",
            **{"for": ref("Patient/a"), "owner": ref("Patient/a")},
        ),
    ],
)
def test_patients_write_nothing_else(ward, resource):
    assert create(ward, None, resource) == 201, "the resource itself is good"
    assert create(ward, patient("a"), resource) == 403


def test_patients_change_their_own_readings_and_nobody_elses(ward):
    own = reading("mine", "a", performer=[ref("Patient/a")])
    others = reading("others", "a", performer=[ref("Practitioner/n1")])
    ward.put(own), ward.put(others)
    wrong = {"status": "entered-in-error"}
    assert ward.ask(patient("a"), "PUT", "/Observation/mine", {**own, **wrong}).status_code == 200
    assert ward.ask(patient("a"), "PUT", "/Observation/others", {**others, **wrong}).status_code == 403
    taken = {**others, "performer": [ref("Patient/a")]}
    assert ward.ask(patient("a"), "PUT", "/Observation/others", taken).status_code == 403
    assert (
        ward.ask(patient("a"), "PUT", "/Observation/oa", {**reading("oa", "a"), **wrong}).status_code == 403
    )
    given = {**own, "subject": ref("Patient/b")}
    assert ward.ask(patient("a"), "PUT", "/Observation/mine", given).status_code == 403
    assert ward.ask(patient("a"), "DELETE", "/Observation/mine").status_code == 403


def test_patients_say_how_far_their_tasks_have_come(ward):
    task = of("Task", "t", status="requested", intent="plan", description="measure")
    task |= {"for": ref("Patient/a"), "owner": ref("Patient/a")}
    ward.put(task)
    ward.put({**task, "id": "theirs", "owner": ref("Practitioner/n1")})
    done = {**task, "status": "completed"}
    assert ward.ask(patient("a"), "PUT", "/Task/t", done).status_code == 200
    assert ward.ask(patient("a"), "PUT", "/Task/t", {**done, "description": "rest"}).status_code == 403
    assert ward.ask(patient("a"), "PUT", "/Task/theirs", {**done, "id": "theirs"}).status_code == 403


def test_practitioners_write_of_patients_whom_they_see(ward):
    goal = of("Goal", "g", lifecycleStatus="active", subject=ref("Patient/a"), description={"text": "x"})
    assert create(ward, nurse("n1"), goal) == 201
    assert create(ward, nurse("n1"), {**goal, "subject": ref("Patient/b")}) == 403
    assert create(ward, nurse("n1"), {**goal, "subject": ref("Patient/nobody")}) == 403
    assert create(ward, nurse("n2"), goal) == 403
    assert create(ward, nurse("n1"), team("x", "b", "Practitioner/n1")) == 403, "nobody lets themselves in"
    taken = of("Patient", "b", generalPractitioner=[ref("Practitioner/n1")])
    assert ward.ask(nurse("n1"), "PUT", "/Patient/b", taken).status_code == 404
    for resource in (of("Library", "l", status="active", type={"text": "x"}), of("Practitioner", "n1")):
        assert create(ward, nurse("n1"), resource) == 403


def test_a_batch_and_a_transaction_say_which_entry_is_refused(ward):
    entries = [
        {"resource": new(reading("x", id)), "request": {"method": "POST", "url": "Observation"}}
        for id in "ab"
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    refused = ward.ask(nurse("n1"), "POST", "", bundle)
    assert refused.status_code == 403
    assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[1]"]
    answer = ward.ask(nurse("n1"), "POST", "", {**bundle, "type": "batch"}).json()
    assert [each["response"]["status"] for each in answer["entry"]] == ["201 Created", "403 Forbidden"]


def test_administrators_write_what_is_shared_and_nothing_clinical(ward):
    admin = Grant("console", scopes("user/*.cruds"), "administrator", "x", "Practitioner/x")
    assert create(ward, admin, of("Practitioner", "p")) == 201
    assert create(ward, admin, of("Library", "l", status="active", type={"text": "x"})) == 201
    assert create(ward, admin, of("Patient", "p")) == 201
    assert create(ward, admin, reading("x", "a")) == 403
    assert ward.get(admin, "/Observation/oa").status_code == 404
    assert ward.found(admin, "/Observation") == []
    assert ward.found(admin, "/Patient?_count=2") == ["Patient/a", "Patient/b"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize(
    "headers", [{}, {"if_match": 'W/"1"'}, {"if_match": 'W/"7"'}, {"if_none_match": "*"}]
)
def test_a_hidden_resource_is_as_one_that_never_was(ward, method, headers):
    """Answered alike, whatever the condition, and not touched."""
    told = []
    for id in ("ob", "nothing"):
        body: Any = {"PUT": reading(id, "a"), "PATCH": [{"op": "remove", "path": "/method"}]}.get(method)
        more = {**headers, "content_type": "application/json-patch+json"} if method == "PATCH" else headers
        answer = ward.ask(nurse("n1"), method, f"/Observation/{id}", body, **more)
        told.append((answer.status_code, answer.content, answer.headers.get("etag")))
    assert told[0] == told[1]
    assert told[0][0] in (204, 404, 412)
    assert ward.get(None, "/Observation/ob").json()["meta"]["versionId"] == "1"
    assert ward.get(None, "/Observation/nothing").status_code == 404


def test_conditions_find_what_is_visible(ward):
    condition = {"if_none_exist": "subject=Patient/b"}
    assert create(ward, nurse("n1"), reading("x", "a")) == 201
    body = new(reading("x", "a"))
    created = ward.ask(nurse("n1"), "POST", "/Observation", body, **condition)
    assert created.status_code == 201, "what others have is no match"
    found = ward.ask(nurse("n1"), "POST", "/Observation", body, if_none_exist="_id=oa")
    assert (found.status_code, found.json()["id"]) == (200, "oa")
    assert ward.ask(nurse("n1"), "DELETE", "/Observation?_id=ob").status_code == 204
    assert ward.get(None, "/Observation/ob").status_code == 200
    updated = ward.ask(nurse("n1"), "PUT", "/Observation?_id=ob", body)
    assert (updated.status_code, updated.json()["id"] != "ob") == (201, True)
    only_create = nurse("n1", "user/Observation.c")
    assert ward.ask(only_create, "POST", "/Observation", body, **condition).status_code == 403


def test_conditional_references_lead_to_what_is_visible(ward):
    def entry(value: str) -> dict[str, Any]:
        resource = new(reading("x", "", subject=ref(f"Patient?identifier={value}")))
        return {"resource": resource, "request": {"method": "POST", "url": "Observation"}}

    def transaction(value: str) -> int:
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry(value)]}
        return ward.ask(nurse("n1"), "POST", "", bundle).status_code

    assert [transaction(value) for value in ("a", "b", "nobody")] == [200, 412, 412]


def test_reads_in_a_transaction_are_confined(ward):
    def transaction(url: str) -> int:
        entry = {"request": {"method": "GET", "url": url}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        return ward.ask(nurse("n1"), "POST", "", bundle).status_code

    paths = ("Observation/oa", "Observation/ob", "Observation/nothing", "Observation/ob/_history/1")
    assert [transaction(path) for path in paths] == [200, 404, 404, 404]


def test_a_scope_for_reading_is_none_for_writing(ward):
    reader = nurse("n1", "user/Observation.rs", "user/Observation.u?code=weight")
    assert create(ward, reader, reading("x", "a")) == 403
    assert ward.ask(reader, "PUT", "/Observation/oa", reading("oa", "a")).status_code == 403
    assert ward.ask(reader, "DELETE", "/Observation/oa").status_code == 403
    ward.put(reading("w", "a", "weight"))
    assert ward.ask(reader, "PUT", "/Observation/w", reading("w", "a", "weight")).status_code == 200
    assert ward.ask(reader, "PUT", "/Observation/w", reading("w", "a", "pulse")).status_code == 403


def test_services_choose_ids(ward):
    assert ward.ask(backend(), "PUT", "/Observation/new", reading("new", "b")).status_code == 201
    only_weights = backend("system/Observation.cruds?code=weight")
    assert ward.ask(only_weights, "PUT", "/Observation/w", reading("w", "b", "weight")).status_code == 201
    assert ward.ask(only_weights, "PUT", "/Observation/p", reading("p", "b", "pulse")).status_code == 403


def test_the_engine_and_the_log_are_the_servers(ward):
    device = ward.get(None, "/Device/varde-engine").json()
    for grant in (backend(), nurse("n1"), patient("a")):
        assert ward.ask(grant, "PUT", "/Device/varde-engine", device).status_code == 403
        assert create(ward, grant, of("AuditEvent", "x")) in (403, 422)


def test_alerts_are_written_whatever_the_writer_may(ward):
    """The engine's Flag and Task are its own: a patient who could never write one raises them by a reading."""
    ward.put(
        of(
            "Goal",
            "goal",
            lifecycleStatus="active",
            description={"text": "pulse"},
            subject=ref("Patient/a"),
            target=[
                {
                    "measure": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                    "detailRange": {"high": {"value": 100, "unit": "/min", "system": UCUM, "code": "/min"}},
                }
            ],
        )
    )
    ward.put(
        of(
            "CarePlan",
            "plan",
            status="active",
            intent="plan",
            subject=ref("Patient/a"),
            goal=[ref("Goal/goal")],
        )
    )
    high = {"value": 140, "unit": "/min", "system": UCUM, "code": "/min"}
    only_adds = patient("a", "patient/Observation.c")
    assert create(ward, only_adds, reading("x", "a", "8867-4", valueQuantity=high)) == 201
    assert len(ward.found(nurse("n1"), "/Flag?patient=a")) == 1
    assert len(ward.found(nurse("n1"), "/Task?patient=a")) == 1
    assert ward.get(only_adds, "/Flag").status_code == 403


UCUM = "http://unitsofmeasure.org"


def test_a_label_stays_on_for_those_who_broke_the_glass(ward):
    labelled = reading(
        "l", "a", meta={"security": [{"system": V, "code": "R"}]}, performer=[ref("Organization/h")]
    )
    ward.put(labelled)
    broke = nurse("n2", emergencies=("a",))
    bare = reading("l", "a", performer=[ref("Organization/h")])
    assert ward.ask(broke, "PUT", "/Observation/l", labelled).status_code == 200
    assert ward.ask(broke, "PUT", "/Observation/l", bare).status_code == 403
    author = nurse("n1", organizations=("h",))
    assert ward.ask(author, "PUT", "/Observation/l", bare).status_code == 200


def test_related_persons_add_for_their_patient_in_their_own_name(ward):
    ward.put(of("RelatedPerson", "r", patient=ref("Patient/a")))
    grant = Grant("app", scopes("patient/*.cruds"), "related", "r", "RelatedPerson/r", "a")
    assert create(ward, grant, reading("x", "a", performer=[ref("RelatedPerson/r")])) == 201
    assert create(ward, grant, reading("x", "a", performer=[ref("Patient/a")])) == 403
    ward.put(of("RelatedPerson", "r", active=False, patient=ref("Patient/a")))
    assert create(ward, grant, reading("x", "a")) == 403
    assert ward.found(grant, "/Observation") == []
