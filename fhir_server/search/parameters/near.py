"""Location.near: places within a distance of a point, nearest according to a sphere as large as the earth.

https://hl7.org/fhir/R4/location.html#positional. `latitude|longitude|distance|units`; 50 km where no distance
is given, km where no units are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_server.search.parameters.number import decimal
from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import And, Lookup, Node, Or, Test
from terminology.canonical import canonical
from terminology.ucum import UnitError

TABLE = "number"
SORT = None
MODIFIERS: frozenset[str] = frozenset()
LEFT_OUT: frozenset[str] = frozenset()

DEFAULT_KM = 50.0
_EARTH_KM = 6371.0088
_HALF_ROUND_KM = math.pi * _EARTH_KM
_UNITS = {"": "km", "mi": "[mi_i]", "mi_us": "[mi_us]", "ft": "[ft_i]", "nmi": "[nmi_i]"}


def _nothing(value: Any) -> list[tuple[Decimal, Decimal]]:
    return []


def _coordinate(name: str) -> Callable[[Mapping[str, Any]], list[tuple[Decimal, Decimal]]]:
    def rows(value: Mapping[str, Any]) -> list[tuple[Decimal, Decimal]]:
        degrees = decimal(value[name])
        return [(degrees, degrees)]

    return rows


ROWS: dict[str, Callable[[Any], list[tuple[Decimal, Decimal]]]] = {"Location.position": _nothing}
DERIVED = {name: ("number", {"Location.position": _coordinate(name)}) for name in ("latitude", "longitude")}


@dataclass(frozen=True, slots=True)
class Around:
    """All points within `km` of a point; degrees."""

    latitude: float
    longitude: float
    km: float

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a point is among them, by the haversine formula."""
        here, there = math.radians(self.latitude), math.radians(latitude)
        east = math.radians(longitude - self.longitude)
        half = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
        return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half))) <= self.km


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    read(text)
    return Lookup("near", parameter.resource, parameter.code, text)


def read(text: str) -> Around:
    """BadValue for what is no place on earth, or no distance."""
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        raise BadValue("not latitude|longitude|distance|units")
    latitude, longitude, distance, units = [*parts, "", ""][:4]
    around = Around(_number(latitude), _number(longitude), _kilometres(distance, units))
    if abs(around.latitude) > 90 or abs(around.longitude) > 180 or not 0 <= around.km < math.inf:
        raise BadValue("not a place on earth and a distance from it")
    return around


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue("not latitude|longitude|distance|units") from None


def _kilometres(distance: str, units: str) -> float:
    if not distance:
        return DEFAULT_KM
    try:
        unit = canonical(_UNITS.get(units, units))
    except UnitError:
        raise BadValue("with a unit that is none") from None
    if unit.unit != "m1":
        raise BadValue("with a unit that is none of length")
    return _number(distance) * unit.factor / 1000


def box(parameter: Parameter, around: Around) -> Node:
    """A condition that every place within the distance fulfils."""
    degrees = math.degrees(around.km / _EARTH_KM) * 1.001 + 1e-9
    south, north = around.latitude - degrees, around.latitude + degrees
    conditions = [_between(parameter, "latitude", south, north)]
    if south > -90 and north < 90 and around.km < _HALF_ROUND_KM / 2:
        widest = math.sin(math.radians(degrees)) / math.cos(math.radians(around.latitude))
        if widest < 1:
            wide = math.degrees(math.asin(widest)) * 1.001 + 1e-9
            west, east = around.longitude - wide, around.longitude + wide
            conditions.append(_longitudes(parameter, west, east))
    return And(tuple(conditions))


def _longitudes(parameter: Parameter, west: float, east: float) -> Node:
    """Those between two, which may lie beyond the line where 180 is -180."""
    if west < -180:
        spans = [(-180.0, east), (west + 360, 180.0)]
    elif east > 180:
        spans = [(west, 180.0), (-180.0, east - 360)]
    else:
        spans = [(west, east)]
    return Or(tuple(_between(parameter, "longitude", *span) for span in spans))


def _between(parameter: Parameter, name: str, low: float, high: float) -> Node:
    tests = (Test("low", ">=", Decimal(repr(low))), Test("low", "<=", Decimal(repr(high))))
    return parameter.derived("number", name, tests)
