"""Which codes are in a value set, compiled once so that asking is a look-up (validation, searches, CQL).

    library = Library(regex)              # see library.py; fhir_server/vocabulary.py fills one from the store
    inside = members(value_set, library)  # TerminologyError where it makes no sense: a circle, a bad filter
    inside.has("http://loinc.org", "8867-4")  # True, False, or None: the system is not known well enough
    inside.codes                          # {system: codes}, for a search; see also subsumed and subsuming

A list of codes needs no definition of their system. A whole system, or a filter on one, that is not known
makes the answer None for its codes, never a wrong one. https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.asked import Asked
from terminology.canonical import is_unit
from terminology.code_system import CodeSystem
from terminology.filters import selected
from terminology.findings import refuse
from terminology.implicit import UCUM
from terminology.library import Library
from terminology.resolve import supplements_of, value_set, within
from terminology.units import UnitSystem, canonical_form

Resource = dict[str, Any]
_EVERYTHING = Asked()


@dataclass(frozen=True, slots=True)
class Members:
    """`codes` by system; of systems without regard to case (`folded`) they are casefolded.

    `rules`: systems whose codes cannot be listed, with what decides. `unsure`: systems some of whose codes
    may be in it although they are not in `codes`; `*` is any.
    """

    codes: dict[str, frozenset[str]] = field(default_factory=dict)
    folded: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()
    rules: dict[str, Callable[[str], bool]] = field(default_factory=dict)

    def has(self, system: str | None, code: str) -> bool | None:
        """Whether a code is in the value set, None where that cannot be known.

        Without a system (an element of type `code`) it may be of any.
        """
        if not system:
            return self.has_code(code)
        if system in self.folded:
            code = code.casefold()
        if code in self.codes.get(system, ()):
            return True
        if system in self.rules and self.rules[system](code):
            return True
        return None if system in self.unsure or "*" in self.unsure else False

    def has_code(self, code: str) -> bool | None:
        """Whether the value set has this code of whatever system."""
        if any(
            (code.casefold() if system in self.folded else code) in codes
            for system, codes in self.codes.items()
        ):
            return True
        return None if self.unsure else False

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every (system, code) that is known to be in it."""
        for system, codes in self.codes.items():
            for code in codes:
                yield system, code


def members(resource: Resource, library: Library, asked: Asked = _EVERYTHING) -> Members:
    """The members of a ValueSet resource. TerminologyError where its definition makes no sense."""
    return _Compiler(library, asked.within(resource)).members(resource, ())


def subsumed(system: CodeSystem, code: str) -> frozenset[str]:
    """A code and all that are below it, as a search with `:below` has it; the code alone where unknown."""
    return frozenset((code, *system.under(code)))


def subsuming(system: CodeSystem, code: str) -> frozenset[str]:
    """A code and all that are above it (`:above`)."""
    return frozenset((code, *system.over(code)))


