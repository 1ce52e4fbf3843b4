"""CodeSystem/$lookup and $subsumes: what is known of a code, and how two codes stand to each other.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html, https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terminology.asked import Asked
from terminology.code_system import CodeSystem, Concept, Designation, designations, preferred
from terminology.findings import TerminologyError, finding, refuse
from terminology.languages import speaks
from terminology.library import Library
from terminology.resolve import check_supplements, unknown_system

Resource = dict[str, Any]


def lookup(resource: Resource | None, asked: Asked, library: Library) -> Resource:
    """Parameters with what a code system says of a code. TerminologyError (404) where it does not have it."""
    coding = asked.values.get("coding")
    coding = coding if isinstance(coding, dict) else {}
    code = asked.text("code") or coding.get("code")
    if not code:
        raise refuse("invalid", "Either code and system, or coding, is needed")
    system = _system(resource, coding, asked, library)
    check_supplements(asked.several("useSupplement"), [system])
    concept = system.find(code)
    if concept is None:
        raise TerminologyError(_unknown(system, code), "not-found")
    return {"resourceType": "Parameters", "parameter": list(_told(system, concept, asked))}


def _system(resource: Resource | None, coding: Resource, asked: Asked, library: Library) -> CodeSystem:
    """The code system of an instance, or the one that the parameters name."""
    if resource:
        library.add(resource)
    url = resource.get("url") if resource else asked.text("system") or coding.get("system")
    version = resource.get("version") if resource else asked.text("version") or coding.get("version")
    if not url:
        raise refuse("invalid", "The system of the code is needed")
    wanted = asked.version("CodeSystem", url, version)
    system = library.code_system(url, wanted, asked.several("useSupplement"))
    if system is None:
        raise TerminologyError(unknown_system(library, url, wanted), "not-found")
    return system


def _unknown(system: CodeSystem, code: str) -> Any:
    message = "Unknown_Code_in_Version" if system.version else "Unknown_Code_in"
    return finding(message, "code", code=code, system=system.url, version=system.version)


def _told(system: CodeSystem, concept: Concept, asked: Asked) -> Iterator[Resource]:
    wanted = asked.several("property")
    every = not wanted or "*" in wanted
    texts = designations(system, concept)
    shown = preferred(texts, asked.wanted) or preferred(texts, None)
    yield {"name": "name", "valueString": system.resource.get("name") or system.url}
    if system.version:
        yield {"name": "version", "valueString": system.version}
    yield {"name": "display", "valueString": shown.value if shown else concept.code}
    yield {"name": "code", "valueCode": concept.code}
    yield {"name": "system", "valueUri": system.url}
    if concept.definition and (every or "definition" in wanted):
        yield {"name": "definition", "valueString": concept.definition}
    yield {"name": "abstract", "valueBoolean": concept.abstract}
    for text in texts:
        if every or "designation" in wanted or _in_one_of(text, wanted):
            parts = [("language", "valueCode", text.language), ("value", "valueString", text.value)]
            use = text.as_json().get("use")
            parts += [("use", "valueCoding", use), ("source", "valueCanonical", text.source)]
            yield {"name": "designation", "part": [{"name": n, key: v} for n, key, v in parts if v]}
    for part in _properties(system, concept):
        if every or part[0]["valueCode"] in wanted:
            yield {"name": "property", "part": part}
    for supplement in system.supplements:
        yield {"name": "used-supplement", "valueCanonical": supplement}


def _in_one_of(text: Designation, wanted: tuple[str, ...]) -> bool:
    """Whether a designation's language is asked for, as the property `lang.X`."""
    asked = (name.removeprefix("lang.") for name in wanted if name.startswith("lang."))
    return bool(text.language) and any(speaks(each, text.language or "") for each in asked)


def _properties(system: CodeSystem, concept: Concept) -> Iterator[list[Resource]]:
    yield _property("inactive", "valueBoolean", concept.inactive)
    for name, codes in (("parent", concept.parents), ("child", concept.children)):
        for code in codes:
            other = system.display_of(code)
            described = [{"name": "description", "valueString": other}] if other else []
            yield [*_property(name, "valueCode", code), *described]
    for part in concept.properties:
        code = part.get("code", "")
        if code not in ("inactive", "parent", "child"):
            key = next((key for key in part if key.startswith("value")), None)
            if key:
                yield _property(code, key, part[key])


def _property(code: str, key: str, value: Any) -> list[Resource]:
    return [{"name": "code", "valueCode": code}, {"name": "value", key: value}]


def subsumes(resource: Resource | None, asked: Asked, library: Library) -> Resource:
    """Parameters with outcome: equivalent | subsumes | subsumed-by | not-subsumed."""
    codings = [asked.values.get(name) for name in ("codingA", "codingB")]
    first, second = (coding if isinstance(coding, dict) else {} for coding in codings)
    code_a, code_b = asked.text("codeA") or first.get("code"), asked.text("codeB") or second.get("code")
    if not code_a or not code_b:
        raise refuse("invalid", "Either codeA and codeB with a system, or codingA and codingB, are needed")
    if first.get("system") != second.get("system") and first and second:
        raise refuse("invalid", "The two codes must be of the same system")
    system = _system(resource, first or second, asked, library)
    concepts = [system.find(code) for code in (code_a, code_b)]
    for code, concept in zip((code_a, code_b), concepts, strict=True):
        if concept is None:
            raise TerminologyError(_unknown(system, code), "not-found")
    found_a, found_b = (concept.code for concept in concepts if concept)
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "outcome", "valueCode": relation(system, found_a, found_b)}],
    }


def relation(system: CodeSystem, code_a: str, code_b: str) -> str:
    """How A stands to B, of https://hl7.org/fhir/R4/valueset-concept-subsumption-outcome.html."""
    if code_a == code_b:
        return "equivalent"
    if code_a in system.over(code_b):
        return "subsumes"
    return "subsumed-by" if code_b in system.over(code_a) else "not-subsumed"
