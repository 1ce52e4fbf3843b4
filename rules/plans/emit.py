"""From the shape of a rule to the Python function that judges a reading.

A shape is everything about a rule but its numbers and codes, so that patients whose plans differ only in
numbers share one function. Its text is built from the closed vocabulary of threshold.py alone: nothing that
a plan says (names, codes, texts) ever gets into it.

The function is `rule(times, values, i, starts, p)`:
  times, values   the readings in order of time (microseconds; Decimal in the rule's unit), up to and beyond
  i               the index of the reading that is judged
  starts          for each zone the first instant of its window
  p               the numbers of all zones, flat (see `parameters`)
and returns `(zone, measured, base, first, missing)`: the index of the most severe zone that the reading is
in, or -1; what was held against the bound and the baseline it came from; the index of the earliest reading
looked at; the zones that could not be judged for want of a baseline.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from statistics import median
from typing import Any

from rules.emit.running import digest, show
from rules.plans.zone import Zone

Judgement = tuple[int, Decimal | None, Decimal | None, int, tuple[int, ...]]
RuleFunction = Callable[[Sequence[int], Sequence[Decimal], int, Sequence[int], Sequence[Any]], Judgement]


@dataclass(frozen=True, slots=True)
class ZoneShape:
    """One zone without its numbers. A bound is "" (absent), "in" (normal itself) or "ex" (outside itself)."""

    low: str
    high: str
    baseline: str | None
    percent: bool
    windowed: bool


@dataclass(frozen=True, slots=True)
class Shape:
    kind: str
    zones: tuple[ZoneShape, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    function: RuleFunction
    source: str


def shape_of(kind: str, zones: Sequence[Zone]) -> Shape:
    """What the function of a rule with these zones depends on."""
    return Shape(
        kind,
        tuple(
            ZoneShape(
                _bound(zone.low is not None, zone.threshold.low),
                _bound(zone.high is not None, zone.threshold.high),
                zone.threshold.baseline,
                zone.threshold.percent,
                zone.threshold.window is not None,
            )
            for zone in zones
        ),
    )


def _bound(present: bool, bound: Any) -> str:
    return ("in" if bound.inclusive else "ex") if present else ""


def parameters(zones: Sequence[Zone]) -> tuple[Any, ...]:
    """A rule's numbers in the order its function reads them: low, high, baseline, n, m of each zone."""
    return tuple(number for zone in zones for number in _numbers(zone))


def _numbers(zone: Zone) -> tuple[Any, ...]:
    return zone.low, zone.high, zone.baseline, zone.threshold.n, zone.threshold.m


_PER_ZONE = 5


@lru_cache(maxsize=1024)
def compile_shape(shape: Shape) -> Compiled:
    """The function for every rule of this shape, and the Python it was compiled from."""
    module = ast.Module(body=[_function(shape)], type_ignores=[])
    ast.fix_missing_locations(module)
    source = ast.unparse(module) + "\n"
    name = f"<varde rule {shape.kind} {digest(source)}>"
    namespace: dict[str, Any] = {"bisect_left": bisect_left, "median": median}
    exec(compile(ast.parse(source), name, "exec"), namespace)  # noqa: S102 - the text is ours, see above
    show(name, source, namespace)
    return Compiled(namespace["rule"], source)


