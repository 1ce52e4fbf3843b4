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
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from terminology.asked import Asked
from terminology.canonical import is_unit
from terminology.code_system import CodeSystem
from terminology.filters import Test, conditions, selected
from terminology.findings import refuse
from terminology.implicit import UCUM
from terminology.large import Condition, LargeSystem
from terminology.library import Library
from terminology.resolve import supplements_of, value_set, within
from terminology.units import UnitSystem, canonical_form

Resource = dict[str, Any]
Rule = Callable[[str], bool]
_EVERYTHING = Asked()
_NONE: frozenset[str] = frozenset()
# Codes of a large system that are listed; what selects more is a rule.
MOST_LISTED_OF_LARGE = 50_000


@dataclass(frozen=True, slots=True)
class Members:
    """`codes` by system, as the systems write them; `folded` the same casefolded, of systems whose case does
    not matter. `whole`: systems all of whose codes are in it, known or not. `rules`: systems whose codes
    cannot be listed, with what decides. `unsure`: systems some of whose codes may be in it although they are
    not in `codes`; `*` is any.
    """

    codes: dict[str, frozenset[str]] = field(default_factory=dict)
    folded: dict[str, frozenset[str]] = field(default_factory=dict)
    whole: frozenset[str] = _NONE
    rules: dict[str, Rule] = field(default_factory=dict)
    unsure: frozenset[str] = _NONE

    def has(self, system: str | None, code: str) -> bool | None:
        """Whether a code is in the value set, None where that cannot be known.

        Without a system (an element of type `code`) it may be of any.
        """
        if not system:
            return self.has_code(code)
        if code in self.codes.get(system, ()):
            return True
        if system in self.folded and code.casefold() in self.folded[system]:
            return True
        if system in self.rules and self.rules[system](code):
            return True
        return None if system in self.unsure or "*" in self.unsure else False

    def has_code(self, code: str) -> bool | None:
        """Whether the value set has this code of whatever system."""
        if any(self.has(system, code) for system in self.codes.keys() | self.rules.keys()):
            return True
        return None if self.unsure else False

    def may(self, system: str) -> bool:
        """Whether some code of the system may be in it."""
        there = system in self.codes or system in self.rules or system in self.whole
        return there or system in self.unsure or "*" in self.unsure

    def systems(self) -> set[str]:
        """The systems that are known to matter."""
        return (self.codes.keys() | self.rules.keys() | self.whole | self.unsure) - {"*"}

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every (system, code) that is known to be in it and can be listed."""
        for system, codes in self.codes.items():
            for code in codes:
                yield system, code


def members(resource: Resource, library: Library, asked: Asked = _EVERYTHING) -> Members:
    """The members of a ValueSet resource. TerminologyError where its definition makes no sense."""
    return _Compiler(library, asked.within(resource)).members(resource, ())


def subsumed(system: CodeSystem, code: str, most: int | None = None) -> frozenset[str]:
    """A code and all that are below it, as a search with `:below` has it; `most` of these at most."""
    return frozenset((code, *islice(system.under(code), most)))


def subsuming(system: CodeSystem, code: str) -> frozenset[str]:
    """A code and all that are above it (`:above`)."""
    return frozenset((code, *system.over(code)))


class _Compiler:
    def __init__(self, library: Library, asked: Asked) -> None:
        self.library, self.asked = library, asked
        self.insensitive: set[str] = set()
        self.done: dict[int, Members] = {}

    def members(self, resource: Resource, pathway: tuple[str, ...]) -> Members:
        pathway = within(pathway, resource)
        if id(resource) not in self.done:
            compose = resource.get("compose")
            found = self._read(resource) if compose is None else self._compose(resource, pathway)
            self.done[id(resource)] = found
        return self.done[id(resource)]

    def _compose(self, resource: Resource, pathway: tuple[str, ...]) -> Members:
        compose = resource["compose"]
        active = compose.get("inactive") is False or self.asked.flag("activeOnly")
        found = Members()
        for index, part in enumerate(compose.get("include", [])):
            where = f"ValueSet.compose.include[{index}]"
            more = self._part(resource, part, active, where, pathway)
            found = _in_either(found, self._active(more) if active and part.get("valueSet") else more)
        for index, part in enumerate(compose.get("exclude", [])):
            where = f"ValueSet.compose.exclude[{index}]"
            found = _without(found, self._part(resource, part, False, where, pathway))
        folded = {
            system: frozenset(map(str.casefold, codes))
            for system, codes in found.codes.items()
            if system in self.insensitive
        }
        return replace(found, folded=folded)

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

    def _active(self, found: Members) -> Members:
        """Without the inactive codes of value sets that were taken in."""
        codes = {}
        for url, had in found.codes.items():
            system = self.library.code_system(url, None)
            known = {code: system.find(code) for code in had} if system else {}
            codes[url] = frozenset(code for code in had if (c := known.get(code)) is None or not c.inactive)
        return replace(found, codes=codes, whole=_NONE)

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
            all_of_it = "filter" not in part and not active
            return Members(whole=frozenset({url} if all_of_it else ()), unsure=frozenset({url}))
        if isinstance(system, UnitSystem) and "concept" not in part:
            return _of_units(part)
        if isinstance(system, LargeSystem) and "concept" not in part:
            return self._of_large(system, part, active, where)
        chosen = selected(system, part, self.library.regex, where)
        codes = set(system.concepts if chosen is None else chosen)
        if active:
            codes = {code for code in codes if (found := system.find(code)) and not found.inactive}
        partial = system.content != "complete"
        if partial and "concept" in part:  # a fragment says nothing against the rest of a list
            codes |= {listed.get("code", "") for listed in part["concept"]}
        if not system.case_sensitive:
            self.insensitive.add(url)
        whole = frozenset({url} if chosen is None and not active else ())
        unsure = frozenset({url} if partial and "concept" not in part else ())
        return Members({url: frozenset(codes)}, whole=whole, unsure=unsure)

    def _of_large(self, system: LargeSystem, part: Resource, active: bool, where: str) -> Members:
        """The codes where they are few, and else a rule that looks into the system's indexes."""
        url = part["system"]
        if not system.case_sensitive:
            self.insensitive.add(url)
        if "filter" not in part:
            whole = frozenset(() if active else {url})
            return Members(whole=whole, rules={url: _known_in(system, active)})
        found, tests = conditions(system, part, self.library.regex, where)
        found += [Condition("active")] if active else []
        codes = system.first(found, MOST_LISTED_OF_LARGE + 1)
        if len(codes) > MOST_LISTED_OF_LARGE:
            regex = self.library.regex
            return Members(
                rules={url: _fulfilling(system, found, lambda: conditions(system, part, regex, where)[1])}
            )
        if tests:
            concepts = filter(None, map(system.find, codes))
            codes = [concept.code for concept in concepts if all(test(concept) for test in tests)]
        return Members({url: frozenset(codes)})

    def _read(self, resource: Resource) -> Members:
        """Of an expansion that somebody else made."""
        codes: dict[str, set[str]] = {}
        expansion = resource.get("expansion", {})
        waiting, listed = list(expansion.get("contains", [])), 0
        while waiting:
            item = waiting.pop()
            listed += 1
            if item.get("code") and not item.get("abstract"):
                codes.setdefault(item.get("system", ""), set()).add(item["code"])
            waiting += item.get("contains", [])
        total = expansion.get("total", 0)
        unsure = frozenset({"*"} if isinstance(total, int) and total > listed else ())
        return Members({system: frozenset(had) for system, had in codes.items()}, unsure=unsure)


