"""ValueSet/$expand: the codes of a value set, with what is said about them.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terminology.asked import Asked
from terminology.code_system import CodeSystem, Concept, Designation, read_designation
from terminology.entries import Entry, text_filter
from terminology.expansion import Expansion, Key, header, shown
from terminology.filters import Test, conditions, selected
from terminology.findings import TerminologyError, finding, refuse
from terminology.large import Condition, LargeSystem
from terminology.library import Library, canonical_of
from terminology.resolve import (
    check_supplements,
    status_message,
    supplements_of,
    unknown_system,
    value_set,
    version_problem,
    wanted_value_set,
    within,
)
from terminology.versions import joined, split
from terminology.words import words_of

Resource = dict[str, Any]
# More codes than this are given only page by page.
MOST_LISTED = 10_000
# Codes of a system that is not in memory.
MOST_OF_LARGE = 50_000
# Nested value sets, each of which may be expanded many times over.
_MOST_IMPORTS = 1000


def expand(resource: Resource, asked: Asked, library: Library, identifier: str, timestamp: str) -> Resource:
    """The ValueSet with its expansion (identifier a URI, timestamp a dateTime), or the page asked for.

    TerminologyError for what cannot be expanded: unknown code systems, circles, too many codes.
    """
    asked = asked.within(resource)
    work = _Expander(asked, library)
    paged = work.page_of_large(resource)
    expansion = paged[0] if paged else work.expand(resource)
    required = (*asked.several("useSupplement"), *supplements_of(resource))
    check_supplements(required, expansion.systems.values())
    if paged:
        (entries, total), nested = paged[1:], False
    else:
        every = list(expansion.entries.values())
        (entries, nested), total = _page(resource, asked, every, expansion.nested), len(every)
    expansion.match_versions = work.match_versions
    return header(resource, asked) | {
        "expansion": shown(asked, expansion, entries, nested, total)
        | {"identifier": identifier, "timestamp": timestamp}
    }


def codes(resource: Resource, asked: Asked, library: Library) -> Iterator[Entry]:
    """Every code of a value set, whatever their number."""
    yield from _Expander(asked.within(resource), library).expand(resource).entries.values()


class _Expander:
    def __init__(self, asked: Asked, library: Library) -> None:
        self.asked, self.library = asked, library
        self.match_versions = asked.flag("versionsMatch")
        self.said_match = "versionsMatch" in asked.values
        self.imports = 0
        self.done: dict[int, Expansion] = {}  # a value set may be taken in by several others
        self.passes = text_filter(asked.text("filter"))
        self.left_out = [split(canonical) for canonical in asked.several("exclude-system")]

    def expand(self, resource: Resource, pathway: tuple[str, ...] = ()) -> Expansion:
        pathway = within(pathway, resource)
        if id(resource) not in self.done:
            self.done[id(resource)] = self._expanded(resource, pathway)
        return self.done[id(resource)]

    def _expanded(self, resource: Resource, pathway: tuple[str, ...]) -> Expansion:
        self.imports += 1
        if self.imports > _MOST_IMPORTS:
            raise refuse(
                "too-costly", f"The value set takes in more than {_MOST_IMPORTS} others", "unprocessable"
            )
        expansion = Expansion()
        self._note_status(expansion, resource, resource, canonical_of(resource))
        compose = resource.get("compose")
        if compose is None:
            self._read(expansion, resource.get("expansion", {}).get("contains", []))
            return expansion
        if compose.get("lockedDate"):
            raise refuse("business-rule", "A value set with a lockedDate cannot be expanded", "unprocessable")
        includes, excludes = compose.get("include", []), compose.get("exclude", [])
        versioned = _versioned([*includes, *excludes])
        if not self.said_match and _differs_in_version(includes, excludes):
            self.match_versions = True
        excluded: set[Key] = set()
        for index, part in enumerate(excludes):
            where = f"ValueSet.compose.exclude[{index}]"
            for entry in self._entries(expansion, resource, part, where, pathway):
                excluded.add(_key(entry, versioned and not self.match_versions))
        for index, part in enumerate(includes):
            where = f"ValueSet.compose.include[{index}]"
            for entry in self._entries(expansion, resource, part, where, pathway):
                if _key(entry, versioned and not self.match_versions) not in excluded:
                    self._take(expansion, entry, versioned, compose.get("inactive") is False)
        return expansion

    def _take(self, expansion: Expansion, entry: Entry, versioned: bool, active: bool) -> None:
        if entry.inactive and (active or self.asked.flag("activeOnly")):
            return
        if entry.abstract and self.asked.flag("excludeNotForUI"):
            return
        if not self.passes(entry):
            return
        key = _key(entry, versioned)
        if key in expansion.entries:
            expansion.nested = False
        else:
            entry.versioned = entry.versioned or versioned
            expansion.entries[key] = entry

    def _entries(
        self, expansion: Expansion, source: Resource, part: Resource, where: str, pathway: tuple[str, ...]
    ) -> Iterator[Entry]:
        """What an include or exclude says, in order."""
        if part.get("valueSet") or part.get("concept") or len(part.get("filter", [])) > 1:
            expansion.nested = False
        imported = [
            self._import(expansion, source, canonical, pathway) for canonical in part.get("valueSet", [])
        ]
        if not part.get("system"):
            first, rest = imported[:1], imported[1:]
            for entry in first[0].values() if first else ():
                if all(entry.pair in other for other in rest):
                    yield entry
            return
        if self._is_left_out(part):
            return
        for entry in self._of_system(expansion, source, part, where):
            if all(entry.pair in other for other in imported):
                yield entry

    def _import(
        self, expansion: Expansion, source: Resource, canonical: str, pathway: tuple[str, ...]
    ) -> dict[tuple[str, str], Entry]:
        found = value_set(self.library, canonical, source, self.asked)
        if found is None:
            url, version = wanted_value_set(canonical, self.asked)
            message = "VS_EXP_IMPORT_UNK_PINNED" if version else "VS_EXP_IMPORT_UNK"
            raise TerminologyError(finding(message, value_set=url, version=version))
        inner = self.expand(found, pathway)
        self._note_status(expansion, found, source, canonical_of(found))
        if not canonical.startswith("#"):
            expansion.use("used-valueset", canonical_of(found))
        expansion.used |= inner.used
        expansion.systems |= inner.systems
        expansion.fragments |= inner.fragments
        return {entry.pair: entry for entry in inner.entries.values()}

    def _is_left_out(self, part: Resource) -> bool:
        version = part.get("version")
        return any(url == part["system"] and wanted in (None, version) for url, wanted in self.left_out)

    def page_of_large(self, resource: Resource) -> tuple[Expansion, list[Entry], int] | None:
        """The page asked for of a value set that is all of one large system, or what its indexes select of
        it, and how many codes there are; None for another value set, or where no page is asked for."""
        compose, count = resource.get("compose", {}), self.asked.values.get("count")
        parts = compose.get("include", [])
        if count is None or len(parts) != 1 or compose.get("exclude") or compose.get("lockedDate"):
            return None
        part = parts[0]
        if not part.get("system") or {"concept", "valueSet"} & part.keys() or self._is_left_out(part):
            return None
        system = self._find(resource, part)
        if not isinstance(system, LargeSystem):
            return None
        wanted, tests = self._wanted(system, part, "ValueSet.compose.include[0]")
        if tests:
            return None
        if count > MOST_LISTED:
            raise _too_costly(resource, MOST_LISTED)
        if compose.get("inactive") is False and Condition("active") not in wanted:
            wanted.append(Condition("active"))
        expansion = Expansion(nested=False)
        self._note_status(expansion, resource, resource, canonical_of(resource))
        self._check(expansion, resource, part, system)
        total, codes = system.page(wanted, self.asked.values.get("offset", 0), count)
        concepts = filter(None, map(system.find, codes))
        return expansion, [_entry(system, c, None, resource.get("language")) for c in concepts], total

    def _find(self, source: Resource, part: Resource) -> CodeSystem | None:
        version = self.asked.version("CodeSystem", part["system"], part.get("version"))
        wanted = (*self.asked.several("useSupplement"), *supplements_of(source, part))
        return self.library.code_system(part["system"], version, wanted)

    def _wanted(self, system: LargeSystem, part: Resource, where: str) -> tuple[list[Condition], list[Test]]:
        """What is asked of a large system, the text filter among it."""
        wanted, tests = conditions(system, part, self.library.regex, where)
        words = tuple(words_of(self.asked.text("filter")))
        if words:
            wanted.append(Condition("words", words))
        if self.asked.flag("activeOnly"):
            wanted.append(Condition("active"))
        return wanted, tests

    def _of_system(
        self, expansion: Expansion, source: Resource, part: Resource, where: str
    ) -> Iterator[Entry]:
        url = part["system"]
        system = self._find(source, part)
        if system is None:
            if part.get("concept") and not self.library.versions("CodeSystem", url):
                # What a list says needs no definition of the system; a list is all that there is of SNOMED CT
                # where it was not imported.
                expansion.use("warning-unknown-system", url)
                yield from (
                    Entry(url, part.get("version"), c.get("code", ""), listed=c) for c in part["concept"]
                )
                return
            version = self.asked.version("CodeSystem", url, part.get("version"))
            raise TerminologyError(unknown_system(self.library, url, version, None, "_EXP"))
        self._check(expansion, source, part, system)
        listed = {concept.get("code"): concept for concept in part.get("concept", [])}
        if isinstance(system, LargeSystem) and not listed:
            expansion.nested = False
            concepts = self._of_large(system, source, part, where)
        else:
            chosen = selected(system, part, self.library.regex, where)
            concepts = system.walk() if chosen is None else filter(None, map(system.find, chosen))
        language = source.get("language")
        for concept in concepts:
            yield _entry(system, concept, listed.get(concept.code), language)

    def _of_large(
        self, system: LargeSystem, source: Resource, part: Resource, where: str
    ) -> Iterator[Concept]:
        wanted, tests = self._wanted(system, part, where)
        codes = system.first(wanted, MOST_OF_LARGE + 1)
        if len(codes) > MOST_OF_LARGE:
            raise _too_costly(source, MOST_OF_LARGE)
        for concept in filter(None, map(system.find, codes)):
            if all(test(concept) for test in tests):
                yield concept

    def _check(self, expansion: Expansion, source: Resource, part: Resource, system: CodeSystem) -> None:
        """TerminologyError where the system is not of a version, or without a supplement, that is wanted."""
        problem = version_problem(self.asked, system)
        if problem:
            raise TerminologyError(problem, "invalid")
        check_supplements(supplements_of(part), [system])
        self._note_system(expansion, source, part, system)

    def _note_system(
        self, expansion: Expansion, source: Resource, part: Resource, system: CodeSystem
    ) -> None:
        expansion.systems[system.canonical] = system
        expansion.use("used-codesystem", system.canonical)
        for supplement in system.supplements:
            expansion.use("used-supplement", supplement)
        if system.content != "complete":
            expansion.use("used-fragment", system.canonical)
            expansion.fragments[system.url] = None
        for rule in self.asked.rules:
            decided = rule.mode == "force" or (rule.mode == "check" and not part.get("version"))
            if decided and (rule.kind, rule.url) == ("CodeSystem", system.url):
                expansion.use(rule.name, joined(rule.url, rule.version))
        self._note_status(expansion, system.resource, source, system.canonical)

    def _note_status(
        self, expansion: Expansion, resource: Resource, source: Resource, canonical: str
    ) -> None:
        message = status_message(resource, source)
        if message:
            expansion.use(f"warning-{message.lower()}", canonical)

    def _read(self, expansion: Expansion, contains: list[Resource]) -> None:
        """The entries of an expansion that somebody else made."""
        waiting = list(reversed(contains))
        while waiting:
            item = waiting.pop()
            if item.get("code"):
                entry = Entry(item.get("system", ""), item.get("version"), item["code"], listed=item)
                self._take(expansion, entry, bool(item.get("version")), False)
            waiting += reversed(item.get("contains", []))


def _entry(system: CodeSystem, concept: Concept, listed: Resource | None, language: str | None) -> Entry:
    extra: tuple[Designation, ...] = ()
    if listed:
        texts = [read_designation(part) for part in listed.get("designation", [])]
        if listed.get("display"):
            texts.insert(0, Designation(listed["display"], language, None, True))
        extra = tuple(texts)
    return Entry(system.url, system.version, concept.code, system, concept, listed or {}, extra)


def _key(entry: Entry, versioned: bool) -> Key:
    return entry.system, entry.version if versioned or entry.versioned else None, entry.code


def _versioned(parts: list[Resource]) -> bool:
    """Whether a compose has several versions of one system, which must then be told apart."""
    seen: dict[str, str | None] = {}
    return any(
        seen.setdefault(p["system"], p.get("version")) != p.get("version") for p in parts if "system" in p
    )


def _differs_in_version(includes: list[Resource], excludes: list[Resource]) -> bool:
    """All of one version but what is in another: codes are compared, as the versions never match."""
    parts = [*includes, *excludes]
    whole = all("system" in p and not {"concept", "filter", "valueSet"} & p.keys() for p in parts)
    one_of_each = len(includes) == 1 and len(excludes) == 1
    return one_of_each and whole and len({p["system"] for p in parts}) == 1 and _versioned(parts)


def _page(resource: Resource, asked: Asked, entries: list[Entry], nested: bool) -> tuple[list[Entry], bool]:
    """The entries asked for, and whether they are shown as a tree."""
    offset, count = asked.values.get("offset", 0), asked.values.get("count")
    shown = entries[offset:] if count is None else entries[offset : offset + count]
    if len(shown) > MOST_LISTED:
        raise _too_costly(resource, MOST_LISTED)
    return shown, nested and not asked.flag("excludeNested") and len(shown) == len(entries)


def _too_costly(resource: Resource, limit: int) -> TerminologyError:
    return TerminologyError(finding("VALUESET_TOO_COSTLY", value_set=canonical_of(resource), limit=limit))
