"""Limits of date on what is retrieved, found in conditions: `where O.effective after Now() - 3 days`.

A limit may be wider than the condition, never narrower: a search by it leaves nothing out for which the
condition would be true (https://cql.hl7.org/05-languagesemantics.html#data-access-patterns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from rules.runtime.interval import Interval
from rules.runtime.relations import to_precision
from rules.runtime.temporal import DEPTH, Date, DateTime, span
from rules.typed.tree import Typed, TypedLibrary
from rules.typed.types import DATE, DATETIME, IntervalOf

Bounds: TypeAlias = tuple[int | None, int | None]

_MOST: Final = 16  # alternatives of `or` that are looked at
_NOT_BEFORE, _NOT_AFTER, _WITHIN = "not before", "not after", "within"
# What it says of the first operand if it is true, and what of the second.
_SIDES: Final = {
    "After": (_NOT_BEFORE, _NOT_AFTER),
    "SameOrAfter": (_NOT_BEFORE, _NOT_AFTER),
    "Greater": (_NOT_BEFORE, _NOT_AFTER),
    "GreaterOrEqual": (_NOT_BEFORE, _NOT_AFTER),
    "Before": (_NOT_AFTER, _NOT_BEFORE),
    "SameOrBefore": (_NOT_AFTER, _NOT_BEFORE),
    "Less": (_NOT_AFTER, _NOT_BEFORE),
    "LessOrEqual": (_NOT_AFTER, _NOT_BEFORE),
    **dict.fromkeys(("SameAs", "Equal", "Equivalent", "In", "Contains"), (_WITHIN, _WITHIN)),
    **dict.fromkeys(("IncludedIn", "Includes", "ProperIncludedIn", "ProperIncludes"), (_WITHIN, _WITHIN)),
    **dict.fromkeys(("ProperIn", "ProperContains", "Overlaps"), (_WITHIN, _WITHIN)),
}
# What can be computed from the clock and the parameters alone.
_CLOSED: Final = frozenset(
    {"Literal", "Quantity", "Null", "Now", "Today", "Add", "Subtract", "Interval", "Start", "End", "As", "If"}
    | {"ToDateTime", "ToQuantity", "ToDecimal", "DateTime", "Date", "DateFrom", "Coalesce", "Negate"}
    | {"ParameterRef", "ExpressionRef", "ConvertInterval", "ElementRef", "Instance", "Multiply"}
)
_TIMES: Final = (DATE, DATETIME, IntervalOf(DATE), IntervalOf(DATETIME))


@dataclass(frozen=True, slots=True)
class Limit:
    """One comparison: on which side of a value the time lies if it is true, and the value's function."""

    side: str
    function: str
    precision: str | None = None

    def bounds(self, value: Any) -> Bounds:
        """The earliest and the latest moment (milliseconds, as in rules.runtime.temporal); None: no limit."""
        ends = (value.low, value.high) if isinstance(value, Interval) else (value, value)
        (low, first_high), (last_low, high) = (_span(end, self.precision) for end in ends)
        if self.side == _WITHIN:
            return low, high
        if self.side == _NOT_BEFORE:
            return (low if last_low is None else last_low), None
        return None, (high if first_high is None else first_high)


def _span(value: Any, precision: str | None) -> Bounds:
    """Between which moments a time lies, whatever zone it is in; nothing is known of anything else."""
    if not isinstance(value, Date | DateTime):
        return None, None
    if precision is not None and precision not in DEPTH:
        return None, None
    if precision is not None and DEPTH[precision] < len(value.fields):
        value = to_precision(value, precision)
    return span(value)


