"""Whether a resource is built as R4 defines it: elements, cardinality, types, formats, required codes.

https://hl7.org/fhir/R4/validation.html (structure, cardinality, value domains, bindings and invariants;
profiles are for profiles/validation.py). Each type's check is compiled by profiles/emit.py when it is first
needed, in one of two forms: what refuses a write, and thoroughly, with what only deserves a remark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from profiles.definitions import load
from profiles.emit import Emitted, emit, emit_primitive, explain
from profiles.invariants import all_used, in_order, invariant
from profiles.primitives import NAMES, PRIMITIVES
from profiles.problems import Place, Problem, Problems, TooMany, inside
from profiles.shapes import Choice, Shape

__all__ = ["Problem", "source", "validate"]

Check = Callable[[Any, Place, Problems], None]


def validate(resource: Any) -> list[Problem]:
    """Every problem of a decoded JSON resource, at most 100 and a note if there are more; none if it is fine.

    Never raises, whatever it is given. Whether references lead anywhere is not looked at. Invariants are told
    only where the structure is right: of other resources they do not say anything that a person can use.
    """
    problems = Problems()
    root = place_of(resource)
    try:
        QUICK.check_resource(resource, root, problems)
    except TooMany:
        more = Problem("information", "informational", "There are more problems than these", root[2])
        problems.found.append(more)
    found = problems.found
    return ([problem for problem in found if not problem.rule] or found) if found else found


def place_of(resource: Any) -> Place:
    """Where the check of a resource starts."""
    name = resource.get("resourceType") if type(resource) is dict else None
    return (0, None, name if type(name) is str and name in _RESOURCE_TYPES else "Resource")


def source(type_: str, *, thorough: bool = False) -> str:
    """The compiled check of a type, as Python text."""
    return explain((THOROUGH if thorough else QUICK).emit(type_))


_RESOURCE_TYPES = frozenset(load().resource_types)


class Checks:
    """The compiled checks of types, each made when it is first needed: a reading needs some 20 of the 680.

    `names` is what compiled checks see; profiles/validation.py adds what thorough ones call besides.
    """

    def __init__(self, *, thorough: bool) -> None:
        self.thorough = thorough
        self.closer: Check | None = None  # what to look at besides in every resource
        self._checks: dict[str, Check] = {}
        self.names: dict[str, Any] = {
            **NAMES,
            "check_resource": self.check_resource,
            "check_contained": self.check_contained,
            "choices": self.choices,
            "missing_choices": missing_choices,
            "rest": self.rest,
            "paired": paired,
            "extension_content": extension_content,
            "bound": bound,
            "target": target,
            "invariant": invariant,
            "in_order": in_order,
            "all_used": all_used,
            "chosen": chosen,
        }

    def emit(self, type_: str) -> Emitted:
        return emit_primitive(type_) if type_ in PRIMITIVES else emit(load(), type_, thorough=self.thorough)

    def check(self, type_: str) -> Check:
        return self._checks.get(type_) or self._compile(type_)

    def _compile(self, type_: str) -> Check:
        """Put the check of a type among the names that compiled checks see."""
        emitted = self.emit(type_)
        self.names.update(emitted.constants)
        for function, called in emitted.calls.items():
            self.names.setdefault(function, self._compile_at_first_call(called))
        code = compile(emitted.module, f"<check of {type_}>", "exec")
        exec(code, self.names)  # noqa: S102 - a tree that we built
        check: Check = self.names[emitted.function]
        self._checks[type_] = check
        return check

    def _compile_at_first_call(self, type_: str) -> Check:
        def check(value: Any, at: Place, out: Problems) -> None:
            self.check(type_)(value, at, out)

        return check

    # What compiled checks call for the less usual part of their work.

    def check_resource(self, value: Any, at: Place, out: Problems) -> None:
        """A resource of any type, wherever one may stand."""
        if type(value) is not dict:
            out.not_object(value, at)
            return
        before = out.resource, out.root
        out.resource = out.root = value
        self._check_named(value, at, out)
        out.resource, out.root = before

    def _check_named(self, value: dict[str, Any], at: Place, out: Problems) -> None:
        name = value.get("resourceType")
        if type(name) is str and name in _RESOURCE_TYPES:
            self.check(name)(value, at, out)
            if self.closer:
                self.closer(value, at, out)
        elif name is None:
            out.add("structure", "A resource must say its resourceType", at)
        else:
            out.add("structure", "resourceType is not the name of an R4 resource type", at)

    def check_contained(self, value: Any, at: Place, out: Problems) -> None:
        """https://hl7.org/fhir/R4/references.html#contained"""
        if type(value) is not dict:
            out.not_object(value, at)
            return
        before, out.resource = out.resource, value
        self._check_named(value, at, out)
        out.resource = before
        if "id" not in value:
            out.missing("id", at)
        if "contained" in value:
            out.add("structure", "A contained resource cannot contain resources", inside(at, "contained"))

    def choices(
        self, value: Mapping[str, Any], at: Place, out: Problems, choices: Mapping[str, Choice]
    ) -> tuple[int, int]:
        """Check the choice elements of an object: how many properties, and the bits of those seen."""
        known = seen = 0
        for name, child in value.items():
            choice = choices.get(name)
            if choice is None or child is None:
                continue
            known += 1
            if seen & choice.bit:
                out.second_choice(choice.element, inside(at, choice.element))
            seen |= choice.bit
            type_ = choice.type
            place = (at[0] + 1, at, choice.label)
            self.check(type_.profile or type_.code)(child, place, out)
            if type_.targets and type_.code == "Reference":
                target(child, type_.targets, place, out)
        return known, seen

    def rest(self, value: Mapping[str, Any], at: Place, out: Problems, shape: Shape) -> None:
        """Account for what the compiled code did not: nulls, primitives' extensions, unknowns."""
        for name, child in value.items():
            if name in shape.plain or name in shape.choices:
                if child is None:
                    out.null(inside(at, name))
            elif name in shape.primitives:
                self._extended_primitive(value, name, child, at, out, shape)
            else:
                out.unknown(name, shape.groups, shape.plain, at)

    def _extended_primitive(
        self, value: Mapping[str, Any], name: str, child: Any, at: Place, out: Problems, shape: Shape
    ) -> None:
        """`_birthDate`: id and extensions of a primitive, https://hl7.org/fhir/R4/json.html#primitive"""
        label, many = shape.primitives[name]
        if not many:
            self.check("Element")(child, inside(at, label), out)
            return
        if type(child) is not list or not child:
            out.not_list(child, inside(at, label))
            return
        values = value.get(name[1:])
        if type(values) is list and len(values) != len(child):
            out.add("structure", f"{name} and {name[1:]} must be equally long", inside(at, label))
        for index, item in enumerate(child):
            if item is not None:
                self.check("Element")(item, inside(at, label, index), out)
            elif values is None:
                out.null(inside(at, label, index))