def _known_in(system: CodeSystem, active: bool) -> Rule:
    def is_in(code: str) -> bool:
        concept = system.find(code)
        return concept is not None and not (active and concept.inactive)

    return is_in


def _fulfilling(system: LargeSystem, wanted: list[Condition], tests: Callable[[], list[Test]]) -> Rule:
    """`tests` makes them anew for each code, as what they may take is counted."""

    def is_in(code: str) -> bool:
        concept = system.find(code)
        return (
            concept is not None
            and all(system.fulfils(concept.code, each) for each in wanted)
            and all(test(concept) for test in tests())
        )

    return is_in


def _of_units(part: Resource) -> Members:
    """Units that cannot be listed: all of UCUM, or those of one canonical form."""
    filters = part.get("filter", [])
    forms = [each.get("value") for each in filters if each.get("property") == "canonical"]
    if len(forms) != len(filters) or any(each.get("op") != "=" for each in filters):
        raise refuse("not-supported", "Of UCUM, only canonical = can be asked", "unprocessable")
    wanted = {canonical_form(form or "") or form for form in forms}

    def is_in(code: str) -> bool:
        return is_unit(code) and (not forms or wanted == {canonical_form(code)})

    return Members(whole=frozenset(() if forms else {UCUM}), rules={UCUM: is_in})


