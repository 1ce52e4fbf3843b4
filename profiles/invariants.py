"""The invariants of types and profiles, compiled from FHIRPath.

https://hl7.org/fhir/R4/conformance-rules.html#constraints. An evaluation that fails (data that are wrong in
another way, a value set that is not known) neither refuses nor accepts: a thorough validation says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from profiles.problems import Place, Problems
from rules import fhirpath

# What needs no evaluation of its own. The structural check finds by itself, and sooner: an element without
# content, an extension with a value and extensions or neither, resources contained in contained ones. txt-2
# is published with the very expression of txt-1.
HELD = frozenset({"ele-1", "ext-1", "dom-2", "txt-2"})

# Invariants that hold wherever a look at the JSON says no (tests/profiles/test_invariants.py compares them).
GUARDS: dict[str, str] = {
    "dom-3": "'contained' in o and not all_used(o)",
    "dom-4": "'contained' in o",
    "dom-5": "'contained' in o",
    "ref-1": "'#' in str(o.get('reference', ''))[:1]",
    "per-1": "'start' in o and 'end' in o and not in_order(o['start'], o['end'])",
    "qty-3": "'code' in o or '_code' in o",
    "obs-6": "'dataAbsentReason' in o",
    "obs-7": "'component' in o",
    "cpt-2": "'system' not in o",
}


def in_order(start: Any, end: Any) -> bool:
    """Whether two times, written in the same way and zone, follow each other; False where it is not plain."""
    if type(start) is not str or type(end) is not str or len(start) != len(end):
        return False
    return start[19:] == end[19:] and start <= end if len(start) > 10 else start <= end


def all_used(resource: Mapping[str, Any]) -> bool:
    """Whether a Reference leads to each contained resource; False where only another type of element may."""
    contained = resource["contained"]
    if type(contained) is not list:
        return False
    unused = {"#" + str(item.get("id")) if type(item) is dict else "" for item in contained}
    waiting: list[Any] = [resource]
    while waiting and unused:
        value = waiting.pop()
        if type(value) is dict:
            reference = value.get("reference")
            if type(reference) is str:
                unused.discard(reference)
            waiting += [child for child in value.values() if type(child) in (dict, list)]
        elif type(value) is list:
            waiting += value
    return not unused


def all_linked(resource: Mapping[str, Any]) -> bool:
    """dom-3: each contained resource is linked to, or refers to the one that contains it."""
    listed = resource.get("contained")
    contained = [item for item in listed if type(item) is dict] if type(listed) is list else []
    links = _links(resource)
    return all("#" + str(item.get("id")) in links or "#" in _links(item) for item in contained)


def leads_inside(reference: Mapping[str, Any], out: Problems) -> bool:
    """ref-1: a reference that begins with # is to a contained resource, or to what contains it."""
    target = reference.get("reference")
    if type(target) is not str or target[:1] != "#" or target == "#":
        return True
    if out.inside is None or out.inside[0] is not out.root:
        listed = out.root.get("contained") if type(out.root) is dict else None
        ids = [item.get("id") for item in listed if type(item) is dict] if type(listed) is list else []
        out.inside = (out.root, frozenset(id_ for id_ in ids if type(id_) is str))
    return target[1:] in out.inside[1]


def _links(resource: Any) -> set[str]:
    """Every text that begins with #."""
    found, waiting = set(), [resource]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            if value[:1] == "#":
                found.add(value)
        elif type(value) is dict:
            waiting += value.values()
        elif type(value) is list:
            waiting += value
    return found


# Rules whose published expressions walk the whole resource anew for each thing that it contains or refers to:
# a client could make them last for minutes. These say the same in one pass.
_LINEAR: dict[str, Callable[[Any, Problems], bool]] = {
    "dom-3": lambda resource, _: all_linked(resource),
    "ref-1": leads_inside,
}


@dataclass(frozen=True)
class Rule:
    """An invariant on elements of a type; `profile` is the canonical of the one that asks it, or "".

    severity: error | warning | information (a best practice). `human` says it in a sentence, "" for R4's own.
    """

    key: str
    severity: str
    expression: str
    type: str
    profile: str = ""
    human: str = ""

    @cached_property
    def compiled(self) -> fhirpath.Expression | None:
        """None where the expression does not compile; `fault` says why."""
        try:
            return compile_rule(self.expression, self.type, published=not self.profile)
        except fhirpath.CompileError:
            return None

    @property
    def name(self) -> str:
        return f"{self.profile}#{self.key}" if self.profile else self.key


@lru_cache(maxsize=4096)
def compile_rule(expression: str, type_: str, *, published: bool) -> fhirpath.Expression:
    """The expression as a function of elements of that type. Raises fhirpath.CompileError."""
    return fhirpath.compile(expression, type_, published=published)


def invariant(value: Any, rule: Rule, at: Place, out: Problems) -> None:
    """Compiled checks call this for each value that a rule is about."""
    if (linear := _LINEAR.get(rule.name)) is not None:
        if not linear(value, out):
            broken(rule, at, out)
        return
    expression = rule.compiled
    if expression is None:
        unjudged(rule, "its expression does not compile", at, out)
        return
    context = out.context
    environment = None if context is None else context.environment
    try:
        held = expression.holds(value, environment, resource=out.resource, rootResource=out.root)
    except fhirpath.EvaluationError as error:
        unjudged(rule, str(error)[:200], at, out)
        return
    if held is not True:
        broken(rule, at, out)


def broken(rule: Rule, at: Place, out: Problems) -> None:
    said = f"{rule.human[:500]} ({rule.expression[:1000]})" if rule.human else rule.expression[:1000]
    text = f"{at[2]} breaks the rule {rule.key}: {said}"
    out.add("invariant", text, at, rule.severity, rule.name)


def unjudged(rule: Rule, reason: str, at: Place, out: Problems) -> None:
    if out.context is not None:
        text = f"The rule {rule.key} could not be judged: {reason}"
        out.add("not-supported", text, at, "information", rule.name)
