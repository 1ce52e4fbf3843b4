"""Under a grant a server answers as one whose store never held anything else (tests/access/world.py).

So nothing else is returned or counted, and nothing is revealed by a status, total, chain, order, include or
condition. Random resources with their histories, grants and requests; on both stores.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pymongo
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_server.access.grant import Grant
from fhir_server.access.withheld import OURS
from fhir_server.app import create_app, open_store
from fhir_server.settings import Settings
from tests.access.asking import Clock, scopes
from tests.access.resources import V, of, reading, ref, team
from tests.access.world import BASE, Resource, Restricted, visible_versions

NOW = "2026-11-21"
STANDING = datetime(2026, 11, 21, 12, tzinfo=UTC)
A, B, C = "a", "b", "c"
ids = st.sampled_from((A, B, C))
patients = ids.map(lambda one: ref(f"Patient/{one}"))
members = st.sampled_from(
    [
        "Practitioner/n1",
        "Practitioner/n2",
        "PractitionerRole/r",
        "Organization/h",
        "Patient/a",
        "RelatedPerson/p",
    ]
).map(ref)
codes = st.sampled_from(["pulse", "weight"])
labels = st.sampled_from([None, None, None, (V, "R"), (V, "V"), (V, "N"), (OURS, "sperret")])


@st.composite
def resources(draw: Callable[..., Any]) -> Resource:
    """One of a few ids of its type."""
    made: Resource = draw(draw(st.sampled_from(KINDS)))
    label = draw(labels)
    if label:
        made["meta"] = {"security": [{"system": label[0], "code": label[1]}]}
    return made


def some(**parts: Any) -> Any:
    """A dict with these, each or not."""
    return st.fixed_dictionaries({}, optional=parts)


def made(type: str, ids: str, required: Any = None, **optional: Any) -> Any:
    return st.builds(
        lambda one, must, may: of(type, one, **must, **may),
        st.sampled_from(ids.split()),
        st.fixed_dictionaries(required or {}),
        some(**optional),
    )


READING = st.builds(
    lambda one, patient, code, more: reading(one, patient, code, **more),
    st.sampled_from(["o1", "o1", "o2", "o3"]),
    ids,
    codes,
    some(
        performer=st.lists(members, min_size=1, max_size=2),
        effectiveDateTime=st.sampled_from(["2026-11-18", "2026-11-19"]),
        status=st.sampled_from(["final", "amended"]),
        focus=st.lists(st.sampled_from(["Patient/b", "Device/d1"]).map(ref), min_size=1, max_size=1),
    ),
)
PATIENT = made(
    "Patient",
    "a b c",
    gender=st.sampled_from(["female", "male"]),
    managingOrganization=st.just(ref("Organization/h")),
    generalPractitioner=st.lists(members.filter(lambda m: "Pract" in m["reference"]), min_size=1, max_size=1),
    link=st.lists(patients, min_size=1, max_size=1).map(
        lambda those: [{"other": those[0], "type": "seealso"}]
    ),
)
TEAM = made(
    "CareTeam",
    "t1 t2",
    {"status": st.sampled_from(["active", "active", "inactive"]), "subject": patients},
    participant=st.lists(members, min_size=1, max_size=2).map(lambda ms: [{"member": m} for m in ms]),
)
TASK = made(
    "Task",
    "k1 k2",
    {"status": st.just("requested"), "intent": st.just("order")},
    **{
        "for": patients,
        "owner": members,
        "focus": st.sampled_from(["Observation/o1", "Observation/o2"]).map(ref),
    },
)
CONSENT_CODE = {"coding": [{"code": "x"}]}
CONSENT = st.builds(
    lambda status, patient, provision: of(
        "Consent", "c1", status=status, scope=CONSENT_CODE, category=[CONSENT_CODE], policyRule=CONSENT_CODE,
        patient=patient, **({"provision": provision} if provision else {}),
    ),
    st.sampled_from(["active", "inactive"]),
    patients,
    some(
        **{
            "type": st.sampled_from(["deny", "deny", "permit"]),
            "actor": st.sampled_from(["Practitioner/n1", "Organization/h", "CareTeam/t1"]).map(
                lambda who: [{"role": {"text": "x"}, "reference": ref(who)}]
            ),
            "class": st.sampled_from(["Observation", "Task"]).map(lambda code: [{"code": code}]),
            "purpose": st.just([{"code": "HRESCH"}]),
            "period": st.sampled_from([{"end": "2026-01-01"}, {"start": "2026-01-01"}]),
            "data": st.just([{"meaning": "instance", "reference": ref("Observation/o1")}]),
        }
    ),
)  # fmt: skip
KINDS = [
    READING,
    READING,
    READING,
    PATIENT,
    PATIENT,
    TEAM,
    TEAM,
    TASK,
    CONSENT,
    made("Device", "d1 d2", patient=patients),
    made("Practitioner", "n1 n2"),
    made("PractitionerRole", "r", {"practitioner": st.just(ref("Practitioner/n1"))}, active=st.booleans()),
    made("Organization", "h", {"name": st.just("h")}),
    made("RelatedPerson", "p", {"patient": patients}, active=st.booleans()),
    made("Flag", "f1", {"status": st.just("active"), "code": st.just({"text": "x"}), "subject": patients}),
    made("EnrollmentResponse", "e"),
    made(
        "Communication",
        "m1 m2",
        {"status": st.just("completed")},
        subject=patients,
        sender=members,
        recipient=st.lists(patients, min_size=1, max_size=1),
    ),
]
# what the world begins with, so that there is something to see
OPENING = [
    *(of("Patient", id, gender=gender) for id, gender in ((A, "female"), (B, "male"))),
    of("Patient", C, managingOrganization=ref("Organization/h")),
    of("PractitionerRole", "r", practitioner=ref("Practitioner/n2")),
    team("t1", A, "Practitioner/n1"),
    team("t2", B, "PractitionerRole/r"),
    of("RelatedPerson", "p", patient=ref("Patient/a")),
    *(reading(id, patient) for id, patient in (("o1", A), ("o2", B), ("o3", C))),
]
# a resource to be put, or (type, id) to be deleted
CHANGES = st.lists(
    st.one_of(resources(), resources(), resources(), resources().map(lambda r: (r["resourceType"], r["id"]))),
    min_size=6,
    max_size=20,
)
SCOPED = st.sampled_from(
    ["*.rs", "Observation.rs", "Patient.rs", "Observation.rs?code=weight", "Task.rs", "CareTeam.rs"]
)


def scoped(level: str) -> Any:
    few = st.lists(SCOPED, min_size=1, max_size=3, unique=True)
    return st.one_of(st.just(["*.rs"]), st.just(["*.rs"]), few).map(
        lambda texts: scopes(*(f"{level}/{text}" for text in texts))
    )


organizations = st.sampled_from([(), (), ("h",)])
emergencies = st.sampled_from([(), (), (), (A,)])
PATIENT_APP = ids.flatmap(
    lambda one: st.builds(
        lambda s: Grant("app", s, "patient", "s", f"Patient/{one}", one),
        st.one_of(scoped("patient"), scoped("user")),
    )
)
CLINICIAN = st.builds(
    lambda s, user, patient, of_h, broke: Grant(
        "ehr", s, "practitioner", "s", user, patient, organizations=of_h, emergencies=broke
    ),
    st.one_of(scoped("user"), scoped("user"), scoped("patient")),
    st.sampled_from(["Practitioner/n1", "Practitioner/n2"]),
    ids,
    organizations,
    emergencies,
)
RELATED = st.builds(
    lambda s, one: Grant("app", s, "related", "s", "RelatedPerson/p", one),
    st.one_of(scoped("patient"), scoped("user")),
    st.sampled_from([A, A, B]),
)
ADMINISTRATOR = st.builds(
    lambda s: Grant("console", s, "administrator", "s", "Practitioner/n2"), scoped("user")
)
BACKEND = st.builds(
    lambda s, purpose, of_h: Grant("b", s, "system", purpose=purpose, organizations=of_h),
    scoped("system"),
    st.sampled_from(["TREAT", "TREAT", "ETREAT"]),
    organizations,
)
GRANTS = st.sampled_from(
    [PATIENT_APP, PATIENT_APP, CLINICIAN, CLINICIAN, CLINICIAN, RELATED, ADMINISTRATOR, BACKEND]
).flatmap(lambda kind: kind)

SEARCHES = [
    "/Observation",
    "/Observation?_sort=-date",
    "/Observation?_sort=date,-_lastUpdated&_count=2",
    "/Observation?_count=1&_total=accurate",
    "/Observation?_count=2&_total=none",
    "/Observation?_summary=count",
    "/Observation?patient=Patient/a&code=pulse&_sort=-date",
    "/Observation?patient=b",
    "/Observation?patient.gender=female",
    "/Observation?performer:Patient.gender=male",
    "/Observation?performer:Practitioner._id=n1",
    "/Observation?focus:Device.patient=Patient/a",
    "/Observation?subject:missing=true",
    "/Observation?performer:missing=false",
    "/Observation?code:not=pulse",
    "/Observation?_id=o1,o2,o9",
    "/Observation?_security=R,V,N",
    "/Observation?status=final&_lastUpdated=gt2020-01-01",
    "/Observation?_include=Observation:subject&_include=Observation:performer&_include=Observation:focus",
    "/Observation?_has:Task:focus:owner=Practitioner/n1",
    "/Observation?_filter=code eq pulse or patient.gender eq male",
    "/Observation?patient._has:CareTeam:patient:participant=Practitioner/n1",
    "/Patient",
    "/Patient?_sort=gender",
    "/Patient?gender:missing=true",
    "/Patient?_has:Observation:patient:code=pulse",
    "/Patient?_has:Observation:patient:performer:Practitioner._id=n1",
    "/Patient?link=Patient/b",
    "/Patient?general-practitioner=Practitioner/n1",
    "/Patient?_revinclude=Observation:subject&_revinclude:iterate=Task:focus",
    "/Practitioner?_revinclude=Observation:performer&_revinclude=CareTeam:participant",
    "/Practitioner?_has:Observation:performer:code=pulse",
    "/Practitioner?_has:CareTeam:participant:patient=a",
    "/Device",
    "/Device?patient:missing=true",
    "/Task?focus:Observation.code=pulse",
    "/Task?_include=Task:focus&_include:iterate=Observation:subject",
    "/CareTeam?patient.gender:not=male",
    "/Consent",
    "/Flag",
    "/Communication?sender=Practitioner/n1,Patient/a",
    "/Communication?subject.link=Patient/a",
    "/EnrollmentResponse",
    "/?_type=Observation,Patient,Task,EnrollmentResponse,Practitioner&_count=4",
    "/?_type=Patient,Consent,Communication&_summary=count",
    "/Patient/a/Observation",
    "/Patient/a/*?_count=50",
    "/Patient/b/Communication?_total=accurate&_count=1",
    "/Practitioner/n1/Observation",
    "/Patient/a/$everything",
    "/Patient/$everything?_type=Observation,Task",
    "/Observation/$lastn?patient=Patient/a&max=2",
    "/Observation/$stats?subject=Patient/a&code=http://loinc.org|pulse&statistic=count",
    "/Observation/$meta",
    "/Observation/_history?_count=3",
    "/Patient/_history",
    "/Consent/_history",
]  # fmt: skip
TYPES = {
    "Observation": "o1 o1 o2",
    "Patient": "a b x",
    "Task": "k1",
    "Consent": "c1",
    "EnrollmentResponse": "e",
}
READS = [
    f"/{type}/{id}{rest}"
    for type, named in TYPES.items()
    for id in named.split()
    for rest in ("", "/_history", "/_history/1", "/_history/2", "/_history/3", "/$meta")
]
PATHS = st.lists(st.one_of(st.sampled_from(SEARCHES), st.sampled_from(READS)), min_size=12, max_size=12)


class Answering:
    """An application over a store, without starting it: what is in the store is what there is."""

    def __init__(self, runner: asyncio.Runner, store: Any) -> None:
        self.grant: Grant | None = None
        self.clock: Clock | None = Clock()
        app = create_app(
            Settings(auth=False, cursor_secret="x"), store, self._now, lambda: "new", grants=self._grants
        )
        self._runner = runner
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, timeout=60)

    def _now(self) -> datetime:
        """Moves while the world is made, and stands still for the questions."""
        return self.clock() if self.clock else STANDING

    async def _grants(self, service: Any, authorization: str | None) -> Grant | None:
        return self.grant

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"content-type": "application/fhir+json"} if body is not None else {}
        url = path if path.startswith("http") else f"{BASE}{path}"
        answer = self._runner.run(
            self._http.request(method, url, content=body and json.dumps(body), headers=headers)
        )
        assert answer.status_code != 500, answer.text
        return answer

    def pages(self, path: str) -> list[Any]:
        """The answer, and those that its next links lead to."""
        told: list[Any] = []
        while path and len(told) < 30:
            answer = self.ask("GET", path)
            body = answer.json() if answer.content else None
            links = body["link"] if body and body["resourceType"] == "Bundle" else ()
            path = next((link["url"] for link in links if link["relation"] == "next"), "")
            told.append((answer.status_code, answer.headers.get("etag"), _told(body)))
        return told


def _told(body: Any) -> Any:
    """Without what is sealed in links; the total of a history, which is left out."""
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        return body
    links = [{**link, "url": re.sub(r"(_cursor|_beyond)=[^&]*", "", link["url"])} for link in body["link"]]
    body = {**body, "link": links}
    if body["type"] == "history" and not re.search("/[A-Z][A-Za-z]+/[^/?]+/_history", links[0]["url"]):
        body.pop("total", None)
    return body


def _is_granted(grant: Grant, path: str) -> bool:
    """Whether anything of the kind is: if not, 403."""
    plain = path.partition("?")[0].strip("/").split("/")
    letter = "s" if len(plain) == 1 or plain[1] in ("_history", "$lastn", "$stats", "$meta") else "r"
    type = plain[0]
    if plain[-1] not in ("_history", "$meta", "$everything") and len(plain) == 3 and plain[1] != "_history":
        type = plain[2] if plain[2] != "*" else ""
        letter = "s"
    return any(letter in s.may and s.type in ("*", type or s.type) for s in grant.scopes)


def build(app: Answering, changes: list[Any]) -> None:
    for change in changes:
        if isinstance(change, tuple):
            app.ask("DELETE", "/" + "/".join(change))
        else:
            answer = app.ask("PUT", f"/{change['resourceType']}/{change['id']}", change)
            assert answer.status_code in (200, 201), answer.text


def compare(
    runner: asyncio.Runner, store: Any, changes: list[Any], questions: list[tuple[Grant, list[str]]]
) -> None:
    app = Answering(runner, store)
    build(app, OPENING + changes)
    app.clock = None
    versions = runner.run(store.changes(0, 10_000))
    for grant, paths in questions:
        shown = visible_versions(versions, grant, NOW)
        restricted = Answering(runner, Restricted(shown, versions[-1].seq if versions else 0))
        app.grant, restricted.clock = grant, None
        for path in paths:
            told = app.pages(path)
            if not _is_granted(grant, path):
                assert [status for status, *_ in told] == [403], path
            else:
                assert told == restricted.pages(path), (path, grant)
    app.grant = None


EXAMPLE = st.tuples(CHANGES, st.lists(st.tuples(GRANTS, PATHS), min_size=3, max_size=5))
# An example is a whole world: to make a failing one smaller takes longer than to read it.
PHASES = [Phase.generate]
QUIET = [
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def on_fresh(runner: asyncio.Runner, url: str, example: Any) -> None:
    store = open_store(url)
    runner.run(store.open())
    try:
        compare(runner, store, *example)
    finally:
        runner.run(store.close())


@given(example=EXAMPLE)
@settings(max_examples=6, derandomize=True, deadline=None, phases=PHASES, suppress_health_check=QUIET)
def test_a_grant_shows_its_part_of_the_world_and_nothing_else(tmp_path_factory, runner, example):
    on_fresh(runner, f"sqlite:///{tmp_path_factory.mktemp('world')}/varde.db", example)


@given(example=EXAMPLE)
@settings(max_examples=4, derandomize=True, deadline=None, phases=PHASES, suppress_health_check=QUIET)
def test_the_same_on_mongodb(mongodb_url, runner, example):
    try:
        on_fresh(runner, mongodb_url, example)
    finally:
        server, _, name = mongodb_url.rpartition("/")
        with pymongo.MongoClient(server) as client:
            client.drop_database(name.partition("?")[0])