class _Compiler:
    def __init__(self, library: Library, asked: Asked) -> None:
        self.library, self.asked = library, asked
        self.folded: set[str] = set()
        self.done: dict[int, Members] = {}

    def members(self, resource: Resource, pathway: tuple[str, ...]) -> Members:
        pathway = within(pathway, resource)
        if id(resource) not in self.done:
            compose = resource.get("compose")
            self.done[id(resource)] = (
                self._read(resource) if compose is None else self._compose(resource, pathway)
            )
        return self.done[id(resource)]

    def _compose(self, resource: Resource, pathway: tuple[str, ...]) -> Members:
        compose = resource["compose"]
        active = compose.get("inactive") is False or self.asked.flag("activeOnly")
        codes: dict[str, set[str]] = {}
        unsure: set[str] = set()
        rules: dict[str, Callable[[str], bool]] = {}
        for index, part in enumerate(compose.get("include", [])):
            found = self._part(resource, part, active, f"ValueSet.compose.include[{index}]", pathway)
            unsure |= found.unsure
            for system, rule in found.rules.items():
                rules[system] = _either(rules[system], rule) if system in rules else rule
            for system, more in found.codes.items():
                codes.setdefault(system, set()).update(more)
        for index, part in enumerate(compose.get("exclude", [])):
            found = self._part(resource, part, False, f"ValueSet.compose.exclude[{index}]", pathway)
            for system, less in found.codes.items():
                codes.get(system, set()).difference_update(less)
                if system in rules:
                    rules[system] = _but_not(rules[system], less)
            for system, rule in found.rules.items():
                codes[system] = {code for code in codes.get(system, ()) if not rule(code)}
                if system in rules:
                    rules[system] = _both(rules[system], _negated(rule))
            hit = codes.keys() if "*" in found.unsure else found.unsure & codes.keys()
            for system in hit:  # what is left of it may be excluded or not
                unsure.add(system)
                codes[system].clear()
        return Members(
            {system: frozenset(had) for system, had in codes.items()},
            frozenset(self.folded),
            frozenset(unsure),
            rules,
        )

    def _part(
        self, source: Resource, part: Resource, active: bool, where: str, pathway: tuple[str, ...]
    ) -> Members:
        found = [self._import(source, canonical, pathway) for canonical in part.get("valueSet", [])]
        if part.get("system"):
            found.append(self._of_system(source, part, active, where))
        if not found:
            return Members()
        both = found[0]
        for other in found[1:]:
            both = _in_both(both, other)
        return both

    def _import(self, source: Resource, canonical: str, pathway: tuple[str, ...]) -> Members:
        found = value_set(self.library, canonical, source, self.asked)
        return Members(unsure=frozenset({"*"})) if found is None else self.members(found, pathway)

    def _of_system(self, source: Resource, part: Resource, active: bool, where: str) -> Members:
        url = part["system"]
        version = self.asked.version("CodeSystem", url, part.get("version"))
        system = self.library.code_system(url, version, supplements_of(source, part))
        if system is None:
            if "concept" in part:
                return Members({url: frozenset(c.get("code", "") for c in part["concept"])})
            return Members(unsure=frozenset({url}))
        if isinstance(system, UnitSystem) and "concept" not in part:
            return self._of_units(part)
        chosen = selected(system, part, self.library.regex, where)
        concepts = system.concepts.values() if chosen is None else filter(None, map(system.find, chosen))
        codes = {concept.code for concept in concepts if not (active and concept.inactive)}
        partial = system.content != "complete"
        if partial and "concept" in part:  # a fragment says nothing against the rest of a list
            codes |= {listed.get("code", "") for listed in part["concept"]}
        if not system.case_sensitive:
            self.folded.add(url)
            codes = {code.casefold() for code in codes}
        unsure = frozenset({url} if partial and "concept" not in part else ())
        return Members({url: frozenset(codes)}, frozenset(), unsure)

    def _of_units(self, part: Resource) -> Members:
        """Units that cannot be listed: all of UCUM, or those of one canonical form."""
        filters = part.get("filter", [])
        forms = [each.get("value") for each in filters if each.get("property") == "canonical"]
        if len(forms) != len(filters) or any(each.get("op") != "=" for each in filters):
            raise refuse("not-supported", "Of UCUM, only canonical = can be asked", "unprocessable")
        wanted = {canonical_form(form or "") or form for form in forms}

        def is_in(code: str) -> bool:
            return is_unit(code) and (not forms or wanted == {canonical_form(code)})

        return Members(rules={UCUM: is_in})

    def _read(self, resource: Resource) -> Members:
        """Of an expansion that somebody else made."""
        codes: dict[str, set[str]] = {}
        waiting = list(resource.get("expansion", {}).get("contains", []))
        while waiting:
            item = waiting.pop()
            if item.get("code") and not item.get("abstract"):
                codes.setdefault(item.get("system", ""), set()).add(item["code"])
            waiting += item.get("contains", [])
        return Members({system: frozenset(had) for system, had in codes.items()})


Rule = Callable[[str], bool]


def _either(one: Rule, other: Rule) -> Rule:
    return lambda code: one(code) or other(code)


def _both(one: Rule, other: Rule) -> Rule:
    return lambda code: one(code) and other(code)


def _negated(rule: Rule) -> Rule:
    return lambda code: not rule(code)


def _but_not(rule: Rule, codes: frozenset[str]) -> Rule:
    return lambda code: code not in codes and rule(code)


def _in_both(one: Members, other: Members) -> Members:
    unsure = {s for s in one.unsure if s in other.unsure or s in other.codes or "*" in other.unsure}
    unsure |= {s for s in other.unsure if s in one.codes or "*" in one.unsure}
    codes = {system: had & other.codes.get(system, frozenset()) for system, had in one.codes.items()}
    for first, second in ((one, other), (other, one)):
        for system, rule in first.rules.items():
            ruled = frozenset(code for code in second.codes.get(system, ()) if rule(code))
            codes[system] = codes.get(system, frozenset()) | ruled
    rules = {
        system: _both(rule, other.rules[system])
        for system, rule in one.rules.items()
        if system in other.rules
    }
    return Members(codes, frozenset(), frozenset(unsure), rules)