def chosen(value: Mapping[str, Any], choices: Mapping[str, tuple[str, str]]) -> tuple[Any, Any, Any]:
    """The value of a choice element, its type, and what a path calls it; three times None without one."""
    for name, child in value.items():
        if name in choices and child is not None:
            return (child, *choices[name])
    return None, None, None


def missing_choices(value: Mapping[str, Any], seen: int, at: Place, out: Problems, shape: Shape) -> None:
    for group, names in shape.groups.items():
        bit = shape.choices[names[0]].bit
        if bit & shape.required & ~seen and not any("_" + name in value for name in names):
            out.missing(group, at, "[x]")


def paired(value: Mapping[str, Any], name: str, index: int) -> bool:
    """Whether a null in a list of primitives stands for the extensions at the same place of `_name`."""
    items = value.get(name)
    return type(items) is list and index < len(items) and items[index] is not None


def extension_content(value: Mapping[str, Any], seen: int, at: Place, out: Problems, shape: Shape) -> None:
    if seen:
        out.add("invalid", "An extension has either a value or extensions, not both", at)
    elif not any("_" + name in value for name in shape.choices):
        out.add("invalid", "An extension needs a value or extensions", at)


def bound(value: Any, codes: Mapping[str, frozenset[str]], at: Place, out: Problems) -> None:
    """A CodeableConcept needs one coding from its required value set; extensions may say why it has none."""
    if type(value) is not dict:
        return
    codings = value.get("coding")
    if type(codings) is not list:
        good = "extension" in value
    else:
        good = any(type(coding) is dict and _is_of(coding, codes) for coding in codings)
    if not good:
        out.concept(frozenset().union(*codes.values()), at)


def _is_of(coding: Mapping[str, Any], codes: Mapping[str, frozenset[str]]) -> bool:
    system, code = coding.get("system"), coding.get("code")
    return type(system) is str and type(code) is str and code in codes.get(system, ())


# A literal reference to a resource on any RESTful server, https://hl7.org/fhir/R4/references.html#literal
_LITERAL = re.compile(
    r"(?:https?://\S*/)?([A-Z][A-Za-z]+)(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|\?.*)"
).fullmatch


def target(value: Any, targets: frozenset[str] | tuple[str, ...], at: Place, out: Problems) -> None:
    """The type that a Reference names, by its URL or its `type`, must be one of the element's targets."""
    if type(value) is not dict:
        return
    reference = value.get("reference")
    if type(reference) is str and reference.partition("/")[0] not in targets:
        match = _LITERAL(reference)
        if match and match[1] in _RESOURCE_TYPES and match[1] not in targets:
            out.target(match[1], targets, at)
    type_ = value.get("type")
    if type(type_) is str and type_ in _RESOURCE_TYPES and type_ not in targets:
        out.target(type_, targets, inside(at, "type"))


QUICK = Checks(thorough=False)
THOROUGH = Checks(thorough=True)
