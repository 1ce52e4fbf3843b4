"""What people do on the pages is in the log of accesses, and nothing in it that it must not have."""

from __future__ import annotations

import json
from typing import Any

from fhir_server.smart import tokens
from fhir_server.smart.codes import Approval
from fhir_server.smart.terms import Terms
from tests.smart.site import Site, answered
from tests.smart.test_launch import SYSTEM
from tests.smart.visitor import SITE


def events(site: Site) -> list[dict[str, Any]]:
    """The AuditEvents that there are, oldest first, as a system that may read them sees them."""
    site.register(SYSTEM)
    now = site.clock.microseconds
    approval = Approval("system", "system/*.cruds", f"{SITE}/fhir", "system", "system", None, (), now)
    issued = site.transact(lambda tx: tokens.begin(tx, tokens.new_family(), approval, Terms(), now))
    headers = {"authorization": f"Bearer {issued.access}"}
    answer = site.visitor().request("GET", "/fhir/AuditEvent?_count=200&_sort=date", headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in json.loads(answer.content).get("entry", [])]


def what(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (
            event["subtype"][0].get("display") or event["subtype"][0]["code"],
            event["outcome"],
            next((agent["who"].get("reference", "") for agent in event["agent"] if agent["requestor"]), ""),
        )
        for event in events
    ]


def of_patient(event: dict[str, Any]) -> list[str]:
    return [
        each["what"]["reference"]
        for each in event.get("entity", [])
        if each.get("type", {}).get("code") == "1"
    ]


def test_on_either_store_the_way_to_an_application(either_site: Site) -> None:
    visitor = either_site.visitor()
    page = visitor.sign_in(either_site.authorize(visitor, scope="patient/Goal.rs"), "anne", "wrong")
    page = visitor.sign_in(page, "anne")
    page = visitor.send(page, "patient", name="Nordmann", born="", do="search")
    page = visitor.send(page, "patient", patient="p1")
    page = visitor.post("/auth/consent", answered(page.form("consent"), "0.see"))
    visitor.send(visitor.get("/auth/apps"), "apps")
    visitor.send(visitor.get("/auth/home"), "sign-out")
    noted = events(either_site)
    doctor = "Practitioner/d1"
    assert what(noted) == [
        ("Login", "4", doctor),
        ("Login", "0", doctor),
        ("search-type", "0", doctor),
        ("search-type", "0", doctor),
        ("read", "0", doctor),
        ("granted", "0", doctor),
        ("revoked", "0", doctor),
        ("Logout", "0", doctor),
    ]
    assert [of_patient(event) for event in noted[2:6]] == [
        ["Patient/p1"], ["Patient/p2"], ["Patient/p1"], ["Patient/p1"],
    ]  # fmt: skip
    assert all(
        secret not in json.dumps(noted)
        for secret in ("Nordmann", "wrong", "anne has a password", "Tm9yZG1hbm4")
    )


def test_refusing_is_noted_too(site: Site) -> None:
    visitor = site.visitor()
    page = site.consent(visitor)
    visitor.post("/auth/consent", answered(page.form("consent"), decision="deny"))
    assert [each for each in what(events(site)) if each[0] == "denied"] == [("denied", "0", "Patient/p1")]


def test_who_is_not_known_is_noted_without_what_they_typed(site: Site) -> None:
    visitor = site.visitor()
    visitor.sign_in(visitor.get("/auth/sign-in"), "a-password-typed-in-the-wrong-field", "x")
    (noted,) = events(site)
    assert (noted["outcome"], noted["type"]["code"]) == ("4", "110114")
    assert "a-password-typed" not in json.dumps(noted)
    assert noted["agent"][0]["network"]["address"] == "192.0.2.7"
