"""The library FHIRHelpers 4.0.1, its functions ours instead of CQL, every one a fluent function as well.

Of its external functions those are there that data alone can answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from rules.emit.library import Compiled
from rules.language.nodes import At
from rules.model import values
from rules.model.compartments import target
from rules.model.r4 import CONVERSIONS, model
from rules.runtime.clinical import in_value_set, subsumed_by, subsumes, subsumes_concept
from rules.runtime.values import ValueSet
from rules.typed.tree import TypedFunction, TypedLibrary
from rules.typed.types import BOOLEAN, QUANTITY, STRING, VALUESET, IntervalOf, ListOf, Named, Type, choice_of

_AT: Final = At(1, 1)
Function = Callable[..., Any]  # of the state of the evaluation and the operands


def _fhir(name: str) -> Named:
    return Named("FHIR", name)


@cache
def library() -> Compiled:
    """FHIRHelpers as an included library."""
    typed = TypedLibrary("FHIRHelpers", "4.0.1", [("FHIR", "4.0.1")])
    namespace: dict[str, Any] = {}
    for number, (name, operands, result, function) in enumerate([*_conversions(), *_others()]):
        named = tuple((f"operand{k}", type_) for k, type_ in enumerate(operands))
        declared = TypedFunction(name, _AT, False, "Unfiltered", True, named, result, None, number)
        typed.functions.append(declared)
        namespace[f"function_{number}_{name}"] = function
    return Compiled(typed, "", namespace, 0, {}, ())


Declared = tuple[str, tuple[Type, ...], Type, Function]


def _conversions() -> list[Declared]:
    """To System types."""
    found: list[Declared] = []
    for name, conversion in CONVERSIONS.items():
        convert = _with_state(values.converter(name))
        found.append((conversion.name, (_fhir(name),), conversion.type, convert))
    quantity: tuple[Type, ...]
    quantity, whole = (_fhir("Quantity"),), IntervalOf(QUANTITY)
    found.append(("ToInterval", quantity, whole, _with_state(values.quantity_to_interval)))
    bare = _with_state(values.quantity_ignoring_comparator)
    found.append(("ToQuantityIgnoringComparator", quantity, QUANTITY, bare))
    found.append(("ToCalendarUnit", (STRING,), STRING, _with_state(values.to_calendar_unit)))
    found.append(("ToValueSet", (STRING,), VALUESET, _with_state(lambda uri: uri and ValueSet(uri))))
    options = _value_types()
    results = choice_of(*(CONVERSIONS[o].type if o in CONVERSIONS else _fhir(o) for o in options))
    choice = choice_of(*(_fhir(option) for option in options))
    found.append(("ToValue", (choice,), results, _with_state(values.to_value)))
    return found


def _value_types() -> list[str]:
    """The types that an Extension may have."""
    found = model().classes["Extension"].elements["value"]
    return [option.name for option in getattr(found, "options", ()) if isinstance(option, Named)]


def _others() -> list[Declared]:
    extensions = ListOf(_fhir("Extension"))
    found: list[Declared] = []
    for owner in ("Element", "DomainResource"):
        found.append(("extension", (_fhir(owner), STRING), extensions, _extension("extension")))
    for owner in ("BackboneElement", "DomainResource"):
        modifier = _extension("modifierExtension")
        found.append(("modifierExtension", (_fhir(owner), STRING), extensions, modifier))
    found.append(("hasValue", (_fhir("Element"),), BOOLEAN, _with_state(_has_value)))
    found.append(("reference", (STRING,), _fhir("Reference"), _with_state(lambda s: s and {"reference": s})))
    found.append(("resolve", (STRING,), _fhir("Resource"), lambda c, text: _resolve(c, text)))
    by_reference = lambda c, value: _resolve(c, value and value.get("reference"))  # noqa: E731
    found.append(("resolve", (_fhir("Reference"),), _fhir("Resource"), by_reference))
    for source, convert in (("Coding", values.to_code), ("CodeableConcept", values.to_concept)):
        found += _terminological(source, convert)
    found.append(("memberOf", (_fhir("code"), STRING), BOOLEAN, _member_of(values.to_string)))
    return found


def _terminological(source: str, convert: Function) -> list[Declared]:
    """memberOf, subsumes and subsumedBy of a Coding or a CodeableConcept."""
    one = subsumes if source == "Coding" else subsumes_concept
    pair = (_fhir(source), _fhir(source))
    return [
        ("memberOf", (_fhir(source), STRING), BOOLEAN, _member_of(convert)),
        ("subsumes", pair, BOOLEAN, lambda c, a, b: one(convert(a), convert(b))),
        ("subsumedBy", pair, BOOLEAN, lambda c, a, b: subsumed_by(convert(a), convert(b))),
    ]


def _with_state(function: Function) -> Function:
    return lambda c, *operands: function(*operands)


def _extension(name: str) -> Function:
    """The extensions with a url."""

    def function(c: Any, value: Any, url: str | None) -> list[Any] | None:
        if value is None or url is None:
            return None
        held = value.get(name) if isinstance(value, dict) else values.beside(value, name)
        return [extension for extension in held or () if extension.get("url") == url]

    return function


def _has_value(value: Any) -> bool | None:
    """Whether a primitive has a value, and not only extensions; nothing else has one."""
    if value is None:
        return None
    if isinstance(value, values.Primitive):
        return value.value is not None
    return not isinstance(value, dict)


def _member_of(convert: Function) -> Function:
    return lambda c, value, uri: None if uri is None else in_value_set(convert(value), ValueSet(uri))


def _resolve(c: Any, reference: str | None) -> Any:
    """The resource of the data that a reference names; null where it is not among them."""
    subject = None if reference is None else target(reference)
    if subject is None:
        return None
    return next((r for r in c.unfiltered.typed(subject[0]) if r.get("id") == subject[1]), None)
