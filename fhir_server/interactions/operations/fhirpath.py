"""$fhirpath: an expression of FHIRPath over a resource, answered in the form that the FHIRPath Lab reads.

https://hl7.org/fhirpath/N1/, https://fhirpath-lab.com
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fhir_server.alerts.libraries import Unusable
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.asked import Asked
from fhir_server.interactions.operations.evaluate import THREADS, UNITS, Stored
from fhir_server.interactions.operations.values import content_of, grouped, value_of
from fhir_server.resource_json import decode_stored, encode
from fhir_server.settings import VERSION
from rules import fhirpath
from rules.plans.window import ZONE
from rules.values import ValueSet

_LONGEST: Final = 64 * 1024
_JSON: Final = "http://fhir.forms-lab.com/StructureDefinition/json-value"
_SYSTEM: Final = {
    "bool": "boolean", "int": "integer", "Long": "string", "Decimal": "decimal", "str": "string",
    "Date": "date", "DateTime": "dateTime", "Time": "time", "Quantity": "Quantity",
}  # fmt: skip

Part = dict[str, Any]


async def evaluate_fhirpath(service: Service, request: Request) -> Response:
    """What was asked, and a `result` for each item of `context` (or the one for the resource itself)."""
    asked = Asked(request, ("expression", "resource", "context", "variables", "validate"))
    text = asked.text("expression")
    if not text or len(text) > _LONGEST:
        raise FhirError("invalid", "expression is a text of FHIRPath, of at most 64 KiB")
    loop = asyncio.get_running_loop()
    work = _Work(Stored(service, loop), asked, text, service.clock().astimezone(ZONE), request.base)
    parameters = await loop.run_in_executor(THREADS, work.run)
    return Response(200, encode({"resourceType": "Parameters", "id": "fhirpath", "parameter": parameters}))


class _Work:
    """One request, in a thread."""

    def __init__(self, stored: Stored, asked: Asked, text: str, now: Any, base: str) -> None:
        self._stored, self._asked, self._text, self._base = stored, asked, text, base
        self._value_sets = ValueSets(stored.find)
        self._traced: list[Part] = []
        self._environment = fhirpath.Environment(
            now=now,
            units=UNITS,
            resolve=self._resolve,
            member_of=self._member_of,
            trace=lambda name, items: self._traced.append(
                {"name": "trace", "valueString": name, "part": [_part(item) for item in items]}
            ),
        )

    def run(self) -> list[Part]:
        """The parameters of the answer. FhirError("unprocessable") for what does not compile or fails."""
        resource = self._resource()
        given = [part for listed in self._asked.all("variables") for part in listed.get("part") or ()]
        variables = {name: value_of(parts) for name, parts in grouped(given).items()}
        strict = self._asked.flag("validate", default=False)
        context = self._asked.text("context")
        try:
            found = self._contexts(context, resource, variables)
            results = [self._result(place, item, resource, variables, strict) for place, item in found]
        except fhirpath.CompileError as error:
            issues = [Issue("error", "invalid", str(diagnostic)) for diagnostic in error.diagnostics[:100]]
            raise FhirError("unprocessable", issues=issues) from None
        except fhirpath.EvaluationError as error:
            raise FhirError("unprocessable", str(error)) from None
        said: list[Part] = [
            {"name": "evaluator", "valueString": f"Varde {VERSION} (R4)"},
            *([{"name": "context", "valueString": context}] if context else []),
            {"name": "expression", "valueString": self._text},
            {"name": "resource", "resource": resource},
        ]
        return [{"name": "parameters", "part": said}, *results]

    def _contexts(
        self, context: str | None, resource: Part, variables: dict[str, Any]
    ) -> list[tuple[str, fhirpath.Element]]:
        type_ = str(resource["resourceType"])
        if context is None:
            return [(type_, fhirpath.Element(resource, type_))]
        compiled = fhirpath.compile(context, type_)
        items = compiled.typed(resource, self._environment, resource=resource, **variables)
        return [
            (f"{context}[{position}]", item)
            for position, item in enumerate(items)
            if isinstance(item, fhirpath.Element)
        ]

    def _result(
        self, place: str, item: fhirpath.Element, resource: Part, variables: dict[str, Any], strict: bool
    ) -> Part:
        self._traced = []
        expression = fhirpath.compile(self._text, item.type, strict)
        found = expression.typed(item.value, self._environment, resource=resource, **variables)
        parts = [*map(_part, found), *self._traced]
        return {"name": "result", "valueString": place, **({"part": parts} if parts else {})}

    def _resource(self) -> Part:
        """The resource itself, or the one that a reference names."""
        (part, *more) = self._asked.all("resource") or [{}]
        if more or not part:
            raise FhirError("invalid", "resource is one resource, or a reference to one on this server")
        inline: Part | None = part.get("resource")
        if inline is not None:
            return inline
        found = self._resolve(str(self._asked.text("resource")))
        if found is None:
            raise FhirError("not-found", "There is no such resource")
        return found

    def _resolve(self, reference: str) -> Part | None:
        type_, _, id = reference.removeprefix(f"{self._base}/").partition("/")
        version = self._stored.read(type_, id) if type_ and id and "/" not in id else None
        return decode_stored(version.body) if version and version.body else None

    def _member_of(self, value: Any, canonical: str) -> bool | None:
        try:
            codes = self._value_sets.look_up(ValueSet(canonical)).codes
        except Unusable:
            return None
        if isinstance(value, str):
            return any(code.code == value for code in codes)
        known = {(code.system, code.code) for code in codes}
        return any((c.get("system"), c.get("code")) in known for c in value.get("coding", [value]))


def _part(item: Any) -> Part:
    """An item under the name of its type; what a parameter cannot carry is told as JSON."""
    if not isinstance(item, fhirpath.Element):
        type_ = _SYSTEM.get(type(item).__name__, "string")
        return {"name": type_, **content_of(item, "")}
    content = content_of(item.value, item.type) if item.value is not None else None
    if content is None or "part" in content:
        said = encode(item.value).decode() if isinstance(item.value, dict) else str(item.value)
        return {"name": item.type, "extension": [{"url": _JSON, "valueString": said}]}
    return {"name": item.type, **content}