def _function(shape: Shape) -> ast.FunctionDef:
    statements = _parse("value = values[i]", "missing = ()")
    emit = {"absolute": _absolute, "relative": _relative, "change": _change, "persistence": _persistence}
    for k, zone in enumerate(shape.zones):
        statements += emit[shape.kind](k, zone)
    statements += _parse("return (-1, None, None, i, missing)")
    function = _parse("def rule(times, values, i, starts, p): pass")[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = statements
    return function


def _parse(*lines: str) -> list[ast.stmt]:
    return ast.parse("\n".join(lines)).body


def _p(k: int, name: str) -> str:
    return f"p[{k * _PER_ZONE + ('low', 'high', 'baseline', 'n', 'm').index(name)}]"


def _below(k: int, zone: ZoneShape, subject: str, scale: str = "") -> str:
    return f"{subject} {'<' if zone.low == 'in' else '<='} {_p(k, 'low')}{scale}"


def _above(k: int, zone: ZoneShape, subject: str, scale: str = "") -> str:
    return f"{subject} {'>' if zone.high == 'in' else '>='} {_p(k, 'high')}{scale}"


def _outside(k: int, zone: ZoneShape, subject: str, scale: str = "") -> str:
    tests = [_below(k, zone, subject, scale)] if zone.low else []
    tests += [_above(k, zone, subject, scale)] if zone.high else []
    return " or ".join(tests)


def _absolute(k: int, zone: ZoneShape) -> list[ast.stmt]:
    return _parse(
        f"if {_outside(k, zone, 'value')}:",
        f"    return ({k}, value, None, i, missing)",
    )


def _first(k: int, zone: ZoneShape) -> str:
    """The index of the first reading in the zone's window."""
    return f"bisect_left(times, starts[{k}], 0, i)" if zone.windowed else "max(i - 1, 0)"


def _baseline(k: int, zone: ZoneShape, end: str) -> str:
    window = f"values[j:{end}]"
    return {
        "goal": _p(k, "baseline"),
        "min": f"min({window})",
        "max": f"max({window})",
        "median": f"median({window})",
        "mean": f"sum({window}) / len({window})",
        "first": "values[j]",
        "previous": "values[i - 1]",
    }[zone.baseline or ""]


def _relative(k: int, zone: ZoneShape) -> list[ast.stmt]:
    """Against a baseline that leaves the reading itself out; without one the zone is missing, not normal."""
    scaled = " * abs(base)" if zone.percent else ""
    factor = " * 100" if zone.percent else ""
    found = "True" if zone.baseline == "goal" else "j < i"
    if zone.percent:
        found = f"{found} and {_baseline(k, zone, 'i')} != 0"  # per cent of nothing is nothing
    first = "i" if zone.baseline == "goal" else _first(k, zone)
    return _parse(
        f"j = {first}",
        f"if {found}:",
        f"    base = {_baseline(k, zone, 'i')}",
        "    difference = value - base",
        f"    if {_outside(k, zone, f'difference{factor}', scaled)}:",
        f"        return ({k}, difference, base, j, missing)",
        "else:",
        f"    missing += ({k},)",
    )


def _change(k: int, zone: ZoneShape) -> list[ast.stmt]:
    """A rise is measured from the lowest reading of the window, a fall from the highest, itself included."""
    if zone.baseline is not None:
        return _change_from(k, zone, zone, "i")
    statements: list[ast.stmt] = []
    if zone.high:
        rise = ZoneShape("", zone.high, "min", zone.percent, zone.windowed)
        statements += _change_from(k, zone, rise, "i + 1")
    if zone.low:
        fall = ZoneShape(zone.low, "", "max", zone.percent, zone.windowed)
        statements += _change_from(k, zone, fall, "i + 1")
    return statements


def _change_from(k: int, zone: ZoneShape, side: ZoneShape, end: str) -> list[ast.stmt]:
    scaled = " * abs(base)" if side.percent else ""
    factor = " * 100" if side.percent else ""
    goal = side.baseline == "goal"
    return _parse(
        f"j = {'i' if goal else _first(k, zone)}",
        "if True:" if goal else "if j < i:",
        f"    base = {_baseline(k, side, end)}",
        "    difference = value - base",
        f"    if {_outside(k, side, f'difference{factor}', scaled)}:",
        f"        return ({k}, difference, base, j, missing)",
    )


def _persistence(k: int, zone: ZoneShape) -> list[ast.stmt]:
    """n of the last m outside, counted when the reading itself is: a normal one raises nothing new."""
    window = f"j = max(j, bisect_left(times, starts[{k}], 0, i))" if zone.windowed else "pass"
    return _parse(
        f"if {_outside(k, zone, 'value')}:",
        f"    j = max(0, i + 1 - {_p(k, 'm')})",
        f"    {window}",
        f"    outside = sum(1 for x in values[j:i + 1] if {_outside(k, zone, 'x')})",
        f"    if outside >= {_p(k, 'n')}:",
        f"        return ({k}, value, None, j, missing)",
    )
