"""A validation with some conformance resources at hand, as a server has those that are stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any

from fhir_server import vocabulary
from profiles.conformance import Profiles
from profiles.context import Context
from profiles.definitions import built_in
from profiles.problems import Problem
from profiles.validation import validate_thoroughly
from terminology.canonical import is_unit
from terminology.findings import TerminologyError
from terminology.members import members


class Known:
    """What a validation may look up: R4's own, and these resources with those inside their Bundles."""

    def __init__(self, resources: Iterable[Any] = ()) -> None:
        found = [each for resource in resources for each in _unpacked(resource)]
        self.given = {r["url"]: r for r in found if "url" in r}
        kinds = {url: r for url, r in self.given.items() if r["resourceType"] == "StructureDefinition"}
        self.profiles = Profiles(kinds)
        for guide in (r for r in found if r["resourceType"] == "ImplementationGuide"):
            self.everywhere = [(g["type"], g["profile"]) for g in guide.get("global", ())]

    everywhere: list[tuple[str, str]] = []

    def definition(self, canonical: str) -> Any:
        return self.given.get(canonical.partition("|")[0]) or self.profiles.definition(canonical)

    @cache  # noqa: B019 - lives as long as one case
    def _library(self, kind: str, url: str) -> Any:
        filled = vocabulary.library()
        steps = vocabulary.asking((), [(kind, url)], filled)
        for resource in self.given.values():
            filled.add(resource)
        try:
            next(steps)
            while True:
                steps.send([])
        except StopIteration:
            return filled

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        known = self._members(value_set.partition("|")[0])
        return None if known is None else known.has(system, code)

    @cache  # noqa: B019
    def _members(self, url: str) -> Any:
        filled = self._library("ValueSet", url)
        found = filled.find("ValueSet", url)
        try:
            return members(found, filled) if found else None
        except TerminologyError:
            return None

    def artifact(self, type_: str, canonical: str) -> Any:
        found = self.definition(canonical) if type_ == "StructureDefinition" else None
        given = self.given.get(canonical.partition("|")[0])
        if given and given["resourceType"] == type_:
            return given
        return found or built_in(type_, canonical.partition("|")[0])

    @cache  # noqa: B019
    def system(self, url: str) -> Any:
        return self._library("CodeSystem", url).code_system(url, None)

    def judge(self, document: Any, also: Iterable[str] = (), demands: Collection[str] = ()) -> list[Problem]:
        context = Context(
            document,
            check=self.profiles.check,
            member=self.member,
            known=self.known,
            definition=self.definition,
            artifact=self.artifact,
            system=self.system,
            demands=frozenset(demands),
        )
        return validate_thoroughly(context, also)

    def known(self, system: str, code: str) -> bool | None:
        if system == "http://unitsofmeasure.org":
            return is_unit(code)
        found = self.system(system)
        if found is None or found.content != "complete":
            return None
        return found.find(code) is not None


def _unpacked(resource: Any) -> Iterator[Any]:
    yield resource
    if resource["resourceType"] == "Bundle":
        yield from (entry["resource"] for entry in resource.get("entry", ()) if "resource" in entry)


def judged(resource: Any, *known: Any, profiles: Iterable[str] = ()) -> list[Problem]:
    """Everything the thorough validation says of a resource, with those in `known` at hand."""
    return Known(known).judge(resource, profiles)


def errors(resource: Any, *known: Any) -> list[tuple[str, str]]:
    """(code, expression) of each error."""
    return [(p.code, p.expression) for p in judged(resource, *known) if p.severity == "error"]


def warnings(resource: Any, *known: Any) -> list[tuple[str, str]]:
    """(code, expression) of each warning."""
    return [(p.code, p.expression) for p in judged(resource, *known) if p.severity == "warning"]
