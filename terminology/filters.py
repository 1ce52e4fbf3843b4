"""Which concepts of a code system an include or exclude of a value set selects.

https://hl7.org/fhir/R4/valueset.html#compositions, https://hl7.org/fhir/R4/valueset-filter-operator.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from terminology.code_system import PROPERTIES, CodeSystem, Concept, extension_value, value_of
from terminology.findings import TerminologyError, finding
from terminology.implicit import SNOMED
from terminology.large import Condition, LargeSystem

# Compiles a regular expression to a test of a whole text; raises ValueError where it is none, or one that
# could take too long. The caller brings it: terminology imports no engine.
Regex = Callable[[str], Callable[[str], bool]]
# What can be asked of the hierarchy of a code system and of its properties; of a large one, less.
OF_HIERARCHY = ("is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf")
OF_LARGE_HIERARCHY = tuple(op for op in OF_HIERARCHY if op != "is-not-a")
OF_PROPERTIES = ("=", "in", "not-in", "exists", "regex")
OF_LARGE = ("=", "in")
_HIERARCHY = frozenset(OF_HIERARCHY)


def selected(system: CodeSystem, include: dict[str, Any], regex: Regex, where: str) -> list[str] | None:
    """The codes of an include (None: all of the system), in the order to list them.

    TerminologyError for a filter that makes no sense; `where` is its element's FHIRPath.
    """
    if "concept" in include:
        found = (system.find(listed.get("code", "")) for listed in include["concept"])
        return list(dict.fromkeys(concept.code for concept in found if concept))
    filters = include.get("filter", [])
    if not filters:
        return None
    passing = [
        _understood(_passing, system, asked, regex, f"{where}.filter[{index}]")
        for index, asked in enumerate(filters)
    ]
    others = [set(codes) for codes in passing[1:]]
    return [code for code in passing[0] if all(code in codes for codes in others)]


Test = Callable[[Concept], bool]


def conditions(
    system: LargeSystem, include: dict[str, Any], regex: Regex, where: str
) -> tuple[list[Condition], list[Test]]:
    """The filters of an include of a large system: those that its indexes answer, and tests for the others.

    TerminologyError where none of them is answered by an index.
    """
    found: list[Condition] = []
    tests: list[Test] = []
    asked = include.get("filter", [])
    for index, each in enumerate(asked):
        here = f"{where}.filter[{index}]"
        condition = _understood(_condition, system, each, regex, here)
        if condition:
            found.append(condition)
        else:
            test = _understood(_predicate, system, each, regex, here)
            tests.append(_guarded(test, system, each, here))
    if tests and not found:
        raise _not_understood(system, asked[0], f"{where}.filter[0]", _TOO_LARGE)
    return found, tests


def _guarded(test: Test, system: CodeSystem, asked: dict[str, Any], where: str) -> Test:
    """A test whose ValueErrors become TerminologyErrors."""

    def passes(concept: Concept) -> bool:
        try:
            return test(concept)
        except ValueError as error:
            raise _not_understood(system, asked, where, str(error)) from None

    return passes


_TOO_LARGE = "of a system of this size, only the hierarchy and = and in for its properties can be asked alone"


def _condition(system: CodeSystem, asked: dict[str, Any], regex: Regex) -> Condition | None:
    name, op, value = asked["property"], asked["op"], asked["value"]
    if op == "is-not-a":
        return None
    if op in _HIERARCHY:
        top, code = _top(system, name, value)
        return Condition(op, (code,) if top else ())
    if _asks_for_a_set(system, name, op):
        _check_set(system, value)
        return Condition("member", (value,))
    if op not in ("=", "in") or not _has_property(system, name) or system.property_uri(name) is not None:
        return None
    values = (value,) if op == "=" else tuple(part.strip() for part in value.split(","))
    return Condition("property", values, name)


def _asks_for_a_set(system: CodeSystem, name: str, op: str) -> bool:
    """https://hl7.org/fhir/R4/snomedct.html#filters: `concept in` is about a reference set."""
    return system.url == SNOMED and (name, op) == ("concept", "in")


def _check_set(system: CodeSystem, name: str) -> None:
    if not isinstance(system, LargeSystem) or not system.has_set(name):
        raise ValueError("it asks for a reference set that is not known here")


def check(system: CodeSystem, include: dict[str, Any], regex: Regex, where: str) -> None:
    """TerminologyError for a filter of an include that makes no sense."""
    for index, asked in enumerate(include.get("filter", [])):
        _understood(_predicate, system, asked, regex, f"{where}.filter[{index}]")


def holds(system: CodeSystem, include: dict[str, Any], concept: Concept, regex: Regex, where: str) -> bool:
    """Whether an include selects a concept: as `selected`, without looking at the others."""
    if "concept" in include:
        listed = (system.find(each.get("code", "")) for each in include["concept"])
        return any(found is not None and found.code == concept.code for found in listed)

    def passes(*asked: Any) -> bool:
        return _predicate(*asked)(concept)

    return all(
        _understood(passes, system, asked, regex, f"{where}.filter[{index}]")
        for index, asked in enumerate(include.get("filter", []))
    )


T = TypeVar("T")


def _understood(
    read: Callable[[CodeSystem, dict[str, Any], Regex], T],
    system: CodeSystem,
    asked: dict[str, Any],
    regex: Regex,
    where: str,
) -> T:
    """What `read` makes of a filter; its ValueErrors become TerminologyErrors."""
    name, op, value = asked.get("property", ""), asked.get("op", ""), asked.get("value")
    words = {"system": system.url, "property": name, "op": op}
    if not value:
        problem = finding("UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE", where, **words)
        raise TerminologyError(problem, "invalid")
    try:
        return read(system, asked, regex)
    except ValueError as error:
        raise _not_understood(system, asked, where, str(error)) from None


