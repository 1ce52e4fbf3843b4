"""How ELM names what its nodes hold (https://cql.hl7.org/04-logicalspecification.html)."""

from __future__ import annotations

from typing import Final

from rules.typed.types import ANY, ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type

SYSTEM_URI: Final = "urn:hl7-org:elm-types:r1"
SCHEMA: Final = {"id": "urn:hl7-org:elm", "version": "r1"}

_SOURCE: Final = (
    "AllTrue AnyTrue Avg Children Count Descendents First GeometricMean Last Max Median Min Mode "
    "PopulationStdDev PopulationVariance Product StdDev Sum Variance"
)

# Operators whose operands have names; all others hold them in `operand`, a list unless there is only one.
OPERANDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_SOURCE.split(" "), ("source",)),
    "AnyInCodeSystem": ("codes", "codesystem"),
    "AnyInValueSet": ("codes", "valueset"),
    "Combine": ("source", "separator"),
    "Date": ("year", "month", "day"),
    "DateTime": ("year", "month", "day", "hour", "minute", "second", "millisecond", "timezoneOffset"),
    "If": ("condition", "then", "else"),
    "InCodeSystem": ("code", "codesystem"),
    "InValueSet": ("code", "valueset"),
    "IndexOf": ("source", "element"),
    "LastPositionOf": ("pattern", "string"),
    "Message": ("source", "condition", "code", "severity", "message"),
    "PositionOf": ("pattern", "string"),
    "Round": ("operand", "precision"),
    "Slice": ("source", "startIndex", "endIndex"),
    "Split": ("stringToSplit", "separator"),
    "SplitOnMatches": ("stringToSplit", "separatorPattern"),
    "Substring": ("stringToSub", "startIndex", "length"),
    "Time": ("hour", "minute", "second", "millisecond"),
}

# Operators of one operand that ELM nevertheless holds in a list.
NARY: Final = frozenset({"Coalesce", "Concatenate", "Expand", "Collapse", "Date", "DateTime"})


def qualified(type_: Named, uris: dict[str, str]) -> str:
    """`{urn:hl7-org:elm-types:r1}Integer`; inner types as CQL's models spell them, Observation.Component."""
    first, *inner = type_.name.split(".")
    name = ".".join([first, *(part[:1].upper() + part[1:] for part in inner)])
    return f"{{{uris.get(type_.model, type_.model)}}}{name}"


def specifier(type_: Type, uris: dict[str, str]) -> dict[str, object]:
    """A type as ELM's type specifiers write it."""
    if isinstance(type_, ListOf):
        return {"type": "ListTypeSpecifier", "elementType": specifier(type_.element, uris)}
    if isinstance(type_, IntervalOf):
        return {"type": "IntervalTypeSpecifier", "pointType": specifier(type_.point, uris)}
    if isinstance(type_, ChoiceOf):
        return {
            "type": "ChoiceTypeSpecifier",
            "choice": [specifier(option, uris) for option in type_.options],
        }
    if isinstance(type_, TupleOf):
        elements = [{"name": name, "elementType": specifier(t, uris)} for name, t in type_.elements]
        return {"type": "TupleTypeSpecifier", "element": elements}
    named = type_ if isinstance(type_, Named) else ANY
    return {"type": "NamedTypeSpecifier", "name": qualified(named, uris)}
