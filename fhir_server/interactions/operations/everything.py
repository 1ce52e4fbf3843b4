"""Everything that is known of a patient, or that belongs to an encounter, page by page.

https://hl7.org/fhir/R4/patient-operation-everything.html,
https://hl7.org/fhir/R4/encounter-operation-everything.html. A page has resources of the compartment, in the
order in which they were written, and what they refer to that is in no patient's compartment (practitioners,
organisations, places, medications).
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.asked import Asked
from fhir_server.search import compartments, parameters
from fhir_server.search.parameters import BadValue, Scope, date
from fhir_server.search.parse import continued, parse
from fhir_server.search.query import And, Match, Node, Not, Or, Test
from fhir_server.search.request import Include, Scene, Search
from fhir_server.search.run import run
from fhir_server.store.base import Store
from profiles.definitions import load

_OF_PATIENTS = ("start", "end", "_since", "_type", "_count", "_cursor")
_OF_ENCOUNTERS = ("_since", "_type", "_count", "_cursor")
# When care took place, for types whose parameter for it is not called `date`.
_DATES = {
    "Condition": "onset-date",
    "Goal": "start-date",
    "ImagingStudy": "started",
    "Media": "created",
    "MedicationAdministration": "effective-time",
    "MedicationDispense": "whenhandedover",
    "MedicationRequest": "authoredon",
    "MedicationStatement": "effective",
    "QuestionnaireResponse": "authored",
    "ServiceRequest": "authored",
    "Communication": "sent",
}


async def everything(service: Service, request: Request) -> Response:
    """200 with a searchset Bundle; 404 where the patient or encounter is not there."""
    name = request.type
    asked = Asked(request, _OF_PATIENTS if name == "Patient" else _OF_ENCOUNTERS)
    said = {each: text for each in _OF_PATIENTS if (text := asked.text(each)) is not None}
    if request.id:
        await _check(service.store, name, request.id)
    search = _search(service, request, said)
    return Response(200, await run(service.store, search, key=service.key))


async def _check(store: Store, type: str, id: str) -> None:
    found = await store.read(type, id)
    if found is None or found.deleted:
        raise FhirError("deleted" if found else "not-found", f"There is no such {type}")


def _search(service: Service, request: Request, said: dict[str, str]) -> Search:
    path = "/".join(part for part in (request.type, request.id, "$everything") if part)
    scene = Scene(compartments.types(request.type), path, (request.type, request.id))
    pairs: list[tuple[str, str]] = [(name, said[name]) for name in ("_type", "_count") if name in said]
    if "_since" in said:
        pairs.append(("_lastUpdated", f"ge{said['_since']}"))
    search = parse(scene, pairs, strict=True, base=request.base, now=service.clock(), key=service.key)
    within = _period(said, Scope(request.base, search.now))
    queries = [
        replace(query, where=And((query.where, *_while(query.type, within)))) for query in search.queries
    ]
    applied = tuple(pair for pair in said.items() if pair[0] != "_cursor")
    includes = _shared(said.get("_type"), request.type)
    search = replace(search, queries=tuple(queries), applied=applied, includes=includes)
    return continued(search, said["_cursor"], service.key) if "_cursor" in said else search


def _period(said: dict[str, str], scope: Scope) -> tuple[int | None, int | None]:
    """[since, until) of the care, in microseconds."""
    try:
        since = date.search_range(f"eq{said['start']}", scope)[1] if "start" in said else None
        until = date.search_range(f"eq{said['end']}", scope)[2] if "end" in said else None
    except BadValue as problem:
        raise FhirError("invalid", f"start and end: {problem}") from None
    return since, until


def _while(type: str, within: tuple[int | None, int | None]) -> list[Node]:
    """Care that took place then, at least in part; what has no date for it belongs to all times."""
    since, until = within
    tests = []
    if since is not None:
        tests.append(Test("high", ">", since))
    if until is not None:
        tests.append(Test("low", "<", until))
    code = _DATES.get(type, "date")
    parameter = parameters.of(type).get(code)
    if not tests or parameter is None or parameter.type != "date":
        return []
    return [Or((Match("date", code, tuple(tests)), Not(Match("date", code))))]


def _shared(types: str | None, name: str) -> tuple[Include, ...]:
    """What resources of the compartment refer to and patients have in common; an encounter's patient too."""
    of_patients = set(compartments.types("Patient")) - ({"Patient"} if name == "Encounter" else set())
    wanted = types.split(",") if types else load().resource_types
    return tuple(Include(None, None, type) for type in wanted if type not in of_patients)
