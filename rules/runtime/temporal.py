"""Date, DateTime and Time, known to a precision (https://cql.hl7.org/02-authorsguide.html#date-and-time-operators).

A value holds the fields it knows, from the coarsest on: (2014,), (2014, 2), (2014, 2, 28, 13). A DateTime
without an offset has the offset of the evaluation.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date as civil
from functools import lru_cache
from typing import ClassVar, Final, TypeAlias

from rules.runtime.errors import EvaluationError

Fields: TypeAlias = tuple[int, ...]

PRECISIONS: Final = ("year", "month", "day", "hour", "minute", "second", "millisecond")
DEPTH: Final = {name: depth for depth, name in enumerate(PRECISIONS, 1)}
LOWEST: Final[Fields] = (1, 1, 1, 0, 0, 0, 0)
HIGHEST: Final[Fields] = (9999, 12, 31, 23, 59, 59, 999)
DAY: Final = 86_400_000
MAX_OFFSET: Final = 14 * 60
_HOUR_AT: Final = 3
_UNKNOWN: Final = float("nan")
_ANYWHERE: Final = MAX_OFFSET * 60_000
_CLOCK_UNITS: Final = (3_600_000, 60_000, 1_000, 1)
_REST: Final = {
    3: DAY - 1,
    4: 3_599_999,
    5: 59_999,
    6: 999,
    7: 0,
}  # what is left of a day, hour, …, in milliseconds
_ZONE: Final = r"(Z|[+-]\d\d:\d\d)?"
_CLOCK: Final = r"(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?"
_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_DATETIME: Final = re.compile(rf"(\d{{4}})(?:-(\d\d)(?:-(\d\d))?)?(?:T(?:{_CLOCK}{_ZONE})?)?", re.ASCII)
_TIME: Final = re.compile(rf"T?{_CLOCK}{_ZONE}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Date:
    """(year, month, day), or fewer."""

    fields: Fields
    offset: ClassVar[None] = None
    whole: ClassVar[bool] = False
    first: ClassVar[int] = 0

    def __str__(self) -> str:
        return "@" + text(self)

    @property
    def precision(self) -> str:
        return PRECISIONS[len(self.fields) - 1]


@dataclass(frozen=True, slots=True)
class DateTime:
    """(year, month, day, hour, minute, second, millisecond), or fewer; `offset` in minutes east of UTC.

    `whole`: a time known to the second that is of that second exactly, whatever it is compared with (data;
    between literals CQL leaves open whether 08:00:00 is before 08:00:00.000).
    `earliest` and `latest` are its `span`; NaN where that is unknown, so that no comparison with them holds.
    """

    fields: Fields
    offset: int | None = None
    whole: bool = field(default=False, repr=False, compare=False)
    earliest: float = field(init=False, repr=False, compare=False)
    latest: float = field(init=False, repr=False, compare=False)
    first: ClassVar[int] = 0

    def __post_init__(self) -> None:
        first, last = span(self)
        _set_earliest(self, _UNKNOWN if first is None else float(first))
        _set_latest(self, _UNKNOWN if last is None else float(last))

    def __str__(self) -> str:
        return f"@{text(self)}" if len(self.fields) > _HOUR_AT else f"@{text(self)}T"

    @property
    def precision(self) -> str:
        return PRECISIONS[len(self.fields) - 1]


_set_earliest: Final = DateTime.__dict__["earliest"].__set__  # which a frozen class lets through
_set_latest: Final = DateTime.__dict__["latest"].__set__


@dataclass(frozen=True, slots=True)
class Time:
    """(hour, minute, second, millisecond), or fewer."""

    fields: Fields
    offset: ClassVar[None] = None
    whole: ClassVar[bool] = False
    first: ClassVar[int] = _HOUR_AT

    def __str__(self) -> str:
        return "@T" + text(self)

    @property
    def precision(self) -> str:
        return PRECISIONS[len(self.fields) - 1 + _HOUR_AT]


Temporal: TypeAlias = Date | DateTime | Time
WIDTH: Final[dict[type, int]] = {Date: 3, DateTime: 7, Time: 4}


def text(value: Temporal) -> str:
    """ISO 8601 to the value's precision, as ToString gives it: `2014-01-01T08:00:00.000-07:00`."""
    fields = (0,) * value.first + value.fields
    day = "-".join(f"{field:02}" if at else f"{field:04}" for at, field in enumerate(fields[:_HOUR_AT]))
    clock = ":".join(f"{field:02}" for field in fields[_HOUR_AT:6])
    clock += "".join(f".{field:03}" for field in fields[6:])
    if value.first:
        return clock
    return f"{day}T{clock}{_zone(value.offset)}" if clock else day


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def depth(value: Temporal, precision: str) -> int:
    """How many fields of the value reach the precision. Raises EvaluationError where it cannot have it."""
    found = DEPTH.get(precision, 0) - value.first
    if not 0 < found <= WIDTH[type(value)]:
        raise EvaluationError(f"a {type(value).__name__} has no precision {precision}")
    return found


