"""The code systems, value sets and maps that an answer is made from, found by canonical URL and version.

A Library is filled before it is asked: `gather` says what else a resource needs, whoever has a store fetches
it, and everything after that is a pure function. https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.code_system import CodeSystem, compile_code_system, supplemented
from terminology.filters import Regex
from terminology.implicit import UCUM, all_codes, implicit_value_set
from terminology.large import LargeSystem
from terminology.units import UNITS
from terminology.versions import allows, joined, order, split

Resource = dict[str, Any]
SUPPLEMENT = "http://hl7.org/fhir/StructureDefinition/valueset-supplement"
# What a gathering may take in, so that one value set cannot pull a whole store into memory.
MOST_RESOURCES = 2000


@dataclass
class Library:
    """`regex` compiles the regular expressions of filters (see filters.Regex); `compile` makes a CodeSystem
    of a resource: a caller may remember what it has compiled; `large` has the code systems of a URL that are
    not resources."""

    regex: Regex
    compile: Callable[[Resource], CodeSystem] = compile_code_system
    large: Callable[[str], Sequence[LargeSystem]] = lambda url: ()
    # What answers were made from, by type and canonical: code systems and the value sets that others take in.
    used: dict[tuple[str, str], Resource] = field(default_factory=dict)
    _by_url: dict[tuple[str, str], list[Resource]] = field(default_factory=dict)
    _systems: dict[tuple[int, tuple[str, ...]], CodeSystem] = field(default_factory=dict)
    _aliases: dict[str, str] = field(default_factory=dict)

    def add(self, resource: Resource) -> None:
        """Take in a CodeSystem, ValueSet, ConceptMap or NamingSystem; the first of a version stays."""
        if resource.get("resourceType") == "NamingSystem":
            url, *others = names_of(resource) or [""]
            self._aliases |= dict.fromkeys(others, url)
        key = (resource.get("resourceType", ""), resource.get("url", ""))
        known = self._by_url.setdefault(key, [])
        if all(other.get("version") != resource.get("version") for other in known):
            known.append(resource)

    def versions(self, kind: str, url: str) -> list[Resource]:
        """All resources of a URL, the latest first (a supplement is no version of a code system)."""
        found = self._by_url.get((kind, url), [])
        if not found and kind == "ValueSet":
            found = self._implied(url)
            self._by_url |= {(kind, url): found} if found else {}
        if not found and kind == "CodeSystem" and url in self._aliases:
            found = self._by_url.get((kind, self._aliases[url]), [])
        return sorted(found, key=lambda resource: order(resource.get("version")), reverse=True)

    def _implied(self, url: str) -> list[Resource]:
        """The value sets that a URL means without a resource: of its own, or as a code system says."""
        implied = implicit_value_set(url)
        if implied or not url:
            return [implied] if implied else []
        of_it = [r for r in self.of_kind("CodeSystem") if split(r.get("valueSet", ""))[0] == url]
        return [all_codes(resource) for resource in of_it if resource.get("content") != "supplement"]

    def find(self, kind: str, url: str, version: str | None = None) -> Resource | None:
        """The latest resource of a URL, of those of the version where one is wanted."""
        return next((r for r in self.versions(kind, url) if allows(version, r.get("version"))), None)

    def of_kind(self, kind: str) -> Iterator[Resource]:
        """Every resource of a type."""
        for (type_, _), resources in self._by_url.items():
            if type_ == kind:
                yield from resources

    def code_system(
        self, url: str, version: str | None, supplements: Iterable[str] = ()
    ) -> CodeSystem | None:
        """A code system that has concepts, with its language packs and those supplements that are named."""
        found = self._code_system(url, version, supplements)
        if found:
            self.use("CodeSystem", found.resource)
            for canonical in found.supplements:
                self.use("CodeSystem", self.supplement(canonical) or {})
        return found

    def use(self, kind: str, resource: Resource) -> None:
        """Note that an answer is made from a resource."""
        self.used.setdefault((kind, canonical_of(resource)), resource)

    def _code_system(self, url: str, version: str | None, supplements: Iterable[str]) -> CodeSystem | None:
        if url == UCUM:
            return UNITS if version is None else None
        for resource in self.versions("CodeSystem", url):
            if resource.get("content") in ("supplement", "not-present"):
                continue
            if allows(version, resource.get("version")):
                return self._compiled(resource, tuple(sorted(set(supplements))))
        large = sorted(self.large(url), key=lambda system: order(system.version), reverse=True)
        found = next((system for system in large if allows(version, system.version)), None)
        return found.supplemented(self._extras(url, sorted(set(supplements)))) if found else None

    def supplement(self, canonical: str) -> Resource | None:
        """The supplement of a canonical, None where there is none."""
        found = self.find("CodeSystem", *split(canonical))
        return found if found and found.get("content") == "supplement" else None

    def known_versions(self, url: str) -> list[str]:
        """The versions of a code system that are there."""
        found = self.versions("CodeSystem", url)
        stored = [r["version"] for r in found if r.get("version") and r.get("content") != "supplement"]
        return stored + [system.version for system in self.large(url) if system.version]

    def _compiled(self, resource: Resource, supplements: tuple[str, ...]) -> CodeSystem:
        key = (id(resource), supplements)
        if key not in self._systems:
            extras = self._extras(resource.get("url", ""), supplements)
            self._systems[key] = supplemented(self.compile(resource), extras)
        return self._systems[key]

    def _extras(self, url: str, supplements: Iterable[str]) -> list[CodeSystem]:
        """The supplements that are named, and the language packs."""
        extras = [found for canonical in supplements if (found := self.supplement(canonical))]
        extras += [pack for pack in self._language_packs(url) if pack not in extras]
        return [self.compile(extra) for extra in extras]

    def _language_packs(self, url: str) -> Iterator[Resource]:
        """Supplements that only translate are taken without being named."""
        for resource in self.of_kind("CodeSystem"):
            of_it = split(resource.get("supplements", ""))[0] == url
            if of_it and resource.get("content") == "supplement" and is_language_pack(resource):
                yield resource


def is_language_pack(resource: Resource) -> bool:
    """https://hl7.org/fhir/extensions/CodeSystem-usage: a supplement whose purpose is translation."""
    return any(
        coding.get("code") == "lang-pack"
        for extension in resource.get("extension", [])
        for coding in extension.get("valueCodeableConcept", {}).get("coding", [])
    )


