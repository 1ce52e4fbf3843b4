"""Values of CQL as parts of a Parameters resource, and back.

https://hl7.org/fhir/uv/cql/conformance.html#fhir-type-mapping
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from fhir_server.errors import FhirError
from profiles import definitions
from rules.model import values as fhir
from rules.runtime.conversion import to_string
from rules.runtime.interval import end, start
from rules.runtime.temporal import parse_date, text
from rules.runtime.units import CALENDAR, DEFINITE
from rules.typed.types import LONG, ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type
from rules.values import Code, Concept, Date, DateTime, Interval, Long, Quantity, Ratio, Time, Tuple

Part = dict[str, Any]

_EXTENSIONS: Final = "http://hl7.org/fhir/StructureDefinition"
CQL_TYPE_URL: Final = f"{_EXTENSIONS}/cqf-cqlType"
_UCUM: Final = "http://unitsofmeasure.org"
_MARKS: Final[dict[str, dict[str, Any]]] = {
    "null": {"url": f"{_EXTENSIONS}/data-absent-reason", "valueCode": "unknown"},
    "list": {"url": f"{_EXTENSIONS}/cqf-isEmptyList", "valueBoolean": True},
    "tuple": {"url": f"{_EXTENSIONS}/cqf-isEmptyTuple", "valueBoolean": True},
}
_UNITS: Final = {period: unit for unit, period in DEFINITE.items()}
_NO_TIME: Final = ("00", "00")


# Out


def parameters_of(name: str, value: Any, type_: Type | None = None, zone: str = "Z") -> list[Part]:
    """The parameters that a value is: one, or one for each element of a list.

    `zone` is that of times which name none. The type, where it is known, is said with each.
    """
    said = {} if type_ is None else {"extension": [{"url": CQL_TYPE_URL, "valueString": type_name(type_)}]}
    element = type_.element if isinstance(type_, ListOf) else None
    if not isinstance(value, list):
        return [{"name": name, **said, **_content(value, type_, zone)}]
    if not value:
        return [{"name": name, **said, **_mark("list")}]
    return [{"name": name, **said, **_element(item, element, zone)} for item in value]


def type_name(type_: Type) -> str:
    """The type as ELM names it: System.Integer, List<FHIR.Observation>."""
    match type_:
        case ListOf():
            return f"List<{type_name(type_.element)}>"
        case IntervalOf():
            return f"Interval<{type_name(type_.point)}>"
        case TupleOf():
            return f"Tuple{{{', '.join(f'{name} {type_name(of)}' for name, of in type_.elements)}}}"
        case ChoiceOf():
            return f"Choice<{', '.join(map(type_name, type_.options))}>"
        case Named():
            return f"{type_.model}.{type_.name}"
    return str(type_)


def _mark(kind: str) -> Part:
    """There is no value: the guide puts the extension that says so on a boolean."""
    return {"_valueBoolean": {"extension": [_MARKS[kind]]}}


def _element(value: Any, type_: Type | None, zone: str) -> Part:
    """An element of a list, which may be a list itself."""
    if isinstance(value, list) and value:
        return {"part": parameters_of("element", value, None, zone)}
    return _mark("list") if isinstance(value, list) else _content(value, type_, zone)


def _content(value: Any, type_: Type | None, zone: str) -> Part:
    if value is None:
        return _mark("null")
    if isinstance(value, Tuple):
        elements = dict(type_.elements) if isinstance(type_, TupleOf) else {}
        parts = [p for name, v in value.items() for p in parameters_of(name, v, elements.get(name), zone)]
        return {"part": parts} if parts else _mark("tuple")
    if isinstance(value, fhir.Chosen):
        return _of_fhir(value.value, value.type)
    if isinstance(value, fhir.Primitive):
        name = type_.name if isinstance(type_, Named) else "string"
        return {f"value{_capital(name)}": value.value, f"_value{_capital(name)}": value.beside}
    if isinstance(value, dict) or (isinstance(type_, Named) and type_.model == "FHIR"):
        return _of_fhir(value, type_.name if isinstance(type_, Named) else "")
    return _of_system(value, zone)


def _of_system(value: Any, zone: str) -> Part:
    match value:
        case bool():
            return {"valueBoolean": value}
        case Long():
            return {"valueString": str(int(value))}
        case int():
            return {"valueInteger": value}
        case Decimal():
            return {"valueDecimal": value}
        case str():
            return {"valueString": value}
        case Date():
            return {"valueDate": text(value)}
        case DateTime():
            return {"valueDateTime": _date_time(value, zone)}
        case Time():
            return {"valueTime": _seconds(text(value))}
        case Quantity():
            return {"valueQuantity": _quantity(value)}
        case Ratio():
            ratio = {"numerator": _quantity(value.numerator), "denominator": _quantity(value.denominator)}
            return {"valueRatio": ratio}
        case Code():
            return {"valueCoding": _coding(value)}
        case Concept():
            return {"valueCodeableConcept": _concept(value)}
        case Interval():
            return _interval(value, zone)
    return {"valueString": str(to_string(value) or value)}


def content_of(value: Any, type_: str) -> Part:
    """The value[x], resource or parts of a value of a FHIR type, or ("") of a System value."""
    return _of_fhir(value, type_) if type_ else _of_system(value, "Z")


def _of_fhir(value: Any, type_: str) -> Part:
    """A resource, a data type that a parameter can have, or else the parts of the element."""
    if isinstance(value, dict) and "resourceType" in value:
        return {"resource": value}
    name = f"value{_capital(type_)}" if type_ else ""
    if name in _value_properties():
        return {name: value}
    if isinstance(value, str) and type_:  # one of FHIR's enumerations
        return {"valueCode": value}
    if not isinstance(value, dict):
        return _of_system(value, "Z")
    return {"part": [p for key, item in value.items() for p in parameters_of(key, item)] or [_mark("tuple")]}


@cache
def _value_properties() -> frozenset[str]:
    return frozenset(definitions.load().types["Parameters.parameter"].elements["value"].properties)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _date_time(value: DateTime, zone: str) -> str:
    """FHIR wants seconds and a zone wherever there is a time."""
    written = text(value)
    if "T" not in written:
        return written
    day, _, rest = written.partition("T")
    if not rest:
        return day
    time, sign, offset = rest, "", ""
    for mark in ("Z", "+", "-"):
        if mark in rest:
            time, sign, offset = rest.partition(mark)
            break
    return f"{day}T{_seconds(time)}{sign}{offset}" if sign else f"{day}T{_seconds(time)}{zone}"


def _seconds(time: str) -> str:
    parts = time.removeprefix("T").split(":")
    return ":".join((*parts, *_NO_TIME)[: max(len(parts), 3)])


def _quantity(value: Quantity) -> Part:
    code = _UNITS.get(CALENDAR.get(value.unit, ""), value.unit)
    return {"value": value.value, "unit": value.unit, "system": _UCUM, "code": code}


def _coding(code: Code) -> Part:
    found = {"system": code.system, "version": code.version, "code": code.code, "display": code.display}
    return {name: said for name, said in found.items() if said is not None}


def _concept(concept: Concept) -> Part:
    found: Part = {"coding": [_coding(code) for code in concept.codes if code is not None]}
    if concept.display is not None:
        found["text"] = concept.display
    return {name: said for name, said in found.items() if said}


def _interval(value: Interval, zone: str) -> Part:
    """Period and Range have closed ends only; an interval of something else is said as text."""
    low, high = (None if value.low is None else start(value)), (None if value.high is None else end(value))
    kind = type(low if low is not None else high)
    ends: list[Any] = [low, high]
    if kind in (Date, DateTime):
        names, property = ("start", "end"), "valuePeriod"
        ends = [e and (text(e) if kind is Date else _date_time(e, zone)) for e in ends]
    elif kind in (Quantity, int, Decimal):
        names, property = ("low", "high"), "valueRange"
        ends = [_quantity(e) if isinstance(e, Quantity) else e if e is None else {"value": e} for e in ends]
    else:
        brackets = ("[" if value.low_closed else "(") + "{}, {}" + ("]" if value.high_closed else ")")
        return {"valueString": "Interval" + brackets.format(_shown(value.low), _shown(value.high))}
    said = {name: e for name, e in zip(names, ends, strict=True) if e is not None}
    return {property: said} if said else _mark("null")


def _shown(value: Any) -> str:
    return "null" if value is None else str(to_string(value))


# In


def value_of(parts: Sequence[Part], type_: Type | None = None) -> Any:
    """The value of the parameters of one name; where the type says that it is a list, one is a list of one.

    Raises FhirError("invalid") for what has no meaning in CQL.
    """
    found = [_value(part, type_) for part in parts]
    if parts and _is_marked(parts[0], "list"):
        return []
    return found if len(found) > 1 or isinstance(type_, ListOf) else found[0]


def type_of(parts: Sequence[Part]) -> str:
    """The CQL type, as a declaration writes it, of the parameters of one name."""
    kind = _type(parts[0])
    return f"List<{kind}>" if len(parts) > 1 else kind


_TYPES: Final = {
    "Boolean": "Boolean", "Integer": "Integer", "PositiveInt": "Integer", "UnsignedInt": "Integer",
    "Decimal": "Decimal", "Date": "Date", "DateTime": "DateTime", "Instant": "DateTime", "Time": "Time",
    **dict.fromkeys(("Quantity", "Age", "Count", "Duration"), "System.Quantity"),
    "Ratio": "System.Ratio", "Coding": "System.Code", "CodeableConcept": "System.Concept",
    "Period": "Interval<DateTime>", "Range": "Interval<System.Quantity>",
    **dict.fromkeys(("String", "Code", "Id", "Markdown", "Base64Binary"), "String"),
    **dict.fromkeys(("Uri", "Url", "Canonical", "Oid", "Uuid"), "String"),
}  # fmt: skip


def _type(part: Part) -> str:
    if "resource" in part:
        return f"FHIR.{part['resource'].get('resourceType')}"
    if "part" in part:
        elements = ", ".join(f'"{name}" {type_of(group)}' for name, group in grouped(part["part"]).items())
        return f"Tuple {{ {elements} }}"
    kind, _ = _typed(part)
    return _TYPES[kind]


def _typed(part: Part) -> tuple[str, Any]:
    for key, value in part.items():
        if key.startswith("value") and key[5:] in _TYPES:
            return key[5:], value
    raise FhirError("invalid", f"The parameter {part.get('name')!s:.64} has no value of a type that CQL has")


def _value(part: Part, type_: Type | None) -> Any:
    if "resource" in part:
        return part["resource"]
    if "part" in part:
        return Tuple({name: value_of(group) for name, group in grouped(part["part"]).items()})
    if any(_is_marked(part, kind) for kind in _MARKS):
        return Tuple() if _is_marked(part, "tuple") else None
    kind, value = _typed(part)
    wanted = type_.element if isinstance(type_, ListOf) else type_
    if wanted == LONG:
        return _long(value)
    if kind == "Period" and isinstance(wanted, IntervalOf) and str(wanted.point) == "Date":
        ends = [parse_date(value[name][:10]) if name in value else None for name in ("start", "end")]
        return Interval(ends[0], ends[1], point="Date")
    return (
        value if isinstance(value, str) and _TYPES[kind] == "String" else fhir.converter(_fhir(kind))(value)
    )


def _long(value: Any) -> Long:
    try:
        return Long(value)
    except (TypeError, ValueError):
        raise FhirError("invalid", "A Long is a string of digits") from None


def _fhir(kind: str) -> str:
    """The type whose conversion is used: of PositiveInt that of integer, of Age that of Quantity."""
    if kind in ("PositiveInt", "UnsignedInt"):
        return "integer"
    if _TYPES[kind] == "System.Quantity":
        return "Quantity"
    primitive = kind in ("Boolean", "Integer", "Decimal", "Date", "DateTime", "Instant", "Time")
    return kind[:1].lower() + kind[1:] if primitive else kind


def _is_marked(part: Part, kind: str) -> bool:
    url = _MARKS[kind]["url"]
    return any(mark.get("url") == url for mark in (part.get("_valueBoolean") or {}).get("extension") or ())


def grouped(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """The parameters by name, in the order in which the names first come."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(str(part.get("name")), []).append(part)
    return found
