"""Turns a type of the definitions into the Python function that checks the structure of its instances.

https://hl7.org/fhir/R4/json.html. The function is built as a syntax tree: what comes from a definition is
only ever a constant or a name made here. `explain` shows it as text.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from profiles.assembly import constant, fill, module, placed, test
from profiles.definitions import Binding, Definitions, Element, Invariant, TypeDef, TypeRef
from profiles.invariants import GUARDS, HELD, Rule
from profiles.primitives import PRIMITIVES
from profiles.shapes import shape_of


@dataclass(frozen=True, slots=True)
class Emitted:
    """The function `check_X(o, at, out)` of a type, and the names that it refers to."""

    function: str
    module: ast.Module
    constants: Mapping[str, Any]
    calls: Mapping[str, str]  # function -> type it checks


# The parts a function is put together from. `o` is the object, `n` how many of its properties were known and
# not null: at the end it must equal len(o), or something needs a closer look. `d` is the depth of children.

_FUNCTION = """
def FUNCTION(o, at, out):
    if type(o) is not dict:
        return out.not_object(o, at)
    d = at[0] + 1
    if d > DEEPEST:
        return out.too_deep(at)
    n = START
"""
_SCALAR = """
v = o.get(NAME)
if v is not None:
    n += 1
    if not (TEST):
        out.FAIL(WHAT, v, (d, at, NAME))
"""
_LIST = """
v = o.get(NAME)
if v is not None:
    n += 1
    if type(v) is not list or not v:
        out.not_list(v, (d, at, NAME))
    else:
        for i, v in enumerate(v):
            if not (TEST) and not (v is None and paired(o, SIBLING, i)):
                out.FAIL(WHAT, v, (d, at, NAME, i))
"""
_OBJECT = """
v = o.get(NAME)
if v is not None:
    n += 1
    CHECK(v, (d, at, NAME), out)
"""
_OBJECTS = """
v = o.get(NAME)
if v is not None:
    n += 1
    if type(v) is not list or not v:
        out.not_list(v, (d, at, NAME))
    else:
        for i, v in enumerate(v):
            CHECK(v, (d, at, NAME, i), out)
"""
_MISSING = """
if NAME not in o:
    out.missing(NAME, at)
"""
_MISSING_PRIMITIVE = """
if NAME not in o and SIBLING not in o:
    out.missing(NAME, at)
"""
_END = """
if n != len(o):
    rest(o, at, out, SHAPE)
elif not n:
    out.empty_object(at)
"""
_END_WITH_CHOICES = """
seen = 0
if n != len(o):
    m, seen = choices(o, at, out, CHOICES)
    if n + m != len(o):
        rest(o, at, out, SHAPE)
elif not n:
    out.empty_object(at)
"""
_REQUIRED_CHOICES = """
if seen & REQUIRED != REQUIRED:
    missing_choices(o, seen, at, out, SHAPE)
"""
# https://hl7.org/fhir/R4/extensibility.html#Extension: a value or extensions, never both (ext-1)
_EXTENSION = """
if (seen == 0) != ('extension' in o):
    extension_content(o, seen, at, out, SHAPE)
"""
# What an element asks for beyond its type: a Reference's targets, a CodeableConcept's required codes.
_OBJECT_ALSO = _OBJECT + "    ALSO(v, LIMITS, (d, at, NAME), out)\n"
_OBJECTS_ALSO = _OBJECTS + "            ALSO(v, LIMITS, (d, at, NAME, i), out)\n"

# Of each value of an element: a binding, or an invariant that the element adds to its type's.
_JUDGED = """
v = o.get(NAME)
if v is not None:
    JUDGE(v, BY, (d, at, NAME), out)
"""
_JUDGED_MANY = """
v = o.get(NAME)
if type(v) is list:
    for i, v in enumerate(v):
        JUDGE(v, BY, (d, at, NAME, i), out)
"""
_JUDGED_CHOICE = """
v, t, q = chosen(o, CHOICES)
if v is not None:
    JUDGE(v, BY, (d, at, q), out)
"""
# Extensions in the place of a required code.
_CODED = """
v = o.get(SIBLING)
if v is not None:
    coded(o.get(NAME), v, (d, at, NAME), out)
"""
# Invariants of the value `o` itself.
_INVARIANT = """
invariant(o, RULE, at, out)
"""
_GUARDED = """
if GUARD:
    invariant(o, RULE, at, out)
