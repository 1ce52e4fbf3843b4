"""Who wrote what: the server's own Provenance, and what an application says in X-Provenance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.audit.event import Item
from profiles.structure import validate
from tests.access.asking import backend, nurse, patient, scopes

KARI = {"resourceType": "Patient", "id": "kari", "generalPractitioner": [{"reference": "Practitioner/1"}]}
OLA = KARI | {"id": "ola"}
SAID = {
    "resourceType": "Provenance",
    "recorded": "2026-11-21T08:00:00Z",
    "agent": [{"who": {"reference": "Practitioner/1"}}],
}


def reading(of: str = "kari") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{of}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    }


def provenances(fhir: Any) -> list[dict[str, Any]]:
    fhir.grant = None
    found = [entry["resource"] for entry in fhir.get("/Provenance?_sort=_id").json().get("entry", [])]
    assert all(validate(each) == [] for each in found)
    return found


def targets(provenance: dict[str, Any]) -> list[str]:
    return [target["reference"] for target in provenance["target"]]


def test_a_write_says_who_with_what_on_whose_behalf_and_which_version(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.grant = nurse("1", organizations=("o1",))
    made = fhir.post("/Observation", reading()).json()["id"]
    (said,) = provenances(fhir)
    assert targets(said) == [f"Observation/{made}/_history/1"]
    assert said["activity"]["coding"][0]["code"] == "CREATE"
    assert said["agent"][0]["who"] == {"reference": "Practitioner/1"}
    assert said["agent"][0]["onBehalfOf"] == {"reference": "Organization/o1"}
    assert said["agent"][1]["who"]["identifier"]["value"] == "ehr"
    assert said["recorded"].startswith("2026-11-21T09:00:00")


def test_what_nobody_signed_in_for_has_none(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    assert provenances(fhir) == []


@pytest.mark.parametrize(("kept", "count"), [("all", 3), ("changes", 2), ("none", 0)])
def test_readings_that_are_sent_have_theirs_by_setting(fhir_with: Any, kept: str, count: int) -> None:
    fhir = fhir_with(provenance=kept)
    fhir.grant = backend()
    fhir.put("/Patient/kari", KARI)
    made = fhir.post("/Observation", reading()).json()["id"]
    fhir.put(f"/Observation/{made}", reading() | {"id": made})  # a change of one always does
    assert len(provenances(fhir)) == count


def test_a_transaction_has_one_for_each_patient_and_activity(fhir: Any) -> None:
    fhir.grant = backend()
    fhir.put("/Patient/kari", KARI)
    sent = [{"request": {"method": "PUT", "url": f"Patient/{p['id']}"}, "resource": p} for p in (KARI, OLA)]
    sent += [{"request": {"method": "POST", "url": "Flag"}, "resource": flag(p)} for p in ("kari", "kari")]
    assert fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": sent}).status_code == 200
    _, *said = provenances(fhir)
    assert sorted((each["activity"]["coding"][0]["code"], len(each["target"])) for each in said) == [
        ("CREATE", 1),
        ("CREATE", 2),
        ("UPDATE", 1),
    ]
    for each in said:
        assert not ("kari" in str(each) and "ola" in str(each))


def flag(of: str) -> dict[str, Any]:
    return {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{of}"},
    }


def test_a_write_that_is_refused_leaves_none(fhir: Any) -> None:
    fhir.grant = backend()
    fhir.put("/Patient/kari", KARI)
    assert fhir.put("/Patient/kari", KARI, if_match='W/"9"').status_code == 412
    assert len(provenances(fhir)) == 1


# -- X-Provenance ------------------------------------------------------------------------------------


def test_what_an_application_says_is_stored_with_the_write(fhir: Any) -> None:
    made = fhir.post("/Observation", reading(), x_provenance=json.dumps(SAID)).json()["id"]
    (said,) = provenances(fhir)
    assert targets(said) == [f"Observation/{made}/_history/1"]
    assert said["agent"] == SAID["agent"] and said["recorded"] == SAID["recorded"]


def test_it_is_in_the_log_as_what_the_client_wrote(fhir: Any) -> None:
    (event,) = fhir.new(lambda: fhir.post("/Observation", reading(), x_provenance=json.dumps(SAID)))
    assert event.items[1] == Item("C", "Provenance", event.items[1].id, 1, "kari")


def test_it_goes_with_updates_patches_deletions_and_bundles(sqlite_fhir: Any) -> None:
    fhir, said = sqlite_fhir, {"x_provenance": json.dumps(SAID)}
    fhir.put("/Patient/kari", KARI, **said)
    patch = [{"op": "add", "path": "/active", "value": True}]
    fhir.request("PATCH", "/Patient/kari", patch, content_type="application/json-patch+json", **said)
    fhir.delete("/Patient/kari", **said)
    sent = [{"request": {"method": "PUT", "url": f"Patient/{p['id']}"}, "resource": p} for p in (KARI, OLA)]
    for kind in ("transaction", "batch"):
        answer = fhir.post("", {"resourceType": "Bundle", "type": kind, "entry": sent}, **said)
        assert answer.status_code == 200
    written = sorted(target for each in provenances(fhir) for target in targets(each))
    assert written == sorted(
        [f"Patient/kari/_history/{n}" for n in range(1, 6)]
        + ["Patient/ola/_history/1", "Patient/ola/_history/2"]
    )


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("{", 400),
        ("[]", 400),
        ('"x"', 400),
        ("kari", 400),
        (json.dumps({"resourceType": "Patient"}), 400),
        (json.dumps(SAID | {"target": [{"reference": "Patient/ola"}]}), 400),
        (json.dumps(SAID | {"agent": []}), 422),
        (json.dumps({"resourceType": "Provenance", "recorded": "2026-11-21T08:00:00Z"}), 422),
        (json.dumps(SAID | {"recorded": "yesterday"}), 422),
        (json.dumps(SAID | {"nonsense": 1}), 422),
    ],
)
def test_one_that_is_wrong_refuses_the_write(sqlite_fhir: Any, header: str, status: int) -> None:
    fhir = sqlite_fhir
    assert fhir.post("/Observation", reading(), x_provenance=header).status_code == status
    assert fhir.get("/Observation?_summary=count").json()["total"] == 0


def test_it_does_not_go_with_a_read(sqlite_fhir: Any) -> None:
    answer = sqlite_fhir.get("/Patient/kari", x_provenance=json.dumps(SAID))
    assert answer.status_code == 400 and "request that writes" in answer.text


def test_a_write_that_fails_leaves_nothing_of_it(sqlite_fhir: Any) -> None:
    fhir = sqlite_fhir
    fhir.put("/Patient/kari", KARI)
    assert fhir.put("/Patient/kari", KARI, if_match='W/"9"', x_provenance=json.dumps(SAID)).status_code == 412
    assert provenances(fhir) == []


def test_it_takes_a_scope_and_a_patient_speaks_for_nobody_else(sqlite_fhir: Any) -> None:
    fhir = sqlite_fhir
    fhir.put("/Patient/kari", KARI)
    own = json.dumps(SAID | {"agent": [{"who": {"reference": "Patient/kari"}}]})
    fhir.grant = patient("kari", "patient/Observation.c")
    assert fhir.post("/Observation", reading(), x_provenance=own).status_code == 403
    fhir.grant = patient("kari")
    assert fhir.post("/Observation", reading(), x_provenance=own).status_code == 201
    assert fhir.post("/Observation", reading(), x_provenance=json.dumps(SAID)).status_code == 403
    unnamed = json.dumps(SAID | {"agent": [{"who": {"display": "Dr. X"}}]})
    assert fhir.post("/Observation", reading(), x_provenance=unnamed).status_code == 403
    assert len(provenances(fhir)) == 1
    assert scopes("patient/Observation.c")[0].may == "c"


# -- who, in the log ---------------------------------------------------------------------------------


def test_the_log_says_who_asked_through_what_and_for_what(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.grant = nurse("1", organizations=("o1",), token="t1")
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari"))
    who = event.who
    assert (who.client, who.user, who.role, who.purpose) == ("ehr", "Practitioner/1", "practitioner", "TREAT")
    assert (who.organizations, who.token, who.address) == (("o1",), "t1", "127.0.0.1")


def test_what_is_refused_is_logged_with_what_is_known(fhir: Any) -> None:
    from fhir_server.errors import FhirError

    fhir.grant = patient("kari", "patient/Observation.rs")
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari"))
    assert (event.status, event.who.user, event.items) == (
        403,
        "Patient/kari",
        (Item("R", "Patient", "kari"),),
    )
    fhir.grant = FhirError("login", "Who are you?")
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari"))
    assert (event.status, event.who.user, event.items) == (401, "", ())


def test_a_patient_reads_who_looked_at_them_and_of_nobody_else(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.put("/Patient/ola", OLA)
    fhir.grant = nurse("1")
    fhir.get("/Patient/kari")
    fhir.get("/Patient/ola")
    fhir.get("/Patient")
    fhir.grant = patient("kari", "patient/AuditEvent.rs")
    found = [entry["resource"] for entry in fhir.get("/AuditEvent?_sort=_id").json()["entry"]]
    assert [each["subtype"][0]["code"] for each in found] == ["update", "read", "search-type"]
    assert "Practitioner/1" in str(found[1]) and "ola" not in str(found)
    fhir.grant = nurse("1", "user/AuditEvent.rs")
    assert fhir.get("/AuditEvent").json().get("entry", []) == []


def test_who_is_let_in_nowhere_cannot_fill_the_disk(sqlite_fhir: Any, monkeypatch: Any) -> None:
    from fhir_server.audit import trail
    from fhir_server.audit.limiter import BURST
    from fhir_server.errors import FhirError

    now = [0.0]
    monkeypatch.setattr(trail, "monotonic", lambda: now[0])
    fhir = sqlite_fhir
    fhir.grant = FhirError("login", "Who are you?")
    many = fhir.new(lambda: [fhir.get("/Patient/kari") for _ in range(int(BURST) + 70)])
    assert len(many) == BURST
    now[0] = 1.0
    assert [event.more for event in fhir.new(lambda: [fhir.get("/Patient/x") for _ in range(9)])] == [70, 0]
    fhir.grant = None  # everybody else is logged all the while
    assert len(fhir.new(lambda: fhir.get("/Patient/kari"))) == 1


def test_who_sees_what_was_written_sees_who_wrote_it_and_others_do_not(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.put("/Patient/ola", OLA | {"generalPractitioner": [{"reference": "Practitioner/2"}]})
    made = {}
    for number, of in (("1", "kari"), ("2", "ola")):
        fhir.grant = nurse(number)
        made[of] = fhir.post("/Observation", reading(of)).json()["id"]
    for grant in (nurse("1"), patient("kari")):
        fhir.grant = grant
        found = fhir.get("/Provenance").json()["entry"]
        assert [targets(entry["resource"]) for entry in found] == [[f"Observation/{made['kari']}/_history/1"]]
        id_ = found[0]["resource"]["id"]
        assert fhir.get(f"/Provenance/{id_}").status_code == 200
        assert fhir.get(f"/Provenance/{id_}/_history").json()["total"] == 1
        both = fhir.get("/Observation?_revinclude=Provenance:target").json()["entry"]
        assert [entry["resource"]["resourceType"] for entry in both] == ["Observation", "Provenance"]
        assert len(fhir.get("/Provenance?patient=kari").json()["entry"]) == 1
    fhir.grant = nurse("3")
    assert fhir.get("/Provenance").json().get("entry", []) == []
    assert fhir.get(f"/Provenance/{id_}").status_code == 404
