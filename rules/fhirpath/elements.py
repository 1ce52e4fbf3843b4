"""Items whose type only the evaluation knows: contained resources, resolved references, children, extensions.

https://hl7.org/fhir/R4/fhirpath.html. Where the type is known beforehand, the emitted code reads plain dicts
and never comes here. A collection of such items holds Elements and System values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from rules.fhirpath import types
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Long, Quantity

_MOST_DESCENDANTS: Final = 1_000_000


@dataclass(slots=True, eq=False)
class Element:
    """A FHIR element with its type.

    `value` is its JSON value, None for a primitive that has only extensions; `extra` is what JSON has beside
    a primitive under its name with an underscore (https://hl7.org/fhir/R4/json.html#primitive), or None.
    """

    value: Any
    type: str
    extra: Any = None


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What `type()` gives."""

    namespace: str
    name: str


def resource(value: Any) -> Element:
    """A resource, whose type is what it says. Raises EvaluationError where it says none."""
    type = value.get("resourceType")
    if not isinstance(type, str) or not types.is_resource(type):
        raise EvaluationError("a resource says no type that is known")
    return Element(value, type)


def joined(value: Any, extra: Any, type: str) -> Any:
    """A primitive in a list: its value, or an Element where there is more to it."""
    return value if extra is None else Element(value, type, extra)


def split(item: Any) -> tuple[Any, Any]:
    """The value of a primitive from such a list, and what stands beside it."""
    return (item.value, item.extra) if item.__class__ is Element else (item, None)


def pairs(owner: Any, key: str) -> Iterable[tuple[Any, Any]]:
    """The values of a repeating primitive, each with what stands beside it."""
    values, extras = owner.get(key) or (), owner.get("_" + key)
    if extras is None:
        return [(value, None) for value in values if value is not None]
    length = max(len(values), len(extras))
    found = zip(_padded(values, length), _padded(extras, length), strict=True)
    return [pair for pair in found if pair[0] is not None or pair[1] is not None]


def _padded(values: Iterable[Any], length: int) -> list[Any]:
    filled = list(values)
    return filled + [None] * (length - len(filled))


# Going down


def member(item: Any, name: str) -> list[Any]:
    """The children of an item that are called so."""
    if item.__class__ is not Element:
        if item.__class__ is TypeInfo and name in ("namespace", "name"):
            return [getattr(item, name)]
        return []
    if not isinstance(item.value, dict):
        return _of_primitive(item, name)
    found = types.element(item.type, name)
    if found is None:
        return []
    return [child for key, type in found.alternatives for child in _at(item.value, key, type)]


def _of_primitive(item: Element, name: str) -> list[Any]:
    if name == "value" and item.value is not None and types.is_primitive(item.type):
        return [plain(item)]
    found = types.element(item.type, name) if isinstance(item.extra, dict) else None
    if found is None:
        return []
    return [child for key, type in found.alternatives for child in _at(item.extra, key, type)]


def _at(owner: dict[str, Any], key: str, type: str) -> Iterator[Element]:
    """What a dict holds under a property, and beside it."""
    value, extra = owner.get(key), owner.get("_" + key)
    if isinstance(value, list) or isinstance(extra, list):
        for one, more in pairs(owner, key):
            yield _element(one, type, more)
    elif value is not None or extra is not None:
        yield _element(value, type, extra)


def _element(value: Any, type: str, extra: Any) -> Element:
    return resource(value) if type == "Resource" else Element(value, type, extra)


def children(item: Any) -> list[Any]:
    """All children of an item, in the order of the data."""
    if item.__class__ is not Element:
        return []
    owner = item.value if isinstance(item.value, dict) else item.extra
    if not isinstance(owner, dict):
        return []
    known = types.properties(item.type)
    found: list[Any] = []
    for key in owner:
        if key[:1] == "_":
            if key[1:] in owner:
                continue
            key = key[1:]
        if key in known:
            found.extend(_at(owner, key, known[key][1]))
    return found


def count_children(owner: Any, type: str) -> int:
    """How many children a dict of a known type has."""
    known = types.properties(type)
    count = 0
    for key, value in owner.items():
        if key[:1] == "_":
            if key[1:] in owner or key[1:] not in known:
                continue
        elif key not in known:
            continue
        count += len(value) if value.__class__ is list else 1
    return count


def descendants(item: Any) -> list[Any]:
    """The children, their children, and so on. Raises EvaluationError where there are too many."""
    found = children(item)
    for child in found:  # grows while it is walked
        found += children(child)
        if len(found) > _MOST_DESCENDANTS:
            raise EvaluationError("there are too many descendants")
    return found


def has_value(item: Any) -> bool:
    return item.__class__ is not Element or (item.value is not None and types.is_primitive(item.type))


# Types


_KINDS: Final[dict[type, str]] = {
    bool: "Boolean",
    int: "Integer",
    Long: "Long",
    Decimal: "Decimal",
    str: "String",
    Date: "Date",
    DateTime: "DateTime",
    Time: "Time",
    Quantity: "Quantity",
    TypeInfo: "TypeInfo",
}


def type_of(item: Any) -> str:
    """The name of an item's type, as the compiler writes it."""
    return item.type if item.__class__ is Element else f"System.{_KINDS[item.__class__]}"


def is_type(item: Any, wanted: str) -> bool:
    """`is`: of the type or of one derived from it."""
    if item is None:
        return False
    return wanted == "System.Any" or types.is_a(type_of(item), wanted)


def can_be_taken_as(item: Any, wanted: str) -> bool:
    """`as` and ofType: the same, but that a primitive is only of its own type."""
    return wanted == "System.Any" or taken_as(type_of(item), wanted)


@lru_cache(maxsize=16_384)
def taken_as(type: str, wanted: str) -> bool:
    """`code` is a `string`, but nothing is taken as `string` that is not exactly one (R4's suite, 2.0.0)."""
    return type == wanted if types.is_primitive(type) else types.is_a(type, wanted)


def type_info(item: Any) -> TypeInfo:
    return info(type_of(item))


def info(type: str) -> TypeInfo:
    namespace, _, name = type.rpartition("System.")
    return (
        TypeInfo("System", name) if namespace == "" and type.startswith("System.") else TypeInfo("FHIR", type)
    )


# Out of here


def plain(item: Any) -> Any:
    """The System value of an item; FHIR's other types as they are in JSON, None where there is no value."""
    if item.__class__ is not Element:
        return item
    return _converter(item.type)(item.value)


@lru_cache(maxsize=16_384)
def _converter(type: str) -> Any:
    from rules.fhirpath import values

    return values.converter(type)


def public(item: Any) -> Any:
    """An item as an evaluation gives it: JSON as it was, or a System value.

    A primitive with nothing but extensions is given as the object that JSON has beside it.
    """
    if item.__class__ is not Element:
        return item
    return item.extra if item.value is None else item.value