"""
# What a thorough check asks of every value of a type beyond its structure.
_CLOSER = """
CLOSER(o, at, out)
"""
CLOSER = {
    "Extension": "known_extension",
    "Coding": "known_code",
    "Quantity": "known_unit",
    "Identifier": "named_absolutely",
    "Narrative": "without_entities",
}
# The same of elements of primitive types.
CLOSER_OF_PRIMITIVES = {
    "absolute": ("canonical",),
    "real_url": ("uri", "url", "canonical"),
    "plain_markdown": ("markdown",),
}

DEEPEST = 100  # levels of elements; the JSON decoder refuses far shallower nonsense than Python's own limit


def function_name(type_: str) -> str:
    """check_Observation_component for Observation.component."""
    return "check_" + type_.replace(".", "_")


def emit(definitions: Definitions, type_: str, *, thorough: bool = False) -> Emitted:
    """The check of a complex type, resource type or backbone element; equal definitions give equal trees.

    A thorough one has remarks as well, and calls what only a profiles.context.Context can answer.
    """
    definition = definitions.types[type_]
    return _Emitter(definitions, definition, thorough).emit()


def emit_primitive(type_: str) -> Emitted:
    """The check of a lone primitive, as a choice element may hold it."""
    name = function_name(type_)
    body = "def FUNCTION(v, at, out):\n    if not (TEST):\n        out.primitive(WHAT, v, at)"
    statements = fill(body, FUNCTION=name, TEST=primitive_test(type_), WHAT=constant(type_))
    return Emitted(name, module(statements), {}, {})


def explain(emitted: Emitted) -> str:
    """The function as Python text."""
    return ast.unparse(emitted.module)


class _Emitter:
    """One run over the elements of a type, collecting statements and the constants that they name."""

    def __init__(self, definitions: Definitions, definition: TypeDef, thorough: bool) -> None:
        self.definitions = definitions
        self.thorough = thorough
        self.definition = definition
        self.name = function_name(definition.name)
        self.constants: dict[str, Any] = {}
        self.calls: dict[str, str] = {}

    def emit(self) -> Emitted:
        is_resource = self.definition.kind == "resource"
        start = constant(1 if is_resource else 0)  # resourceType is no element, but counts as a property
        (function,) = fill(_FUNCTION, FUNCTION=self.name, START=start, DEEPEST=constant(DEEPEST))
        assert isinstance(function, ast.FunctionDef)
        for element in self.definition.elements.values():
            if not element.choice:
                function.body += self.element(element)
            if self.thorough:
                function.body += self.closer(element)
            function.body += self.element_invariants(element)
        function.body += self.end()
        function.body += self.invariants()
        if self.thorough and (closer := CLOSER.get(self.definition.name)):
            function.body += fill(_CLOSER, CLOSER=closer)
        return Emitted(self.name, module([function]), self.constants, self.calls)

    def element(self, element: Element) -> list[ast.stmt]:
        (type_,) = element.types
        if type_.code in PRIMITIVES:
            return self.primitive(element, type_)
        many = element.max is None
        parts: dict[str, str | ast.expr] = {
            "NAME": constant(element.name),
            "CHECK": self.check(element, type_),
        }
        if also := self.also(element, type_):
            statements = fill(_OBJECTS_ALSO if many else _OBJECT_ALSO, **parts, **also)
        else:
            statements = fill(_OBJECTS if many else _OBJECT, **parts)
        if element.min:
            statements += fill(_MISSING, **parts)
        return statements

    def also(self, element: Element, type_: TypeRef) -> dict[str, str | ast.expr]:
        """What the element asks of its value beyond the type, as parts of _OBJECT_ALSO; {} for nothing."""
        if type_.code == "Reference" and type_.targets:
            return {
                "ALSO": "target",
                "LIMITS": self.constant(element.name, "targets", frozenset(type_.targets)),
            }
        if codes := self.definitions.value_sets.get(element.value_set or ""):
            return {"ALSO": "bound", "LIMITS": self.constant(element.name, "codes", codes)}
        return {}

    def primitive(self, element: Element, type_: TypeRef) -> list[ast.stmt]:
        name, sibling = constant(element.name), constant("_" + element.name)
        fail, what = "primitive", constant(type_.code)
        good = primitive_test(type_.code)
        if element.required_codes is not None:
            fail, what = "code", self.constant(element.name, "codes", element.required_codes)
            good = test("type(v) is str and v in CODES", CODES=what)
        statements = fill(
            _LIST if element.max is None else _SCALAR,
            NAME=name,
            SIBLING=sibling,
            TEST=good,
            FAIL=fail,
            WHAT=what,
        )
        if element.min:
            statements += fill(_MISSING_PRIMITIVE, NAME=name, SIBLING=sibling)
        return statements

    def closer(self, element: Element) -> list[ast.stmt]:
        """What a thorough check asks of an element besides."""
        statements = self.binding(element, element.binding) if element.binding else []
        if element.required_codes is not None and element.types[0].code in PRIMITIVES:
            statements += fill(_CODED, NAME=constant(element.name), SIBLING=constant("_" + element.name))
        for judge, types in CLOSER_OF_PRIMITIVES.items():
            if any(type_.code in types for type_ in element.types):
                statements += self.each(element, judge, constant(None), types)
        return statements

    def binding(self, element: Element, binding: Binding) -> list[ast.stmt]:
        """What is judged by membership alone; codes that can be listed were compared already."""
        if binding.strength == "required" and binding.value_set in self.definitions.value_sets:
            return []
        return self.each(element, "bound_by", self.constant(element.name, "binding", binding))

    def each(self, element: Element, judge: str, by: ast.expr, of: Collection[str] = ()) -> list[ast.stmt]:
        """The function called with each value of the element (of these types), and what it is judged by."""
        parts: dict[str, str | ast.expr] = {"JUDGE": judge, "BY": by, "NAME": constant(element.name)}
        if element.choice:
            return fill(_JUDGED_CHOICE, CHOICES=self.labels(element, of), **parts)
        return fill(_JUDGED_MANY if element.max is None else _JUDGED, **parts)

    def labels(self, element: Element, of: Collection[str] = ()) -> ast.expr:
        """The properties of a choice element (of these types), with their type and what a path calls it."""
        labels = {
            name: (type_.code, f"{element.name}.ofType({type_.code})")
            for name, type_ in element.properties.items()
            if not of or type_.code in of
        }
        return self.constant(element.name, "_".join(["choices", *of]), labels)

    def judged(self, invariants: Iterable[Invariant]) -> list[Invariant]:
        """Those that a check of this kind evaluates: what is less than an error refuses no write."""
        return [i for i in invariants if i.key not in HELD and (self.thorough or i.severity == "error")]

    def invariants(self) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for own in self.judged(self.definition.invariants):
            rule = Rule(own.key, own.severity, own.expression, self.definition.name)
            parts: dict[str, str | ast.expr] = {"RULE": self.constant("", _letters(own.key), rule)}
            guard = GUARDS.get(own.key)
            statements += fill(_GUARDED, GUARD=test(guard), **parts) if guard else fill(_INVARIANT, **parts)
        return statements

    def element_invariants(self, element: Element) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for own in self.judged(element.invariants):
            rule = Rule(own.key, own.severity, own.expression, element.types[0].code)
            statements += self.each(
                element, "invariant", self.constant(element.name, _letters(own.key), rule)
            )
        return statements

    def check(self, element: Element, type_: TypeRef) -> str:
        """The name of the function for a child object."""
        if type_.code == "Resource":
            return "check_contained" if element.name == "contained" else "check_resource"
        target = type_.profile or type_.code
        function = function_name(target)
        self.calls[function] = target
        return function

    def end(self) -> list[ast.stmt]:
        shape = shape_of(self.definition)
        names = {"SHAPE": self.constant("", "shape", shape)}
        if not shape.choices:
            return fill(_END, **names)
        names["CHOICES"] = self.constant("", "choices", shape.choices)
        statements = fill(_END_WITH_CHOICES, **names)
        if shape.required:
            statements += fill(_REQUIRED_CHOICES, **names, REQUIRED=constant(shape.required))
        if self.definition.name == "Extension":
            statements += fill(_EXTENSION, **names)
        return statements

    def constant(self, element: str, purpose: str, value: Any) -> ast.expr:
        parts = (self.definition.name.replace(".", "_"), element, purpose)
        name = "_".join(part for part in parts if part)
        self.constants[name] = value
        return placed(ast.Name(name, ast.Load()))


def _letters(key: str) -> str:
    """dom-6 as a part of a name."""
    return key.replace("-", "_")


@cache
def primitive_test(type_: str) -> ast.expr:
    """Shared by all elements of the type: trees are never changed once they are made."""
    return test(PRIMITIVES[type_].test)
