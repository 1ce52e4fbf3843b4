"""CQL over HTTP: $cql evaluates an expression, Library/$evaluate the definitions of a library.

https://hl7.org/fhir/uv/cql/OperationDefinition-cql-cql.html,
https://hl7.org/fhir/uv/cql/OperationDefinition-cql-library-evaluate.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from fhir_server.alerts.evidence import MOST_READINGS, is_real, query_of, time_if_counted, wanted
from fhir_server.alerts.libraries import (
    CQL,
    Libraries,
    Resource,
    Source,
    Unusable,
    Used,
    stored,
)
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.asked import Asked
from fhir_server.interactions.operations.values import grouped, parameters_of, type_of, value_of
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.extract import extract
from fhir_server.search.lookup import TERMINOLOGY
from fhir_server.search.query import Query
from fhir_server.store.base import Found, Version
from rules import cql
from rules.plans.window import ZONE
from rules.runtime.units import TextUnits
from terminology import ucum

STEPS: Final = 2_000_000  # of one definition, in rounds of loops
SECONDS: Final = 20.0  # for all definitions of one request
MOST_DATA: Final = 20_000  # resources in one evaluation
_LONGEST: Final = 128 * 1024
_SHARED: Final = ("subject", "parameters", "useServerData", "data")
UNITS: Final = TextUnits(ucum.convert)
# Threads of their own: an evaluation that takes long must not keep a write waiting for one.
THREADS = ThreadPoolExecutor(2, thread_name_prefix="cql")


async def evaluate_cql(service: Service, request: Request) -> Response:
    """$cql: the value of `expression`, which may use the libraries that are named, as `return`."""
    asked = Asked(request, ("expression", "library", *_SHARED))
    text = asked.text("expression")
    if not text or len(text) > _LONGEST:
        raise FhirError("invalid", "expression is a text of CQL, of at most 128 KiB")
    return await _answer(service, request, lambda work: work.expression(asked, text))


async def evaluate_library(service: Service, request: Request) -> Response:
    """Library/$evaluate and Library/ID/$evaluate: each `expression`, or every public definition."""
    asked = Asked(request, ("url", "expression", *_SHARED) if not request.id else ("expression", *_SHARED))
    if not request.id and not asked.text("url"):
        raise FhirError("invalid", "url names the Library")
    return await _answer(service, request, lambda work: work.library(asked, request.id))


async def _answer(
    service: Service, request: Request, evaluate: Callable[[_Work], list[dict[str, Any]]]
) -> Response:
    loop = asyncio.get_running_loop()
    work = _Work(service, request.base, loop)
    parameters = await loop.run_in_executor(THREADS, evaluate, work)
    return Response(200, encode({"resourceType": "Parameters", "parameter": parameters}))


@dataclass(frozen=True, slots=True)
class _Given:
    """What definitions are evaluated with."""

    subject: str | None
    server: bool
    data: Sequence[Resource]


class Stored:
    """The store as a thread sees it: what it asks goes through the event loop.

    Of value sets and code systems it sees all, of everything else what the requester may see.
    """

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._whole, self._loop = service.store, service.whole, loop

    def find(self, query: Query) -> Sequence[Version]:
        store = self._whole if query.type in TERMINOLOGY else self._store
        found: Found = self._wait(store.search(query))
        return found.versions

    def read(self, type_: str, id: str) -> Version | None:
        found: Version | None = self._wait(self._store.read(type_, id))
        return found

    def _wait(self, asked: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()


class _Work:
    """One request, in a thread."""

    def __init__(self, service: Service, base: str, loop: asyncio.AbstractEventLoop) -> None:
        self._service, self._base = service, base
        asked_in_thread = Stored(service, loop)
        self._find, self._read = asked_in_thread.find, asked_in_thread.read
        self._libraries = Libraries(self._find)
        self._value_sets = ValueSets(self._find)
        self._now = service.clock().astimezone(ZONE)
        self._until = monotonic() + SECONDS

    # The two operations

    def expression(self, asked: Asked, text: str) -> list[dict[str, Any]]:
        given = self._given(asked)
        groups = grouped((asked.resource("parameters", "Parameters") or {}).get("parameter") or ())
        included = dict(map(self._named, asked.all("library")))
        used = self._compiled(text, included, {name: type_of(parts) for name, parts in groups.items()}, given)
        values = {name: value_of(parts) for name, parts in groups.items()}
        return self._results(used, {"expression": "return"}, values, given)

    def library(self, asked: Asked, id: str) -> list[dict[str, Any]]:
        given = self._given(asked)
        used = self._stored_library(id, asked.text("url") if not id else None)
        names = asked.texts("expression") or list(used.library.defines)
        missing = [name for name in names if name not in used.library.defines]
        if missing:
            raise FhirError("invalid", f"The library defines no {missing[0][:64]}")
        types = used.library.compiled.typed.parameters
        groups = grouped((asked.resource("parameters", "Parameters") or {}).get("parameter") or ())
        values = {
            name: value_of(parts, types[name].type if name in types else None)
            for name, parts in groups.items()
        }
        return self._results(used, {name: name for name in names}, values, given)

    # Libraries

    def _stored_library(self, id: str, canonical: str | None) -> Used:
        if canonical is not None:
            resource = self._libraries.by_canonical(canonical)
        else:
            version = self._read("Library", id)
            resource = decode_stored(version.body) if version and version.body else None
        if resource is None:
            raise FhirError("not-found", "There is no such Library")
        return self._usable(resource)

    def _usable(self, resource: Resource) -> Used:
        try:
            return self._libraries.compiled(resource)
        except Unusable as problem:
            raise FhirError("unprocessable", str(problem), expression=problem.expression or None) from None
        except cql.CompileError as error:
            raise _refused(error, 0) from None

    def _named(self, part: dict[str, Any]) -> tuple[str, Used]:
        """A `library` of $cql: its name in the expression, and the library."""
        parts = {p.get("name"): p for p in part.get("part") or ()}
        url = next((v for k, v in parts.get("url", {}).items() if k.startswith("value")), None)
        if not isinstance(url, str):
            raise FhirError("invalid", "library has a part url, and perhaps a name")
        resource = self._libraries.by_canonical(url)
        if resource is None:
            raise FhirError("invalid", "There is no Library of that url")
        used = self._usable(resource)
        return str(parts.get("name", {}).get("valueString") or used.library.name or "Library"), used

    def _compiled(self, text: str, included: dict[str, Used], types: dict[str, str], given: _Given) -> Used:
        """The expression as the one definition of a library."""
        uses = "using FHIR version '4.0.1'\ninclude FHIRHelpers version '4.0.1' called FHIRHelpers\n"
        lines = [f"include {_quoted(name)} called {_quoted(name)}\n" for name in included]
        lines += [f"parameter {_quoted(name)} {type_}\n" for name, type_ in types.items()]
        context = "Patient" if given.subject or given.data else "Unfiltered"
        body = f'context {context}\ndefine "expression":\n'
        header = "".join((uses, *lines, body))
        libraries = Libraries(self._find, known=included)
        if not (included or given.subject or given.data):
            try:  # plain CQL, whose names are not those of FHIR's types
                return libraries.compile(Source(CQL, "".join((*lines, body, text)).encode(), ""))
            except cql.CompileError:
                pass
        try:
            return libraries.compile(Source(CQL, (header + text).encode(), ""))
        except cql.CompileError as error:
            raise _refused(error, header.count("\n")) from None

    # Data

    def _given(self, asked: Asked) -> _Given:
        subject = asked.text("subject")
        if subject is not None:
            subject = subject.removeprefix(f"{self._base}/")
            type_, _, subject = subject.partition("/")
            if type_ != "Patient" or not subject or "/" in subject:
                raise FhirError("invalid", "subject is a reference to a patient: Patient/ID")
        bundle = asked.resource("data", "")
        data = _resources_in(bundle) if bundle else []
        return _Given(subject, asked.flag("useServerData", default=True), _of_subject(data, subject))

    def _data(self, used: Used, names: Iterable[str], given: _Given) -> list[Resource]:
        """What is given, and what the definitions ask for of the subject's data on this server."""
        data = list(given.data)
        if given.subject is None or not given.server:
            return data
        known = {(resource.get("resourceType"), resource.get("id")) for resource in data}
        patient = self._read("Patient", given.subject)
        if patient is not None and patient.body is not None:
            data.append(decode_stored(patient.body))
        elif ("Patient", given.subject) not in known:
            raise FhirError("not-found", "There is no such patient")
        needs = [cql.needs(used.library, name) for name in names]
        for type_, codes in wanted(needs, self._value_sets).items():
            if type_ != "Patient":
                query = query_of(type_, given.subject, codes, MOST_READINGS + 1)
                found = [resource for resource in stored(self._find, query) if is_real(resource)]
                if len(found) > MOST_READINGS:
                    raise cql.EvaluationError(f"the patient has more than {MOST_READINGS} of {type_}")
                data += sorted(found, key=_place)
        return [one for one in data if one in given.data or (one["resourceType"], one.get("id")) not in known]

    # Evaluation

    def _results(
        self, used: Used, names: dict[str, str], values: dict[str, Any], given: _Given
    ) -> list[dict[str, Any]]:
        """The values of these definitions, each under its name; all that fail in one FhirError."""
        zone = self._now.isoformat()[-6:]
        results: list[dict[str, Any]] = []
        issues: list[Issue] = []
        try:
            data = self._data(used, names, given)
            if len(data) > MOST_DATA:
                raise cql.EvaluationError(f"there are more than {MOST_DATA} resources")
        except cql.EvaluationError as error:
            raise FhirError("unprocessable", str(error)) from None
        for name, shown in names.items():
            try:
                value = self._value(used.library, name, data, values)
                type_ = used.library.compiled.typed.expressions[name].body.type
                results += parameters_of(shown, value, type_, zone)
            except cql.EvaluationError as error:
                issues.append(Issue("error", "processing", f"{shown}: {error}"))
        if issues:
            raise FhirError("unprocessable", issues=issues)
        return results

    def _value(self, library: cql.Library, name: str, data: list[Resource], values: dict[str, Any]) -> Any:
        if monotonic() > self._until:
            raise cql.EvaluationError(f"the request has taken more than {SECONDS:.0f} seconds")
        return library.evaluate(
            name,
            resources=data,
            parameters=values,
            now=self._now,
            valuesets=self._value_sets,
            units=UNITS,
            steps=STEPS,
            typed=True,
        )