@dataclass(frozen=True, slots=True)
class Dates:
    """The element whose time is limited (`effective`, whatever type it may have) and, as alternatives, the
    limits that hold together; each with the library whose functions they name."""

    path: str
    alternatives: tuple[tuple[TypedLibrary, tuple[Limit, ...]], ...] = field(repr=False)

    def bounds(self, value_of: Callable[[TypedLibrary, str], Any]) -> Bounds:
        """From the earliest to the latest moment of any alternative; `value_of` evaluates a function."""
        lows: list[int | None] = []
        highs: list[int | None] = []
        for library, limits in self.alternatives:
            found = [limit.bounds(value_of(library, limit.function)) for limit in limits]
            lows.append(max((low for low, _ in found if low is not None), default=None))
            highs.append(min((high for _, high in found if high is not None), default=None))
        known_lows = [low for low in lows if low is not None]
        known_highs = [high for high in highs if high is not None]
        return (
            min(known_lows) if len(known_lows) == len(lows) else None,
            max(known_highs) if len(known_highs) == len(highs) else None,
        )


Found: TypeAlias = tuple[str, list[list[tuple[str, Typed, str | None]]]]


def limits(condition: Typed | None, alias: str, library: TypedLibrary) -> Found | None:
    """The path of an alias's element whose time a condition limits and, as alternatives of limits that hold
    together, the side, the expression and the precision; None if there is no limit."""
    if condition is None:
        return None
    if condition.op == "And":
        return _both(*(limits(operand, alias, library) for operand in condition.operands))
    if condition.op == "Or":
        return _either([limits(operand, alias, library) for operand in condition.operands])
    if condition.op == "Case" and condition.fields["comparand"] is None:
        branches = [value for _, value in condition.fields["items"]] + [condition.fields["else"]]
        return _either([limits(value, alias, library) for value in branches if not _is_null(value)])
    if condition.op not in _SIDES or len(condition.operands) != 2:
        return None
    return _comparison(condition, alias, library)


def _comparison(node: Typed, alias: str, library: TypedLibrary) -> Found | None:
    for at, (mine, other) in enumerate((node.operands, node.operands[::-1])):
        path = _path(mine, alias)
        if path is not None and other.type in _TIMES and _is_closed(other, library, {}):
            precision = node.fields.get("precision") or path[1]
            return path[0], [[(_SIDES[node.op][at], other, precision)]]
    return None


def _both(left: Found | None, right: Found | None) -> Found | None:
    if left is None or right is None or left[0] != right[0]:
        return left or right
    together = [mine + its for mine in left[1] for its in right[1]]
    return (left[0], together) if len(together) <= _MOST else left


def _either(found: Iterable[Found | None]) -> Found | None:
    known = list(found)
    first = known[0] if known else None
    if first is None:
        return None
    together = []
    for each in known:
        if each is None or each[0] != first[0]:
            return None
        together += each[1]
    return (first[0], together) if len(together) <= _MOST else None


def _is_null(node: Typed) -> bool:
    return node.op == "Null" or (node.op == "As" and _is_null(node.operands[0]))


def _path(node: Typed, alias: str) -> tuple[str, str | None] | None:
    """The element of the alias that a time, or a period, is read from, and the precision it is cut to."""
    if node.type not in _TIMES:
        return None
    cut = None
    while node.op in ("ModelConversion", "As", "ToDateTime", "DateFrom", "Start", "End") or (
        node.op == "Property" and node.fields["path"] == "value"
    ):
        cut = "day" if node.op == "DateFrom" else cut
        node = node.operands[0]
    if node.op != "Property" or node.operands[0].op != "AliasRef":
        return None
    return (node.fields["path"], cut) if node.operands[0].fields["name"] == alias else None


def _is_closed(node: Typed, library: TypedLibrary, known: dict[int, bool]) -> bool:
    """Whether the value follows from the clock and the parameters; `known` remembers definitions."""
    if node.op not in _CLOSED:
        return False
    if node.op == "ExpressionRef":
        name = node.fields["libraryName"]
        owner = library if name is None else library.includes[name]
        body = owner.expressions[node.fields["name"]].body
        if id(body) not in known:
            known[id(body)] = _is_closed(body, owner, known)
        return known[id(body)]
    inner = [value for value in node.fields.values() if isinstance(value, Typed)]
    inner += [value for _, value in node.fields.get("elements", ())]
    return all(_is_closed(part, library, known) for part in (*node.operands, *inner))