def _not_understood(system: CodeSystem, asked: dict[str, Any], where: str, reason: str) -> TerminologyError:
    words = {name: asked.get(name, "") for name in ("property", "op")}
    words |= {"system": system.url, "value": str(asked.get("value"))[:100], "reason": reason}
    return TerminologyError(finding("FILTER_NOT_UNDERSTOOD", where, **words), "invalid")


def _passing(system: CodeSystem, asked: dict[str, Any], regex: Regex) -> list[str]:
    name, op, value = asked["property"], asked["op"], asked["value"]
    if op in _HIERARCHY:
        return _by_hierarchy(system, name, op, value)
    passes = _predicate(system, asked, regex)
    return [concept.code for concept in system.walk() if passes(concept)]


def _predicate(system: CodeSystem, asked: dict[str, Any], regex: Regex) -> Callable[[Concept], bool]:
    name, op, value = asked.get("property", ""), asked.get("op", ""), asked["value"]
    if op in _HIERARCHY:
        return _in_hierarchy(system, name, op, value)
    if _asks_for_a_set(system, name, op):
        _check_set(system, value)
        assert isinstance(system, LargeSystem)
        fulfils, member = system.fulfils, Condition("member", (value,))
        return lambda concept: fulfils(concept.code, member)
    test = _test(op, value, regex)
    read = _reader(system, name)
    return lambda concept: test(read(concept))


def _in_hierarchy(system: CodeSystem, name: str, op: str, value: str) -> Callable[[Concept], bool]:
    top, value = _top(system, name, value)
    if top is None:
        return lambda concept: op == "is-not-a"

    def is_below(concept: Concept) -> bool:
        return concept.code != value and value in system.over(concept.code)

    match op:
        case "is-a":
            return lambda concept: concept.code == value or is_below(concept)
        case "descendent-of":
            return is_below
        case "descendent-leaf":
            return lambda concept: is_below(concept) and not concept.children
        case "child-of":
            return lambda concept: value in concept.parents
        case "generalizes":
            over = system.over(value) | {value}
            return lambda concept: concept.code in over
    return lambda concept: concept.code != value and not is_below(concept)


def _top(system: CodeSystem, name: str, value: str) -> tuple[Concept | None, str]:
    """The concept that a question of hierarchy is about, None where a fragment does not have it."""
    if name not in ("concept", "code"):
        raise ValueError("a question of hierarchy is about the property concept")
    top = system.find(value)
    if top is None and system.content == "complete":
        raise ValueError("the code system has no such code")
    return top, top.code if top else value


def _by_hierarchy(system: CodeSystem, name: str, op: str, value: str) -> list[str]:
    top, code = _top(system, name, value)
    match op:
        case "is-a":
            return [code, *system.under(code)] if top else []
        case "descendent-of":
            return list(system.under(code))
        case "descendent-leaf":
            return [below for below in system.under(code) if not system.concepts[below].children]
        case "child-of":
            return list(top.children) if top else []
        case "generalizes":
            return [code, *sorted(system.over(code) - {code})] if top else []
    inside = {code, *system.under(code)}
    return [concept.code for concept in system.walk() if concept.code not in inside]


def _test(op: str, value: str, regex: Regex) -> Callable[[list[str]], bool]:
    """A test of the values that a concept has for the property."""
    match op:
        case "=":
            return lambda has: value in has
        case "in":
            listed = {part.strip() for part in value.split(",")}
            return lambda has: not listed.isdisjoint(has)
        case "not-in":
            listed = {part.strip() for part in value.split(",")}
            return lambda has: listed.isdisjoint(has)
        case "exists":
            if value not in ("true", "false"):
                raise ValueError("exists takes true or false")
            return lambda has: bool(has) is (value == "true")
        case "regex":
            matches = regex(value)
            return lambda has: any(matches(text) for text in has)
    raise ValueError("there is no such operator")


def _reader(system: CodeSystem, name: str) -> Callable[[Concept], list[str]]:
    """What a concept has for a property, as text. ValueError where the system has no such property."""
    match name:
        case "code" | "concept":
            return lambda concept: [concept.code]
        case "display":
            return lambda concept: [concept.display] if concept.display else []
        case "definition":
            return lambda concept: [concept.definition] if concept.definition else []
        case "designation":
            return lambda concept: [text.value for text in concept.designations]
        case "parent":
            return lambda concept: concept.parents
        case "child":
            return lambda concept: concept.children
    if system.property_uri(name) == f"{PROPERTIES}#inactive":
        return lambda concept: ["true" if concept.inactive else "false"]
    if not _has_property(system, name):
        raise ValueError("the code system has no such property")
    return lambda concept: [_text(value_of(p)) for p in concept.properties if p.get("code") == name]


def _has_property(system: CodeSystem, name: str) -> bool:
    declared = any(part.get("code") == name for part in system.resource.get("property", []))
    filters = any(part.get("code") == name for part in system.resource.get("filter", []))
    return declared or filters or system.property_uri(name) is not None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return str(value)


def is_excluded_from_use(extensions: Iterable[dict[str, Any]]) -> str | None:
    """The status with which a value set marks one of its concepts as not to be used any more."""
    status = extension_value(
        extensions, "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
    )
    if status in ("withdrawn", "deprecated"):
        return str(status)
    marked = extension_value(extensions, "http://hl7.org/fhir/StructureDefinition/valueset-deprecated")
    return "deprecated" if marked in (True, "true") else None
