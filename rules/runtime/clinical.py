"""Ages, and codes in code systems and value sets (https://cql.hl7.org/09-b-cqlreference.html#clinical-operators-3)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, Final

from rules.runtime.context import current
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime
from rules.runtime.timing import date_from, duration_between, now, today
from rules.runtime.values import Code, CodeSystem, Concept, ValueSet

_PRECISIONS_OF_DATES: Final = ("year", "month", "week", "day")


def calculate_age(birth: Date | DateTime | None, precision: str) -> Any:
    """The age now; years to days of a Date are counted to today, everything else to now."""
    return calculate_age_at(birth, today() if isinstance(birth, Date) else now(), precision)


def calculate_age_at(birth: Date | DateTime | None, moment: Date | DateTime | None, precision: str) -> Any:
    """The age at a moment in whole years, months, …; an Uncertainty where the birth date leaves it open.

    Who is born on a date is a year older when that date begins, so that a time of day then does not matter.
    """
    if isinstance(birth, Date) and isinstance(moment, DateTime) and precision in _PRECISIONS_OF_DATES:
        moment = date_from(moment)
    return duration_between(birth, moment, precision)


def expand_value_set(valueset: ValueSet | None) -> list[Code] | None:
    """The codes of a value set. Raises EvaluationError where it is unknown."""
    if valueset is None:
        return None
    expand = current().valueset
    codes = None if expand is None else expand(valueset)
    if codes is None:
        raise EvaluationError(f"the value set {valueset.id} is not known")
    return list(codes)


def _members(valueset: ValueSet) -> frozenset[tuple[str | None, str | None]]:
    members = current().members
    if valueset not in members:
        members[valueset] = frozenset((code.system, code.code) for code in expand_value_set(valueset) or ())
    return members[valueset]


def in_value_set(value: Any, valueset: ValueSet | None) -> bool | None:
    """Whether a String, Code or Concept, or any of a list of them, is in the value set.

    Raises EvaluationError where the value set is unknown, or has the String in more than one code system.
    """
    if valueset is None:
        return None
    if value is None:
        return False
    members = _members(valueset)
    return any(_is_member(code, members) for code in _codes(value))


def _is_member(code: Code | str, members: frozenset[tuple[str | None, str | None]]) -> bool:
    if isinstance(code, Code):
        return (code.system, code.code) in members
    systems = [system for system, text in members if text == code]
    if len(systems) > 1:
        raise EvaluationError("the value set has this code in more than one code system")
    return bool(systems)


def in_code_system(value: Any, codesystem: CodeSystem | None) -> bool | None:
    """Whether a String, Code or Concept, or any of a list of them, is in the code system.

    Raises EvaluationError where the code system is unknown.
    """
    if codesystem is None:
        return None
    return value is not None and any(_in_system(code, codesystem) for code in _codes(value))


def _in_system(code: Code | str, codesystem: CodeSystem) -> bool:
    if isinstance(code, Code) and (code.code is None or code.system != codesystem.id):
        return False
    text, ask = code.code if isinstance(code, Code) else code, current().in_codesystem
    found = None if ask is None or text is None else ask(text, codesystem)
    if found is None:
        raise EvaluationError(f"the code system {codesystem.id} is not known")
    return found


def _codes(value: Any) -> Iterable[Code | str]:
    """The codes and strings of a String, Code, Concept or a list of these, nulls left out."""
    if isinstance(value, Concept):
        return (code for code in value.codes if code is not None)
    if isinstance(value, list):
        return (code for item in value if item is not None for code in _codes(item))
    return (value,)


def subsumes(left: Code | None, right: Code | None) -> bool | None:
    """Whether the left code subsumes the right one, as a code does itself; null where that is not known."""
    if left is None or right is None or left.code is None or right.code is None:
        return None
    if (left.system, left.code) == (right.system, right.code):
        return True
    ask = current().subsumes
    return None if ask is None else ask(left, right)


def subsumes_concept(left: Concept | None, right: Concept | None) -> bool | None:
    """Whether any code of the left concept subsumes any of the right one."""
    if left is None or right is None:
        return None
    pairs = product(left.codes, right.codes)
    answers = {subsumes(of_left, of_right) for of_left, of_right in pairs}
    return True if True in answers else None if None in answers else False


def subsumed_by(left: Any, right: Any) -> bool | None:
    """Subsumes, the other way round."""
    return subsumes_concept(right, left) if isinstance(right, Concept) else subsumes(right, left)