def _refused(error: cql.CompileError, above: int) -> FhirError:
    """Every diagnostic as an issue, its line counted from the client's own text."""
    said = [f"{max(d.line - above, 1)}:{d.column}: {d.kind}: {d.message}" for d in error.diagnostics]
    return FhirError("unprocessable", issues=[Issue("error", "invalid", text) for text in said[:100]])


def _resources_in(bundle: Resource) -> list[Resource]:
    if bundle.get("resourceType") != "Bundle":
        return [bundle]
    entries = bundle.get("entry") or ()
    return [entry["resource"] for entry in entries if isinstance(entry.get("resource"), dict)]


def _of_subject(data: list[Resource], subject: str | None) -> list[Resource]:
    """The data of the one patient that there is, or that is named; and those that are nobody's."""
    patients = {resource.get("id") for resource in data if resource.get("resourceType") == "Patient"}
    if subject is None and len(patients) > 1:
        raise FhirError("invalid", "The data are of several patients: name one as the subject")
    one = subject or next(iter(patients), None)
    if one is None:
        return data
    return [r for r in data if extract(str(r.get("resourceType")), r).patient in (None, one)]


def _place(resource: Resource) -> tuple[int, str]:
    return (time_if_counted(resource) or 0, str(resource.get("id")))


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
