"""One code against the definition of a value set, include by include, keeping all that there is to say.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terminology.asked import Asked
from terminology.code_system import CodeSystem, Concept, Designation, designations
from terminology.filters import check, holds, is_excluded_from_use
from terminology.findings import Finding, TerminologyError, finding
from terminology.library import Library, canonical_of
from terminology.members import members
from terminology.notes import Notes
from terminology.resolve import (
    check_supplements,
    status_finding,
    supplements_of,
    unknown_system,
    value_set,
    version_problem,
    within,
)
from terminology.versions import allows, joined, order, presented

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A code where it was found: in a code system, or (system None) only in a value set's list."""

    system: CodeSystem | None
    system_url: str
    version: str | None
    concept: Concept | None
    texts: tuple[Designation, ...]


Answer = tuple[bool | None, Found | None]  # whether it is in (None: its system is not known), and where


class Check(Notes):
    """Looks at the codings of one request, and gathers what is to say about them."""

    def __init__(self, asked: Asked, library: Library, infer: bool = False) -> None:
        super().__init__()
        self.asked, self.library, self.infer = asked, library, infer
        self.supplements: tuple[str, ...] = asked.several("useSupplement")
        self.prepared: set[int] = set()
        self.answers: dict[tuple[int, str], Answer] = {}  # a value set may be taken in by several others

    # What has to be there before a code is looked at.

    def prepare(self, resource: Resource) -> None:
        """TerminologyError for a value set that no code could be checked against: circles, filters without
        a value, supplements and value sets that are not there."""
        self.supplements = (*self.supplements, *supplements_of(resource))
        used: list[CodeSystem] = []
        self._prepare(resource, (), used)
        if self.supplements:
            check_supplements(self.supplements, used)

    def _prepare(self, resource: Resource, pathway: tuple[str, ...], used: list[CodeSystem]) -> None:
        pathway = within(pathway, resource)
        if id(resource) in self.prepared:
            return
        compose = resource.get("compose", {})
        for kind in ("include", "exclude"):
            for index, part in enumerate(compose.get(kind, [])):
                for canonical in part.get("valueSet", []):
                    self._prepare(self._import(canonical, resource), pathway, used)
                system = (
                    self._system(part.get("system"), part.get("version"), part)
                    if part.get("system")
                    else None
                )
                if system:
                    used.append(system)
                    check(system, part, self.library.regex, f"ValueSet.compose.{kind}[{index}]")
        self.prepared.add(id(resource))

    def _import(self, canonical: str, source: Resource) -> Resource:
        found = value_set(self.library, canonical, source, self.asked)
        if found is None:
            url, _, version = canonical.partition("|")
            wanted = self.asked.version("ValueSet", url, version or None)
            raise TerminologyError(finding("Unable_to_resolve_value_Set_", value_set=joined(url, wanted)))
        return found

    def _system(
        self, url: str | None, version: str | None, part: Resource | None = None
    ) -> CodeSystem | None:
        wanted = self.asked.version("CodeSystem", url or "", version)
        extra = supplements_of(part) if part else ()
        return self.library.code_system(url or "", wanted, (*self.supplements, *extra))

    def _selects(self, system: CodeSystem, part: Resource, concept: Concept, where: str) -> bool:
        return holds(system, part, concept, self.library.regex, where)

    # One coding.

    def coding(self, resource: Resource, coding: Resource, path: str) -> Answer:
        """Whether a coding is in a value set, and where it was found."""
        if not coding.get("system"):
            if not self.infer:
                self.say(finding("Coding_has_no_system__cannot_validate", path or None))
                return False, None
            system = self._inferred(resource, coding["code"])
            if system is None:
                return False, None
            coding = coding | {"system": system}
        return self._in(resource, coding, path)

    def _inferred(self, resource: Resource, code: str) -> str | None:
        inside = members(resource, self.library, self.asked)
        systems = [s for s, codes in inside.codes.items() if inside.has(s, code) and codes]
        if len(systems) == 1:
            return systems[0]
        words = {"code": code, "value_set": canonical_of(resource)}
        if systems:
            message = "Unable_to_resolve_system__value_set_has_multiple_matches"
            self.add(finding(message, "code", systems=", ".join(systems), **words))
        else:
            known = ", ".join(dict.fromkeys([*inside.codes, *inside.unsure]))
            self.add(finding("UNABLE_TO_INFER_CODESYSTEM", "code", systems=known, **words))
        return None

    def _in(self, resource: Resource, coding: Resource, path: str) -> Answer:
        key = (id(resource), path)
        if key not in self.answers:
            self.answers[key] = self._looked_up(resource, coding, path)
        return self.answers[key]

    def _looked_up(self, resource: Resource, coding: Resource, path: str) -> Answer:
        compose = resource.get("compose")
        if compose is None:
            return self._in_expansion(resource, coding)
        active = compose.get("inactive") is False
        result: bool | None = False
        found: Found | None = None
        for part in self._considered(compose.get("include", []), coding):
            result, found = self._in_part(resource, part, coding, path, active)
            if result and active and found and found.concept and found.concept.inactive:
                self.note_state(found.concept, path)  # of a value set that takes inactive codes
                result = False
            if result is None or result:
                break
        if result:
            for part in compose.get("exclude", []):
                if self._out(resource, part, coding, found):
                    return False, None
        return result, found

    def _considered(self, includes: list[Resource], coding: Resource) -> list[Resource]:
        """The includes in the order to try them: later versions first, and only of the version that fits."""
        system, version = coding["system"], coding.get("version")
        mine = [part for part in includes if part.get("system") == system]
        named = {part["version"] for part in mine if part.get("version")}
        if version in named:
            mine = [part for part in mine if part.get("version") == version]
        elif not version and len(named) > 1:
            best = self._best_version(named, coding)
            mine = [part for part in mine if best is None or part.get("version") == best]
        mine.sort(key=lambda part: order(part.get("version")), reverse=True)
        return [*mine, *(part for part in includes if not part.get("system"))]

    def _best_version(self, named: set[str], coding: Resource) -> str | None:
        """The latest version that has the code (under the name given); the latest where none has."""
        fits = [version for version in named if self._fits(version, coding)]
        if len(fits) == len(named):
            return None
        return max(fits or named, key=order)

    def _fits(self, version: str, coding: Resource) -> bool:
        system = self.library.code_system(coding["system"], version, self.supplements)
        concept = system.find(coding["code"]) if system else None
        if system is None or concept is None:
            return False
        display = coding.get("display")
        return not display or any(text.value == display for text in designations(system, concept))

    def _in_part(
        self, resource: Resource, part: Resource, coding: Resource, path: str, active: bool
    ) -> Answer:
        result: bool | None = True
        found: Found | None = None
        if part.get("system"):
            result, found = self._in_system(resource, part, coding, path, active)
        for canonical in part.get("valueSet", []):
            imported = self._import(canonical, resource)
            self.note(status_finding(imported, resource, "ValueSet"))
            if result:
                result, inner = self._in(imported, coding, path)
                found = found or inner
        return result, found

    def _in_system(
        self, resource: Resource, part: Resource, coding: Resource, path: str, active: bool
    ) -> Answer:
        url = part["system"]
        version = self._version(part.get("version"), coding, path)
        system = self._system(url, version, part)
        if system is None:
            if part.get("concept") and not self.library.versions("CodeSystem", url):
                return self._in_list(part, coding)
            if self.asked.flag("valueset-membership-only"):
                return False, None
            wanted = self.asked.version("CodeSystem", url, version)
            self.unknown_system(unknown_system(self.library, url, wanted, _at(path, "system")), url, wanted)
            return None, None
        self.add(version_problem(self.asked, system, _at(path, "version")))
        self.note(status_finding(system.resource, resource, "CodeSystem"))
        return self._in_concepts(resource, part, system, coding["code"], path, active)

    def _in_list(self, part: Resource, coding: Resource) -> tuple[bool, Found | None]:
        """A list of codes of a system that nobody has told us more of."""
        for listed in part["concept"]:
            if listed.get("code") == coding["code"]:
                texts = (Designation(listed["display"], None, None, True),) if listed.get("display") else ()
                return True, Found(None, part["system"], part.get("version"), None, texts)
        return False, None

    def _in_concepts(
        self, resource: Resource, part: Resource, system: CodeSystem, code: str, path: str, active: bool
    ) -> tuple[bool, Found | None]:
        concept = system.find(code)
        whole = not {"concept", "filter"} & part.keys()
        if concept is None:
            if whole:
                partial = self.unknown_code(system, code, _at(path, "code"))
                return partial, Found(system, system.url, system.version, None, ()) if partial else None
            return False, None
        if not self._selects(system, part, concept, "ValueSet.compose.include"):
            return False, None
        if "concept" not in part:
            self._note_case(system, code, concept, path)
        if concept.abstract and not self.asked.flag("abstract", True):
            if not self.asked.flag("valueset-membership-only"):
                self.add(
                    finding("ABSTRACT_CODE_NOT_ALLOWED", _at(path, "code"), system=system.url, code=code)
                )
            return False, None
        if concept.inactive and (active or self.asked.flag("activeOnly")):
            if whole or self.asked.flag("activeOnly"):
                self.add(finding("STATUS_CODE_WARNING_CODE", _at(path, "code"), code=code))
            self.note_state(concept, path)
            return False, None
        listed: Resource = next((c for c in part.get("concept", []) if c.get("code") == code), {})
        self._note_listed(resource, system, listed, code, path)
        self.note_state(concept, path)
        return True, self.found(system, concept, listed, resource.get("language"))

    def found(
        self,
        system: CodeSystem,
        concept: Concept,
        listed: Resource | None = None,
        language: str | None = None,
    ) -> Found:
        """A concept with all its names, those that a value set gives it included."""
        texts = designations(system, concept)
        for name in [{"value": listed["display"]}] if listed and listed.get("display") else []:
            texts = (*texts, Designation(name["value"], language, None, False))
        for more in (listed or {}).get("designation", []):
            texts = (*texts, Designation(more.get("value", ""), more.get("language"), more.get("use")))
        return Found(system, system.url, system.version, concept, texts)

    def _note_case(self, system: CodeSystem, code: str, concept: Concept, path: str) -> None:
        if concept.code != code:
            self.normal = concept.code
            words = {"code": code, "right": concept.code, "canonical": system.canonical}
            self.note(finding("CODE_CASE_DIFFERENCE", _at(path, "code"), **words))

    def _note_listed(
        self, resource: Resource, system: CodeSystem, listed: Resource, code: str, path: str
    ) -> None:
        status = is_excluded_from_use(listed.get("extension", []))
        if status:
            words = {
                "code": code,
                "system": system.url,
                "status": status,
                "value_set": canonical_of(resource),
            }
            self.note(finding("CONCEPT_DEPRECATED_IN_VALUESET", _at(path, "code"), **words))

    def unknown_system(self, found: Finding, url: str, version: str | None) -> None:
        """A system that is not there is told once."""
        name = joined(url, version if self.library.known_versions(url) else None)
        if name not in self.unknown:
            self.unknown[name] = None
            self.add(found)

    def _version(self, included: str | None, coding: Resource, path: str) -> str | None:
        """The version to look a code up in; what the value and the include disagree on is told."""
        url, given = coding["system"], coding.get("version")
        wanted = self.asked.version("CodeSystem", url, included)
        if not given:
            return wanted
        known = self.library.known_versions(url)
        if (wanted and known and allows(wanted, given)) or (
            not wanted and any(allows(given, version) for version in known)
        ):
            wanted = given
        system = self._system(url, wanted)
        if system and not allows(given, system.version):
            self._tell_mismatch(system, wanted, included, given, path)
        elif system is None and wanted != given and known:
            words = {"system": url, "version": wanted, "given": given}
            self.add(finding("VALUESET_VALUE_MISMATCH", _at(path, "version"), **words))
        return wanted

    def _tell_mismatch(
        self, system: CodeSystem, wanted: str | None, included: str | None, given: str, path: str
    ) -> None:
        url, where = system.url, _at(path, "version")
        if not wanted:
            words = {"system": url, "version": system.version, "given": given}
            self.note(finding("VALUESET_VALUE_MISMATCH_DEFAULT", where, **words))
        elif wanted != included:
            words = {"system": url, "version": wanted, "include": included or "", "given": given}
            self.add(finding("VALUESET_VALUE_MISMATCH_CHANGED", where, **words))
        else:
            words = {"system": url, "version": included, "given": given}
            self.add(finding("VALUESET_VALUE_MISMATCH", where, **words))
        if self.library.code_system(url, given) is None:
            versions = presented(self.library.known_versions(url))
            words = {"system": url, "version": given, "versions": versions}
            self.unknown_system(
                finding("UNKNOWN_CODESYSTEM_VERSION", _at(path, "system"), **words), url, given
            )

    def _out(self, resource: Resource, part: Resource, coding: Resource, found: Found | None) -> bool:
        """Whether an exclude takes a code out again."""
        if part.get("system"):
            if part["system"] != coding["system"]:
                return False
            system = self._system(part["system"], part.get("version"), part)
            if system is None:
                if any(listed.get("code") == coding["code"] for listed in part.get("concept", [])):
                    return True
                raise TerminologyError(unknown_system(self.library, part["system"], part.get("version")))
            concept = system.find(coding["code"])
            if concept is None or not self._selects(system, part, concept, "ValueSet.compose.exclude"):
                return False
        return all(
            members(self._import(canonical, resource), self.library, self.asked).has(
                coding["system"], coding["code"]
            )
            for canonical in part.get("valueSet", [])
        )

    def _in_expansion(self, resource: Resource, coding: Resource) -> Answer:
        """In what somebody else expanded."""
        waiting = list(resource.get("expansion", {}).get("contains", []))
        while waiting:
            item = waiting.pop()
            waiting += item.get("contains", [])
            same = item.get("code") == coding["code"] and item.get("system") == coding["system"]
            if same and (not item.get("abstract") or self.asked.flag("abstract", True)):
                return True, self._listed_in_expansion(item)
        return False, None

    def _listed_in_expansion(self, item: Resource) -> Found:
        system = self._system(item.get("system"), item.get("version"))
        concept = system.find(item["code"]) if system else None
        if system and concept:
            return self.found(system, concept, item)
        texts = (Designation(item["display"], None, None, True),) if item.get("display") else ()
        return Found(None, item.get("system", ""), item.get("version"), None, texts)


def _at(path: str, element: str) -> str:
    return f"{path}.{element}" if path else element
