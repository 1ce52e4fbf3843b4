"""CQL's system values that Python has no type for (https://cql.hl7.org/09-b-cqlreference.html#types-2).

null is None, Boolean bool, Integer int, Decimal decimal.Decimal, String str, List list.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

INTEGER_MIN: Final = -(2**31)
INTEGER_MAX: Final = 2**31 - 1
LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1


class Long(int):
    """A 64-bit integer, told apart from Integer so that literals, overloads and ToString know it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}L"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with a UCUM unit, or a calendar duration (`day`, `months`)."""

    value: Decimal
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Ratio:
    numerator: Quantity
    denominator: Quantity


@dataclass(frozen=True, slots=True)
class Code:
    code: str | None = None
    system: str | None = None
    version: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    codes: tuple[Code | None, ...] = ()
    display: str | None = None


@dataclass(frozen=True, slots=True)
class CodeSystem:
    id: str
    version: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ValueSet:
    id: str
    version: str | None = None
    name: str | None = None
    codesystems: tuple[CodeSystem, ...] = ()


class Tuple(dict[str, Any]):
    """Elements by name; FHIR data are plain dicts, so that the two are told apart."""

    __slots__ = ()
