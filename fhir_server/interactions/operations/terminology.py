"""The operations of a terminology service: each reads what it needs from the store, and answers in a thread.

https://hl7.org/fhir/R4/terminology-service.html; the answers themselves are made in terminology/.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.parameters import answer, read_parameters, resources_named
from fhir_server.preconditions import present
from fhir_server.vocabulary import decoded, library, load
from terminology.asked import Asked, read
from terminology.expand import expand
from terminology.findings import Finding, TerminologyError, finding, outcome, refuse
from terminology.library import Library, Want, of_system
from terminology.lookup import lookup, subsumes
from terminology.translate import translate, wanted_maps
from terminology.validate import validate_in_system, validate_in_value_set
from terminology.versions import joined, split

Resource = dict[str, Any]
_MOST_VALIDATIONS = 1000
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T.*)?)?)?\Z")


async def expand_value_set(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/valueset-operation-expand.html"""
    return await _answered(service, request, _expand, bare="valueSet")


async def validate_code_in_value_set(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/valueset-operation-validate-code.html"""
    return await _answered(service, request, _validate_in_value_set)


async def validate_code_in_system(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/codesystem-operation-validate-code.html"""
    return await _answered(service, request, _validate_in_system)


async def batch_validate(service: Service, request: Request) -> Response:
    """Many $validate-code at once, as terminology clients send them: the shared parameters, and for each
    code a parameter `validation` with its own."""
    return await _answered(service, request, _batch_validate)


async def lookup_code(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""
    return await _answered(service, request, lambda question: lookup(*question.of_instance("codeSystem")))


async def subsumes_codes(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/codesystem-operation-subsumes.html"""
    return await _answered(service, request, lambda question: subsumes(*question.of_instance("codeSystem")))


async def translate_code(service: Service, request: Request) -> Response:
    """https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""
    return await _answered(
        service, request, lambda question: translate(*question.of_instance("conceptMap")), maps=True
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One call of an operation: what is asked, and everything that the answer can be made from."""

    parameters: Resource
    asked: Asked
    library: Library
    instance: Resource | None
    now: str

    def of_instance(self, name: str) -> tuple[Resource | None, Asked, Library]:
        """The resource that it is asked of, if one was named by id or came along."""
        return (
            self.instance or next(iter(resources_named(self.parameters, name)), None),
            self.asked,
            self.library,
        )


async def _answered(
    service: Service,
    request: Request,
    work: Callable[[Question], Resource],
    *,
    bare: str | None = None,
    maps: bool = False,
) -> Response:
    parameters = read_parameters(request, bare=bare)
    language = request.headers.get("accept-language")
    instance = await _instance(service, request) if request.id else None
    try:
        asked = _of_today(read(parameters, language), service)
        filled = await _fill(service, parameters, asked, instance, maps)
        now = service.clock().isoformat(timespec="milliseconds")
        question = Question(parameters, asked, filled, instance, now)
        return answer(await asyncio.to_thread(work, question))
    except TerminologyError as error:
        raise as_error(error) from None


async def _instance(service: Service, request: Request) -> Resource:
    """The resource that the URL names, remembered as all that is stored."""
    body = present(await service.store.read(request.type, request.id), request.type).body
    assert body is not None
    return decoded(body)


def _of_today(asked: Asked, service: Service) -> Asked:
    """Definitions are as they are now: what asks for those of another time is refused, as is a context."""
    date = asked.text("date") or ""
    if date and not _DATE.match(date):
        raise refuse("invalid", "The parameter date takes a date")
    if date[:10] < service.clock().date().isoformat()[: len(date)]:
        raise refuse("not-supported", "The date is past, and definitions are only known as they are now")
    if "context" in asked.values:
        raise refuse("not-supported", "A context is not looked up: name its value set, by url")
    return asked


async def _fill(
    service: Service, parameters: Resource, asked: Asked, instance: Resource | None, maps: bool
) -> Library:
    """A library with what came along and what the store has of all that is named.

    `maps`: those from the systems of the codes as well.
    """
    filled = library()
    given = [*resources_named(parameters, "tx-resource")]
    for name in ("valueSet", "codeSystem", "conceptMap"):
        given += resources_named(parameters, name)
    for resource in given:
        filled.add(resource)
    start = [*given, *([instance] if instance else [])]
    inner = [part["resource"] for part in _validations(parameters)]
    wants = set(_wants(asked)) | {want for each in inner for want in _wants(read(each))}
    if maps and instance is None:
        wants |= wanted_maps(asked)
    if instance:
        filled.add(instance)
    return await load(service.whole, start, wants, filled)


def _wants(asked: Asked) -> Iterator[Want]:
    """What the parameters name."""
    for name in ("url", "system", "sourceSystem"):
        url = asked.text(name)
        if url:
            bare = split(url)[0]
            yield "ValueSet", bare
            yield "ConceptMap", bare
            yield from of_system(bare)
    for value in asked.values.values():
        codings = value.get("coding", [value]) if isinstance(value, dict) else []
        for coding in codings if isinstance(codings, list) else []:
            if isinstance(coding, dict) and isinstance(coding.get("system"), str):
                yield from of_system(coding["system"])
                yield "ValueSet", coding["system"]
    for canonical in asked.several("useSupplement"):
        yield "CodeSystem", split(canonical)[0]


def _value_set(question: Question) -> Resource:
    given = question.instance or next(iter(resources_named(question.parameters, "valueSet")), None)
    if given:
        return given
    url = question.asked.text("url")
    if not url:
        raise refuse("invalid", "A value set is needed: by id, as url or as the parameter valueSet")
    bare, version = split(url)
    wanted = question.asked.version("ValueSet", bare, question.asked.text("valueSetVersion") or version)
    found = question.library.find("ValueSet", bare, wanted)
    if found is None:
        raise TerminologyError(
            finding("Unable_to_resolve_value_Set_", value_set=joined(bare, wanted)), "not-found"
        )
    return found


def _expand(question: Question) -> Resource:
    identifier = f"urn:uuid:{uuid.uuid4()}"
    return expand(_value_set(question), question.asked, question.library, identifier, question.now)


def _validate_in_value_set(question: Question) -> Resource:
    return validate_in_value_set(_value_set(question), question.asked, question.library)


def _validate_in_system(question: Question) -> Resource:
    return validate_in_system(*question.of_instance("codeSystem"))


def _batch_validate(question: Question) -> Resource:
    shared = [part for part in question.parameters["parameter"] if part.get("name") != "validation"]
    answers = []
    for part in _validations(question.parameters):
        own = part["resource"].get("parameter", [])
        names = {each.get("name") for each in own}
        both = {"parameter": [*own, *(each for each in shared if each.get("name") not in names)]}
        one = Question(both, read(both), question.library, question.instance, question.now)
        answers.append({"name": "validation", "resource": _validated(one)})
    return {"resourceType": "Parameters", "parameter": answers}


def _validated(question: Question) -> Resource:
    """One answer of many: what is wrong with one question is said in its place."""
    try:
        return _validate_in_value_set(question)
    except TerminologyError as error:
        return outcome([error.finding])


def _validations(parameters: Resource) -> list[Resource]:
    parts = [part for part in parameters.get("parameter", []) if part.get("name") == "validation"]
    if len(parts) > _MOST_VALIDATIONS:
        raise refuse("too-costly", f"At most {_MOST_VALIDATIONS} codes are validated at once")
    return [part for part in parts if isinstance(part.get("resource"), dict)]


@dataclass(frozen=True, slots=True)
class _Told(Issue):
    """A finding as an issue of ours."""

    finding: Finding | None = None

    def as_json(self) -> dict[str, Any]:
        assert self.finding is not None
        out = self.finding.as_json()
        return out | ({"expression": [self.expression]} if self.expression else {})


def as_error(error: TerminologyError) -> FhirError:
    """As the answer to a request."""
    found = error.finding
    return FhirError(
        error.category,
        issues=[_Told(found.severity, found.code, found.text, found.expression, finding=found)],
    )
