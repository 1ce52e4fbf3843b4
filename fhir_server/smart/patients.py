"""The patients and encounters among which a signed-in person may choose: those that they may see.

https://hl7.org/fhir/R4/patient.html#search, https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from fhir_server.access import seen_by
from fhir_server.access.grant import Grant, ResourceScope
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.search import cursor, pages
from fhir_server.search.cursor import Place
from fhir_server.search.parse import parse
from fhir_server.search.run import prepared
from fhir_server.smart.sessions import Person

if TYPE_CHECKING:
    from fhir_server.exchange import Service

PAGE = 10
_NOWHERE = "urn:uuid:00000000-0000-0000-0000-000000000000"  # a search needs a base; nothing shows this one
_WORDS = 5  # of a name
_WRITTEN = re.compile(r"(?P<d>[0-9]{1,2})[. /]?(?P<m>[0-9]{1,2})[. /]?(?P<y>[0-9]{4})")
_ISO = re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})")
_SPECIAL = re.compile(r"([\\,$|])")


@dataclass(frozen=True, slots=True)
class Patient:
    """What a person needs to tell one patient from another. `born` is as far as it is known ("1952-03")."""

    id: str
    name: str
    born: str = ""
    gender: str = ""
    deceased: bool = False


@dataclass(frozen=True, slots=True)
class Encounter:
    """`what` is its type or class in words, "" where it says neither; `began` the date it began."""

    id: str
    what: str = ""
    began: str = ""


def within(service: Service, person: Person, patient: str | None = None) -> Service:
    """The service as this person sees it in our own pages."""
    own = person.role in ("patient", "related")
    scope = ResourceScope("patient" if own else "user", "*", "rs")
    grant = Grant(
        client="varde",
        scopes=(scope,),
        role=person.role,
        subject=person.subject,
        user=person.fhir_user,
        patient=patient if own else None,
        organizations=person.organizations,
    )
    return seen_by(service, grant)


async def own_patient(service: Service, person: Person) -> str | None:
    """The id of the patient that a patient is, or that a next of kin relates to; None where none is here."""
    type_, _, id_ = (person.fhir_user or "").partition("/")
    if type_ == "Patient":
        return id_ if await _content(service, "Patient", id_) else None
    if type_ != "RelatedPerson":
        return None
    related = await _content(service, "RelatedPerson", id_)
    if related is None or related.get("active") is False:
        return None
    if not _lasts(related.get("period", {}), service.clock().date().isoformat()):
        return None
    reference = str(related.get("patient", {}).get("reference", ""))
    match = re.fullmatch(r"Patient/([A-Za-z0-9\-.]{1,64})", reference)
    return match[1] if match and await _content(service, "Patient", match[1]) else None


async def find(service: Service, person: Person, id: str) -> Patient | None:
    """The patient of that id, if this person may see them."""
    if not re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", id):
        return None
    content = await _content(within(service, person, id), "Patient", id)
    return _patient(content) if content else None


async def search(
    service: Service, person: Person, name: str, born: str, after: str = ""
) -> tuple[list[Patient], str]:
    """A page of those whose names begin so and who were born on that day, and what leads to the next page.

    `born` is a date or "". FhirError("invalid" | "expired") for an `after` that was not given out.
    """
    words = [("name", _SPECIAL.sub(r"\\\1", word)) for word in name.split()[:_WORDS]]
    days = [("birthdate", born)] if born else []
    pairs = [*words, *days, ("_sort", "family,given"), ("_count", str(PAGE)), ("_total", "none")]
    if after:
        pairs.append(("_cursor", after))
    seen = within(service, person)
    asked = parse("Patient", pairs, strict=True, base=_NOWHERE, now=service.clock(), key=seen.key)
    asked = await prepared(seen.store, asked)
    found = await pages.page(seen.store, asked.queries)
    patients = [_patient(decode_stored(version.body)) for version in found.versions if version.body]
    if found.next is None:
        return patients, ""
    place = (asked.place or Place(None, found.snapshot)).next(found.next, None)
    return patients, cursor.seal(seen.key, asked.identity, place, asked.now)


async def encounters(service: Service, person: Person, patient: str) -> list[Encounter]:
    """The newest encounters of a patient that this person may see, at most twenty."""
    pairs = [("patient", patient), ("_sort", "-date"), ("_count", "20"), ("_total", "none")]
    seen = within(service, person, patient)
    asked = parse("Encounter", pairs, strict=True, base=_NOWHERE, now=service.clock(), key=service.key)
    asked = await prepared(seen.store, asked)
    found = await pages.page(seen.store, asked.queries)
    return [_encounter(decode_stored(version.body)) for version in found.versions if version.body]


def read_date(written: str) -> str:
    """The date in 27.03.1952, 27031952 or 1952-03-27 as FHIR writes it; "" for what is none."""
    match = _WRITTEN.fullmatch(written) or _ISO.fullmatch(written)
    try:
        return date(*(int(match[name]) for name in "ymd")).isoformat() if match else ""
    except ValueError:
        return ""


def _lasts(period: dict[str, Any], today: str) -> bool:
    """Whether today is in a Period, as exactly as that is written."""
    start, end = str(period.get("start", ""))[:10], str(period.get("end", ""))[:10]
    return start <= today[: len(start)] and (not end or today[: len(end)] <= end)


async def _content(service: Service, type_: str, id_: str) -> dict[str, Any] | None:
    try:
        version = await service.store.read(type_, id_)
    except FhirError as error:
        if error.category in ("not-found", "forbidden"):
            return None
        raise
    return decode_stored(version.body) if version is not None and version.body is not None else None


def _patient(content: dict[str, Any]) -> Patient:
    deceased = content.get("deceasedBoolean") is True or "deceasedDateTime" in content
    born = str(content.get("birthDate", ""))
    return Patient(str(content["id"]), _name(content), born, str(content.get("gender", "")), deceased)


def _name(content: dict[str, Any]) -> str:
    """The official name, or the usual one, or the first."""
    names = [name for name in content.get("name", []) if isinstance(name, dict)]
    ranked = sorted(names, key=lambda name: ("official", "usual", None).index(_use(name)))
    for name in ranked:
        parts = [*(part for part in name.get("given", []) if part), name.get("family") or ""]
        written = " ".join(parts).strip() or str(name.get("text", ""))
        if written:
            return written
    return ""


def _use(name: dict[str, Any]) -> str | None:
    use = name.get("use")
    return use if use in ("official", "usual") else None


def _encounter(content: dict[str, Any]) -> Encounter:
    concepts = [*content.get("type", []), {"coding": [content.get("class", {})]}]
    texts = (text for concept in concepts for text in _texts(concept))
    began = str(content.get("period", {}).get("start", ""))[:10]
    return Encounter(str(content["id"]), next(texts, ""), began)


def _texts(concept: dict[str, Any]) -> list[str]:
    shown = [concept.get("text"), *(coding.get("display") for coding in concept.get("coding", []) if coding)]
    return [text for text in shown if text]
