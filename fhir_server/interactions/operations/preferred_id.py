"""NamingSystem/$preferred-id: an identifier of a naming system, as the kind of identifier asked for.

https://hl7.org/fhir/R4/namingsystem-operation-preferred-id.html
"""

from __future__ import annotations

from typing import Any, Final

from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.parameters import answer, read_parameters
from fhir_server.search.query import Match, Or, Query, Test
from fhir_server.vocabulary import decoded
from terminology.code_system import value_of

_TYPES: Final = ("oid", "uuid", "uri", "other")
_PREFIXES: Final = ("urn:oid:", "urn:uuid:")
_MOST: Final = 100
_MOST_CHARACTERS: Final = 1000


async def preferred_id(service: Service, request: Request) -> Response:
    """200 with `result`; 404 where the system or that kind of identifier is not known, 422 for several."""
    asked = {part["name"]: value_of(part) for part in read_parameters(request)["parameter"]}
    given, type_ = _given(asked)
    day = str(asked.get("date") or service.clock().date().isoformat())
    forms = _forms(given)
    where = Or(tuple(Match("string", "value", (Test("exact", "=", form),)) for form in forms))
    found = await service.whole.search(Query("NamingSystem", where, count=_MOST))
    systems = [decoded(version.body) for version in found.versions if version.body]
    known = [system for system in systems if any(each.get("value") in forms for each in system["uniqueId"])]
    if len(known) > 1:
        names = ", ".join(sorted(system.get("name", "") for system in known))
        issue = Issue("error", "multiple-matches", f"Several naming systems have this identifier: {names}")
        raise FhirError("unprocessable", issues=[issue])
    if not known:
        raise FhirError("not-found", "No naming system has this identifier")
    result = _best(known[0], type_, day)
    if result is None:
        raise FhirError("not-found", f"The naming system has no identifier of the type {type_}")
    return answer({"resourceType": "Parameters", "parameter": [{"name": "result", "valueString": result}]})


def _given(asked: dict[str, Any]) -> tuple[str, str]:
    given, type_ = asked.get("id"), asked.get("type")
    if not isinstance(given, str) or not given or len(given) > _MOST_CHARACTERS:
        raise FhirError("invalid", "The parameter id is needed: a URI, an OID, a UUID or another identifier")
    if type_ not in _TYPES:
        raise FhirError("invalid", f"The parameter type is needed: one of {', '.join(_TYPES)}")
    return given, type_


def _forms(given: str) -> list[str]:
    """An OID or UUID with and without the prefix that makes it a URI."""
    bare = next((given.removeprefix(prefix) for prefix in _PREFIXES if given.startswith(prefix)), given)
    return list(dict.fromkeys([given, bare, *(f"{prefix}{bare}" for prefix in _PREFIXES)]))


def _best(system: dict[str, Any], type_: str, day: str) -> str | None:
    """The preferred identifier of a type on a day, or else any of it."""
    there = [each for each in system["uniqueId"] if each.get("type") == type_ and _holds(each, day)]
    there.sort(key=lambda each: not each.get("preferred", False))
    return str(there[0]["value"]) if there else None


def _holds(identifier: dict[str, Any], day: str) -> bool:
    period = identifier.get("period", {})
    start, end = period.get("start", "")[:10], period.get("end", "")[:10]
    return start <= day[:10] and (not end or day[: len(end)] <= end)
