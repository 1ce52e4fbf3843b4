"""The library FHIRHelpers 4.0.1, whose functions are ours instead of CQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from rules.emit.library import Compiled
from rules.language.nodes import At
from rules.model.r4 import CONVERSIONS
from rules.model.values import converter, quantity_to_interval
from rules.typed.tree import TypedFunction, TypedLibrary
from rules.typed.types import QUANTITY, IntervalOf, Named, Type

_AT: Final = At(1, 1)


@cache
def library() -> Compiled:
    """FHIRHelpers as an included library."""
    functions = [(c.name, name, c.type, converter(name)) for name, c in CONVERSIONS.items()]
    functions.append(("ToInterval", "Quantity", IntervalOf(QUANTITY), quantity_to_interval))
    typed = TypedLibrary("FHIRHelpers", "4.0.1", [("FHIR", "4.0.1")])
    namespace: dict[str, Any] = {}
    for number, (name, source, result, function) in enumerate(functions):
        typed.functions.append(_declared(name, source, result, number))
        namespace[f"function_{number}_{name}"] = _with_state(function)
    return Compiled(typed, "", namespace, 0, {}, ())


def _declared(name: str, source: str, result: Type, number: int) -> TypedFunction:
    operands = (("value", Named("FHIR", source)),)
    return TypedFunction(name, _AT, False, "Unfiltered", False, operands, result, None, number)


def _with_state(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda c, value: function(value)