def check(fields: Fields, first: int = 0) -> Fields:
    """The fields. Raises EvaluationError where one is out of its range."""
    for at, number in enumerate(fields, first):
        if not LOWEST[at] <= number <= HIGHEST[at]:
            raise EvaluationError(f"{PRECISIONS[at]} {number} is out of range")
    if not first and len(fields) > 2 and fields[2] > monthrange(fields[0], fields[1])[1]:
        raise EvaluationError(f"day {fields[2]} is out of range")
    return fields


def low(value: Temporal) -> Fields:
    """All fields of the earliest moment that the value may be."""
    known = value.fields
    return known + LOWEST[value.first + len(known) : value.first + WIDTH[type(value)]]


def high(value: Temporal) -> Fields:
    """All fields of the latest moment that the value may be."""
    known = value.fields
    fields = known + HIGHEST[value.first + len(known) : value.first + WIDTH[type(value)]]
    if not value.first and len(known) < 3:
        return (*fields[:2], monthrange(fields[0], fields[1])[1], *fields[3:])
    return fields


def milliseconds(fields: Fields) -> int:
    """The moment of (year, …, millisecond), counted from day 0 of the proleptic calendar."""
    year, month, day, hour, minute, second, millisecond = fields
    days = civil(year, month, day).toordinal()
    return days * DAY + ((hour * 60 + minute) * 60 + second) * 1000 + millisecond


def moment(count: int) -> Fields:
    """(year, …, millisecond) of a count. Raises OverflowError or ValueError outside the years 1-9999."""
    days, rest = divmod(count, DAY)
    day = civil.fromordinal(days)
    seconds, millisecond = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return (day.year, day.month, day.day, hour, minute, second, millisecond)


def span(value: Date | DateTime) -> tuple[int | None, int | None]:
    """The first and the last moment, in UTC, that the value may be in whatever zone; None if unknown.

    Of two values whose spans do not meet, the operators say that the earlier is before the other: unknown
    fields and offsets, and hours cut off at half an hour's offset, are allowed for.
    """
    fields, offset = value.fields, value.offset
    known = len(fields)
    if not LOWEST[0] < fields[0] < HIGHEST[0]:
        return None, None  # an offset could lead out of the calendar
    try:
        if known < _HOUR_AT:
            first = milliseconds((*low(value)[:3], 0, 0, 0, 0))
            return first - _ANYWHERE, milliseconds((*high(value)[:3], 0, 0, 0, 0)) + DAY - 1 + _ANYWHERE
        first = civil(*fields[:3]).toordinal() * DAY
    except ValueError:  # fields of no date
        return None, None
    for count, unit in zip(fields[_HOUR_AT:], _CLOCK_UNITS, strict=False):
        first += count * unit
    last = first if value.whole else first + _REST[known]
    if offset is None or known == _HOUR_AT:
        return first - _ANYWHERE, last + _ANYWHERE
    if known == _HOUR_AT + 1:
        first, last = first - _CLOCK_UNITS[0], last + _CLOCK_UNITS[0]
    return first - offset * 60_000, last - offset * 60_000


def at_offset(value: Temporal, offset: int) -> Fields:
    """The value's fields as a clock `offset` minutes east of UTC shows them; days and coarser do not move."""
    own, known = value.offset, value.fields
    if own is None or own == offset or len(known) <= _HOUR_AT:
        return known
    try:
        return moment(milliseconds(low(value)) + (offset - own) * 60_000)[: len(known)]
    except (OverflowError, ValueError):
        return known


@lru_cache(maxsize=4096)
def parse_date(written: str) -> Date | None:
    """A Date of ISO 8601 (`2014`, `2014-01`, `2014-01-31`), or None."""
    match = _DATE.fullmatch(written)
    return None if match is None else _checked_date(tuple(int(part) for part in match.groups() if part))


def _checked_date(fields: Fields) -> Date | None:
    try:
        return Date(check(fields))
    except EvaluationError:
        return None


@lru_cache(maxsize=16384)
def parse_datetime(written: str) -> DateTime | None:
    """A DateTime of ISO 8601 to any precision, the T optional where there is no time, or None."""
    match = _DATETIME.fullmatch(written)
    if match is None or (match[4] and not match[3]):
        return None
    fields = _fields(match.groups()[:-1])
    offset = _offset(match[8])
    if offset is not None and abs(offset) > MAX_OFFSET:
        return None
    try:
        return DateTime(check(fields), offset)
    except EvaluationError:
        return None


@lru_cache(maxsize=4096)
def parse_time(written: str) -> Time | None:
    """A Time of ISO 8601 (`14:30`, `T14:30:00.0`), or None; an offset is passed over."""
    match = _TIME.fullmatch(written)
    if match is None:
        return None
    try:
        return Time(check(_fields(match.groups()[:-1]), _HOUR_AT))
    except EvaluationError:
        return None


def _fields(parts: tuple[str | None, ...]) -> Fields:
    *whole, fraction = parts
    fields = tuple(int(part) for part in whole if part is not None)
    return fields if fraction is None else (*fields, int(fraction[:3].ljust(3, "0")))


def _offset(written: str | None) -> int | None:
    if not written:
        return None
    if written == "Z":
        return 0
    minutes = int(written[1:3]) * 60 + int(written[4:6])
    return -minutes if written[0] == "-" else minutes