Want = tuple[str, str]  # resource type (or supplements, maps, maps to) and URL


def gather(
    start: Iterable[Resource], wants: Iterable[Want], library: Library
) -> Generator[Want, list[Resource], None]:
    """Fill the library with what the resources need, with the wants, and with what they need in turn.

    Yields (type, URL), wants sent the stored resources of it; ("supplements", URL) wants the CodeSystems
    that supplement a code system, ("maps", URL) the ConceptMaps from it and ("maps to", URL) those to it; for
    a ValueSet that is none, the CodeSystems that say it is all of their codes. Circles end, as nothing is
    asked for twice.
    """
    waiting = [*wants, *(want for resource in start for want in needs(resource))]
    asked: set[Want] = set()
    taken = 0
    while waiting:
        want = waiting.pop()
        if want in asked:
            continue
        asked.add(want)
        found = yield want
        taken += len(found)
        if taken > MOST_RESOURCES:
            return
        for resource in found:
            library.add(resource)
        local = library.versions(*want) if want[0][0].isupper() else ()
        waiting += [more for resource in (*found, *local) for more in needs(resource)]


def needs(resource: Resource) -> Iterator[Want]:
    """What must be known to expand or to check against a ValueSet."""
    yield from _needs_of_extensions(resource)
    for contained in resource.get("contained", []):
        yield from needs(contained)
    for url in names_of(resource)[:1] if resource.get("resourceType") == "NamingSystem" else ():
        yield from of_system(url)
    for group in resource.get("group", []) if resource.get("resourceType") == "ConceptMap" else ():
        if group.get("unmapped", {}).get("mode") == "other-map":
            yield "ConceptMap", split(group["unmapped"].get("url", ""))[0]
    compose = resource.get("compose", {}) if resource.get("resourceType") == "ValueSet" else {}
    for part in (*compose.get("include", []), *compose.get("exclude", [])):
        if part.get("system"):
            yield from of_system(part["system"])
        for canonical in part.get("valueSet", []):
            yield "ValueSet", split(canonical)[0]
        yield from _needs_of_extensions(part)
    for entry in resource.get("expansion", {}).get("contains", []):
        if entry.get("system"):
            yield from of_system(entry["system"])


def names_of(naming_system: Resource) -> list[str]:
    """The URIs that a NamingSystem gives a code system, the one to use first. https://hl7.org/fhir/R4/namingsystem.html"""
    if naming_system.get("kind") != "codesystem":
        return []
    ids = naming_system.get("uniqueId", [])
    ids = sorted(ids, key=lambda each: (each.get("type") != "uri", not each.get("preferred", False)))
    return [
        f"urn:oid:{each['value']}"
        if each.get("type") == "oid" and each["value"][:1].isdigit()
        else each["value"]
        for each in ids
        if each.get("value")
    ]


def of_system(url: str) -> Iterator[Want]:
    """What a code of this system needs."""
    if url.startswith("urn:oid:"):
        yield "NamingSystem", url
    yield "CodeSystem", url
    yield "supplements", url


def _needs_of_extensions(part: Resource) -> Iterator[Want]:
    for extension in part.get("extension", []):
        if extension.get("url") == SUPPLEMENT:
            named = next((value for key, value in extension.items() if key.startswith("value")), "")
            yield "CodeSystem", split(str(named))[0]


def canonical_of(resource: Resource) -> str:
    """`url|version` of a resource."""
    return joined(resource.get("url", ""), resource.get("version"))
