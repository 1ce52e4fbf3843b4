"""From what an include names to the code system or value set meant, by the version rules of a request.

https://hl7.org/fhir/R4/valueset.html#versions, https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from terminology.asked import Asked
from terminology.code_system import STANDARDS_STATUS, CodeSystem, extension_value, value_of
from terminology.findings import Finding, TerminologyError, finding, refuse
from terminology.library import SUPPLEMENT, Library, canonical_of
from terminology.versions import allows, joined, presented, split

Resource = dict[str, Any]
_DEEPEST = 50


def supplements_of(*parts: Resource) -> tuple[str, ...]:
    """The supplements that a value set or its includes ask for."""
    found = [e for part in parts for e in part.get("extension", []) if e.get("url") == SUPPLEMENT]
    return tuple(str(value_of(extension)) for extension in found)


def unknown_system(
    library: Library, system: str, version: str | None, expression: str | None = None, suffix: str = ""
) -> Finding:
    """Why a code system is not there; `suffix` "_EXP" where it was for an expansion."""
    if not version:
        return finding(f"UNKNOWN_CODESYSTEM{suffix}", expression, system=system)
    known = library.known_versions(system)
    if not known:
        message = f"UNKNOWN_CODESYSTEM_VERSION{suffix}_NONE"
        return finding(message, expression, system=system, version=version)
    message = f"UNKNOWN_CODESYSTEM_VERSION{suffix}"
    return finding(message, expression, system=system, version=version, versions=presented(known))


def version_problem(asked: Asked, system: CodeSystem, expression: str | None = None) -> Finding | None:
    """What a check-system-version has against this version."""
    for rule in asked.checks(system.url):
        if not allows(rule.version, system.version):
            return finding(
                "VALUESET_VERSION_CHECK",
                expression,
                version=system.version,
                system=system.url,
                wanted=rule.version,
            )
    return None


def check_supplements(wanted: Iterable[str], used: Iterable[CodeSystem]) -> None:
    """TerminologyError unless each wanted supplement adds to one of the systems that were used."""
    there = {canonical for system in used for canonical in system.supplements}
    there |= {split(canonical)[0] for canonical in there}
    for supplement in wanted:
        if supplement not in there:
            raise TerminologyError(finding("VALUESET_SUPPLEMENT_MISSING", supplement=supplement))


def value_set(library: Library, canonical: str, source: Resource, asked: Asked) -> Resource | None:
    """The value set that a canonical (or `#id` of one contained in `source`) means."""
    if canonical.startswith("#"):
        contained = source.get("contained", [])
        return next((part for part in contained if part.get("id") == canonical[1:]), None)
    url, version = split(canonical)
    found = library.find("ValueSet", url, asked.version("ValueSet", url, version))
    if found:
        library.use("ValueSet", found)
    return found


def wanted_value_set(canonical: str, asked: Asked) -> tuple[str, str | None]:
    """URL and version of a value set after the request's rules."""
    url, version = split(canonical)
    return url, asked.version("ValueSet", url, version)


def within(pathway: tuple[str, ...], resource: Resource) -> tuple[str, ...]:
    """The pathway with a value set added. TerminologyError where it is on it, or the way too long."""
    if len(pathway) >= _DEEPEST:
        raise refuse(
            "too-costly", f"Value sets take in each other more than {_DEEPEST} deep", "unprocessable"
        )
    canonical = canonical_of(resource) or f"#{resource.get('id')}"
    if canonical in pathway:
        raise TerminologyError(
            finding("VALUESET_CIRCULAR_REFERENCE", value_set=canonical, pathway=", ".join(pathway))
        )
    return (*pathway, canonical)


def status_message(resource: Resource, source: Resource) -> str | None:
    """The warning that using a resource in this state calls for: DEPRECATED, WITHDRAWN, RETIRED and so on.

    That a resource is experimental or a draft matters only where the one that uses it is not.
    """
    standards = extension_value(resource.get("extension", []), STANDARDS_STATUS)
    if standards in ("deprecated", "withdrawn"):
        return str(standards).upper()
    if resource.get("status") == "retired":
        return "RETIRED"
    if resource.get("experimental") and not source.get("experimental"):
        return "EXPERIMENTAL"
    of_source = extension_value(source.get("extension", []), STANDARDS_STATUS)
    if "draft" in (resource.get("status"), standards) and "draft" not in (source.get("status"), of_source):
        return "DRAFT"
    return None


def status_finding(resource: Resource, source: Resource, kind: str) -> Finding | None:
    message = status_message(resource, source)
    canonical = joined(resource.get("url", ""), resource.get("version"))
    return finding(f"MSG_{message}", type=kind, canonical=canonical) if message else None
