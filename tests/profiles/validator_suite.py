"""HL7's validator cases for R4 as this validator judges them: with the definitions that a case brings along.

https://github.com/FHIR/fhir-test-cases (validator); ../shared/suites/README.md says what is in the sample.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server import vocabulary
from fhir_server.resource_json import decode
from fhir_server.resource_xml import decode as decode_xml
from profiles.conformance import Profiles
from profiles.context import Context
from profiles.validation import validate_thoroughly
from terminology.canonical import is_unit
from terminology.findings import TerminologyError
from terminology.members import members

SUITE = Path(os.environ.get("VARDE_SUITES", "../shared/suites")) / "validator-r4"
_NOTE = re.compile(r"/\*[^*]*\*/|\[url='[^']*'\]")


def cases() -> list[dict[str, Any]]:
    return json.loads((SUITE / "cases.json").read_text("utf-8"))


def read(file: str) -> Any:
    """A file of the suite; FhirError where it is no JSON."""
    body = (SUITE / "files" / file).read_bytes().removeprefix(b"\xef\xbb\xbf")
    return decode_xml(body) if file.endswith(".xml") else decode(body)


class Known:
    """What a validation of one case may look up: R4's own, and the files of the case."""

    def __init__(self, files: list[str]) -> None:
        found = [each for file in files for each in _unpacked(read(file))]
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

    def known(self, system: str, code: str) -> bool | None:
        if system == "http://unitsofmeasure.org":
            return is_unit(code)
        found = self._library("CodeSystem", system).code_system(system, None)
        if found is None or found.resource.get("content") != "complete":
            return None
        return found.find(code) is not None


def _unpacked(resource: Any) -> Iterator[Any]:
    yield resource
    if resource["resourceType"] == "Bundle":
        yield from (entry["resource"] for entry in resource.get("entry", ()) if "resource" in entry)


def judge(case: dict[str, Any], part: str) -> list[Any]:
    """The findings of a case: `part` is "base" or "profile"."""
    asked = case[part]
    files = list(case["supporting"])
    if part == "profile":
        files += [asked["source"], *asked["supporting"]]
    known = Known(files)
    document = read(case["file"])
    context = Context(
        document,
        check=known.profiles.check,
        member=known.member,
        known=known.known,
        definition=known.definition,
    )
    also = [url for type_, url in known.everywhere if type_ == document.get("resourceType")]
    also += [read(asked["source"])["url"]] if part == "profile" else []
    return validate_thoroughly(context, also)


def near(found: str | None, expected: str | None) -> bool:
    """Whether two places are one, or one is the parent of the other: what is missing is told at either."""
    one, other = (_NOTE.sub("", place or "") for place in (found, expected))
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer == shorter or longer.startswith((shorter + ".", shorter + "["))
