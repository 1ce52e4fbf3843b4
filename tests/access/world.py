"""A slow, obviously right answer to what a grant shows: rules on plain resources, and a store on a list.

Written from the module docstrings of fhir_server/access and the specifications they name, without the query
tree: `sees` says of one resource whether it is visible, `Restricted` is the store of a server that never had
anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.access.grant import Grant, ResourceScope
from fhir_server.resource_json import decode_stored
from fhir_server.search.extract import extract
from fhir_server.search.query import Query
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Version
from tests.store.conftest import SlowStore

BASE = "http://varde.test/fhir"
Resource = dict[str, Any]
World = dict[tuple[str, str], Resource]  # what is current

SHARED = {"Practitioner", "PractitionerRole", "Organization", "Medication", "Library"}
# the elements by which a resource is in a patient's compartment, those that say whom it is about first
IN = {
    "Patient": ["link.other"],
    "Observation": ["subject", "performer"],
    "CareTeam": ["subject", "participant.member"],
    "Communication": ["subject", "sender", "recipient"],
    "Consent": ["patient"],
    "Device": ["patient"],
    "Flag": ["subject"],
    "RelatedPerson": ["patient"],
    "Task": ["for"],
}
AUTHOR = {
    "Observation": ["performer"],
    "Communication": ["sender"],
    "Consent": ["organization"],
    "Flag": ["author"],
    "Patient": ["managingOrganization"],
    "Task": ["requester"],
}


def at(node: Any, path: str) -> Iterator[Any]:
    head, _, rest = path.partition(".")
    for item in node if isinstance(node, list) else [node]:
        if isinstance(item, dict) and head in item:
            found = item[head]
            for each in found if isinstance(found, list) else [found]:
                yield from (at(each, rest) if rest else [each])


def references(resource: Resource, paths: Iterable[str]) -> set[str]:
    return {each["reference"] for path in paths for each in at(resource, path) if "reference" in each}


def patients(references: Iterable[str]) -> set[str]:
    return {each.removeprefix("Patient/") for each in references if each.startswith("Patient/")}


def name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


# -- what is granted


def sees(world: World, grant: Grant, resource: Resource, now: str) -> bool:
    return any(_gives(world, grant, scope, resource) for scope in grant.scopes) and not _withheld(
        world, grant, resource, now
    )


def _gives(world: World, grant: Grant, scope: ResourceScope, resource: Resource) -> bool:
    type = resource["resourceType"]
    if scope.type not in ("*", type):
        return False
    for code, value in scope.criteria:
        if type != "Observation":
            return False  # no other type of this world has these parameters
        said = {"code": [c["code"] for c in resource["code"]["coding"]], "status": [resource["status"]]}
        if value not in said[code]:
            return False
    if scope.level == "system":
        return grant.role in ("system", "administrator")
    if type in SHARED:
        return True
    if type not in IN:
        return False
    linked = patients(references(resource, IN[type])) | ({resource["id"]} if type == "Patient" else set())
    if type == "Patient":  # of itself, this version says who cares
        world = {**world, ("Patient", resource["id"]): resource}
    if type == "Device" and not linked:
        return True
    if grant.role == "administrator":
        return type in ("CareTeam", "Consent", "Device", "Patient", "RelatedPerson")
    if grant.role in ("patient", "system"):
        if scope.level == "user":
            return grant.role == "patient" and grant.user is not None and _id(grant.user) in linked
        if grant.role == "patient" and grant.user != f"Patient/{grant.patient}":
            return False
        return grant.patient in linked
    if scope.level == "patient":
        return grant.patient in linked and _cares(world, grant, str(grant.patient))
    about = patients(references(resource, IN[type][:1])) if type != "Patient" else {resource["id"]}
    if grant.role == "practitioner" and type in ("Flag", "Task") and not about:
        return True
    return any(_cares(world, grant, patient) for patient in about)


def _id(reference: str) -> str:
    return reference.partition("/")[2]


def _names(world: World, grant: Grant) -> set[str]:
    """By what references the user is meant."""
    mine = {str(grant.user)} | {f"Organization/{id}" for id in grant.organizations}
    for (type, id), resource in world.items():
        of_user = references(resource, ["practitioner"]) == {grant.user}
        if type == "PractitionerRole" and of_user and resource.get("active") is not False:
            mine.add(f"PractitionerRole/{id}")
    return mine


def _cares(world: World, grant: Grant, id: str) -> bool:
    """Whether the user may see a patient, who has to be there."""
    patient = world.get(("Patient", id))
    if patient is None:
        return False
    if grant.role == "related":
        person = world.get(("RelatedPerson", _id(str(grant.user))))
        return bool(
            person
            and person.get("active") is not False
            and references(person, ["patient"]) == {f"Patient/{id}"}
        )
    mine = _names(world, grant)
    if id in grant.emergencies or references(patient, ["generalPractitioner"]) & mine:
        return True
    if references(patient, ["managingOrganization"]) & {f"Organization/{o}" for o in grant.organizations}:
        return True
    return any(
        type == "CareTeam"
        and team.get("status") == "active"
        and references(team, ["subject"]) == {f"Patient/{id}"}
        and references(team, ["participant.member"]) & mine
        for (type, _), team in world.items()
    )


# -- what is withheld


def _withheld(world: World, grant: Grant, resource: Resource, now: str) -> bool:
    type = resource["resourceType"]
    if type in SHARED or (grant.role == "system" and grant.purpose in ("ETREAT", "BTG")):
        return False
    linked = patients(references(resource, IN.get(type, ()))) | (
        {resource["id"]} if type == "Patient" else set()
    )
    if linked & set(grant.emergencies):
        return False
    labels = {label["code"] for label in resource.get("meta", {}).get("security", ())}
    wrote = grant.role != "patient" and references(resource, AUTHOR.get(type, ())) & _names(world, grant)
    hiding = {"V"} if grant.role == "patient" else {"V", "R", "sperret"}
    if labels & hiding and not wrote:
        return True
    if grant.role == "patient":
        return False
    if grant.role == "administrator" and type in (
        "CareTeam",
        "Consent",
        "Device",
        "Patient",
        "RelatedPerson",
    ):
        return False
    return any(
        kind == "Consent" and _denies(world, grant, consent, resource, linked, now)
        for (kind, _), consent in world.items()
    )


def _denies(
    world: World, grant: Grant, consent: Resource, resource: Resource, linked: set[str], now: str
) -> bool:
    provision = consent.get("provision", {})
    if consent["status"] != "active" or provision.get("type") != "deny":
        return False
    period = provision.get("period", {})
    if period.get("start", "") > now or period.get("end", "9") < now:
        return False
    if "purpose" in provision and grant.purpose not in [each["code"] for each in provision["purpose"]]:
        return False
    actors = references(provision, ["actor.reference"])
    mine = _names(world, grant)
    teams = {
        f"CareTeam/{id}"
        for (type, id), team in world.items()
        if type == "CareTeam" and references(team, ["participant.member"]) & mine
    }
    if actors and not actors & (mine | teams):
        return False
    if "data" in provision:
        return name(resource) in references(provision, ["data.reference"])
    if "class" in provision and resource["resourceType"] not in [each["code"] for each in provision["class"]]:
        return False
    concerned = patients(references(consent, ["patient"]))
    return bool(linked & {id for id in concerned if ("Patient", id) in world})


# -- the world without the rest


def visible_versions(versions: Sequence[Version], grant: Grant, now: str) -> list[Version]:
    """Those that are visible, in the order of commits."""
    histories: dict[tuple[str, str], list[Version]] = {}
    for version in versions:
        histories.setdefault((version.type, version.id), []).append(version)
    world = {key: decode_stored(all[-1].body) for key, all in histories.items() if all[-1].body}
    shown = []
    for history in histories.values():
        bodies: list[Resource] = []  # of each version; of a deletion, what it deleted
        for version in history:
            bodies.append(decode_stored(version.body) if version.body else bodies[-1])
        seen = [sees(world, grant, body, now) for body in bodies]
        if seen[-1]:
            shown += [version for version, is_seen in zip(history, seen, strict=True) if is_seen]
    return sorted(shown, key=lambda version: version.seq)


class Restricted:
    """A store that has these versions and never had others."""

    name = "restricted"

    def __init__(self, versions: Sequence[Version], newest: int) -> None:
        self.versions, self.newest = versions, newest
        self.slow = SlowStore()
        for version in versions:
            tree = decode_stored(version.body) if version.body else None
            self.slow.add(version, extract(version.type, tree, BASE) if tree else None)

    @property
    def whole(self) -> Any:
        return self

    async def read(self, type: str, id: str) -> Version | None:
        return next((v for v in reversed(self.versions) if (v.type, v.id) == (type, id)), None)

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        of = (type, id, version)
        return next((v for v in self.versions if (v.type, v.id, v.version) == of), None)

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        found = [v for v in reversed(self.versions) if type in (None, v.type) and id in (None, v.id)]
        behind = [v for v in found if excerpt.beyond is None or v.seq < excerpt.beyond]
        page = behind[: excerpt.count]
        more = len(behind) > len(page)
        return Chapter(tuple(page), page[-1].seq if more else None, len(found))

    async def search(self, query: Query) -> Found:
        found = self.slow.search(replace(query, snapshot=None))
        places = [(*(None for _ in query.sort), version.seq) for version in found]
        start = 0
        if query.after:  # in the order of commits it may be the place of another type's
            beyond = [at for at, place in enumerate(places) if place[-1] == query.after[-1]]
            later = [at - 1 for at, place in enumerate(places) if place[-1] > query.after[-1]]
            start = (beyond or later or [len(places)])[0] + 1
        page, where = found[start : start + query.count], places[start : start + query.count]
        more = start + query.count < len(found)
        return Found(tuple(page), where[-1] if more and where else None, self.newest, tuple(where))

    async def count(self, query: Query, at_most: int | None = None) -> int:
        return len(self.slow.search(replace(query, snapshot=None))[:at_most])
