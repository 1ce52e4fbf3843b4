"""Libraries and PlanDefinitions as they are written: what does not compile is refused, with every diagnostic.

Checked in the transaction of the write, where those of the same Bundle are there already. Compiling is done
before it, so that a large library does not hold up the other writers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.alerts.definitions import Reader
from fhir_server.alerts.libraries import Find, Libraries, Unusable, source_of
from fhir_server.errors import Issue
from fhir_server.search.query import Query
from fhir_server.store.base import Store, Version
from rules import cql

CHECKED = frozenset(("Library", "PlanDefinition"))
_CODES = {"unsupported": "not-supported", "include": "not-found"}
_MOST_ISSUES = 100


def check(resource: dict[str, Any], libraries: Libraries) -> list[Issue]:
    """What is wrong with the logic of a Library or PlanDefinition, as errors that refuse the write (422)."""
    if resource["resourceType"] == "Library":
        return _check_library(resource, libraries)[:_MOST_ISSUES]
    definition = Reader(resource, libraries).read()
    return [Issue("error", flaw.code, flaw.message, flaw.expression) for flaw in definition.flaws][
        :_MOST_ISSUES
    ]


async def warm(store: Store, resources: Iterable[dict[str, Any]]) -> None:
    """Compile what these need, with what is stored now, so that the transaction finds it compiled."""
    written = [resource for resource in resources if resource.get("resourceType") in CHECKED]
    if written:
        loop = asyncio.get_running_loop()

        def find(query: Query) -> Sequence[Version]:
            return asyncio.run_coroutine_threadsafe(store.search(query), loop).result().versions

        await asyncio.to_thread(_warm, find, written)


def _warm(find: Find, written: list[dict[str, Any]]) -> None:
    libraries = Libraries(find, written)
    for resource in written:
        check(resource, libraries)


def _check_library(resource: dict[str, Any], libraries: Libraries) -> list[Issue]:
    try:
        source = source_of(resource)
    except Unusable as problem:
        return [Issue("error", problem.code, str(problem), problem.expression)]
    if source is None:
        return []
    try:
        compiled = libraries.compile(source).library
    except cql.CompileError as error:
        return [_issue(diagnostic, source.expression) for diagnostic in error.diagnostics]
    issues = []
    for element, said in (("name", compiled.name), ("version", compiled.version)):
        if said is not None and resource.get(element, said) != said:
            message = f"Library.{element} is not that of the CQL, {said}: `include` would not find it"
            issues.append(Issue("error", "business-rule", message, f"Library.{element}"))
    return issues


def _issue(diagnostic: cql.Diagnostic, expression: str) -> Issue:
    """The diagnostics begin with line:column and kind."""
    return Issue("error", _CODES.get(diagnostic.kind, "invalid"), str(diagnostic), expression)