def _in_either(one: Members, other: Members) -> Members:
    codes = dict(one.codes)
    for system, more in other.codes.items():
        codes[system] = codes[system] | more if system in codes else more
    rules = dict(one.rules)
    for system, rule in other.rules.items():
        rules[system] = _either(rules[system], rule) if system in rules else rule
    return Members(codes, {}, one.whole | other.whole, rules, one.unsure | other.unsure)


def _without(one: Members, other: Members) -> Members:
    """What is in one and not in the other; where the other is unsure, so is what is left."""
    found = Members()
    for system in one.systems():
        if system not in other.whole:
            found = _in_either(found, _left(one, other, system))
    unsure = found.unsure | (one.unsure & {"*"})
    untouched = frozenset(system for system in one.whole if not other.may(system))
    return replace(found, whole=untouched, unsure=unsure)


def _left(one: Members, other: Members, system: str) -> Members:
    """Of one system."""
    if system in other.unsure or "*" in other.unsure:
        return Members(unsure=frozenset({system}))
    less, rule = other.codes.get(system, _NONE), other.rules.get(system)
    codes = one.codes.get(system, _NONE) - less
    rules = {}
    if rule is not None:
        codes = frozenset(code for code in codes if not rule(code))
    if system in one.rules:
        left = _but_not(one.rules[system], less)
        rules = {system: left if rule is None else _both(left, _negated(rule))}
    return Members({system: codes}, {}, _NONE, rules, one.unsure & {system})


def _in_both(one: Members, other: Members) -> Members:
    found = Members(whole=one.whole & other.whole, unsure=one.unsure & other.unsure & {"*"})
    for system in one.systems() | other.systems():
        found = _in_either(found, _common(one, other, system))
    return found


def _common(one: Members, other: Members, system: str) -> Members:
    """What the two have in common of one system; all of it and a part of it are the part."""
    if system in one.whole or system in other.whole:
        part = other if system in one.whole else one
        return _of(part, system)
    codes = one.codes.get(system, _NONE) & other.codes.get(system, _NONE)
    for mine, its in ((one, other), (other, one)):
        if system in mine.rules:
            codes |= frozenset(filter(mine.rules[system], its.codes.get(system, _NONE)))
    rules = {}
    if system in one.rules and system in other.rules:
        rules = {system: _both(one.rules[system], other.rules[system])}
    doubtful = not (one.unsure | other.unsure).isdisjoint({system, "*"})
    unsure = frozenset({system} if doubtful and one.may(system) and other.may(system) else ())
    return Members({system: codes}, {}, _NONE, rules, unsure)


def _of(part: Members, system: str) -> Members:
    codes = {system: part.codes[system]} if system in part.codes else {}
    rules = {system: part.rules[system]} if system in part.rules else {}
    unsure = frozenset({system} if not part.unsure.isdisjoint({system, "*"}) else ())
    return Members(codes, {}, part.whole & {system}, rules, unsure)


def _either(one: Rule, other: Rule) -> Rule:
    return lambda code: one(code) or other(code)


def _both(one: Rule, other: Rule) -> Rule:
    return lambda code: one(code) and other(code)


def _negated(rule: Rule) -> Rule:
    return lambda code: not rule(code)


def _but_not(rule: Rule, codes: frozenset[str]) -> Rule:
    return lambda code: code not in codes and rule(code)
