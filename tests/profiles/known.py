"""What a server without stored resources knows, and what it finds wrong with a resource."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from fhir_server.conformance import Knowledge
from profiles.validation import validate_thoroughly

BASE = "https://varde.dev/fhir/StructureDefinition/"


class NothingStored:
    """A store without resources, as fhir_server.conformance asks it."""

    def search(self, query: Any) -> tuple[()]:
        return ()

    def read(self, type_: str, id_: str) -> None:
        return None

    def canonical(self, type_: str, canonical: str) -> None:
        return None


@cache
def knowledge() -> Knowledge:
    return Knowledge((), NothingStored())  # type: ignore[arg-type]


def findings(
    resource: dict[str, Any], *profiles: str, severities: Collection[str] = ("error", "fatal")
) -> list[tuple[str, str]]:
    """What is said of a resource, by the profiles that it claims and these: (rule or code, expression)."""
    urls = [BASE + name for name in profiles]
    found = [
        (problem.rule.rpartition("#")[2] if problem.code == "invariant" else problem.code, problem.expression)
        for problem in validate_thoroughly(knowledge().context(resource), urls)
        if problem.severity in severities
    ]
    return list(dict.fromkeys(found))  # R4's profile and ours may say the same of a vital sign
