"""How far back a rule looks: a duration whose days are days by the calendar in Norway.

Three days before 08:00 is 08:00, also across the change to or from daylight saving time: a patient who
weighs herself every morning must not fall out of her own window by an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from rules.plans.text import Text

ZONE = ZoneInfo("Europe/Oslo")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_EXACT = {"s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}
_CALENDAR = {"d": 1, "wk": 7, "mo": 30, "a": 365}
_DAY = 86_400_000_000
_SLACK = 2 * _EXACT["h"]  # more than a change of daylight saving time moves a day's end
_NAMES = {
    "s": Text("sekunder", "seconds"),
    "min": Text("minutter", "minutes"),
    "h": Text("timer", "hours"),
    "d": Text("døgn", "days"),
    "wk": Text("uker", "weeks"),
    "mo": Text("måneder", "months"),
    "a": Text("år", "years"),
}
_NAMES_OF_ONE = {
    "s": Text("sekund", "second"),
    "min": Text("minutt", "minute"),
    "h": Text("time", "hour"),
    "d": Text("døgn", "day"),
    "wk": Text("uke", "week"),
    "mo": Text("måned", "month"),
    "a": Text("år", "year"),
}
MAX_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Window:
    """A positive duration in s, min, h, d, wk, mo or a (UCUM). Times are microseconds since 1970."""

    value: Decimal
    unit: str

    def start(self, time: int) -> int:
        """The first instant that a window ending at `time` contains."""
        return _start(self, time)

    def earlier(self, local: datetime) -> datetime:
        """That much before a local time, by the calendar."""
        if self.unit in ("d", "wk"):
            return local - timedelta(days=float(self.value * _CALENDAR[self.unit]))
        months = local.year * 12 + local.month - 1 - int(self.value) * (12 if self.unit == "a" else 1)
        year, month = divmod(months, 12)
        for day in range(local.day, 27, -1):  # the 31st of a shorter month is its last day
            try:
                return local.replace(year=year, month=month + 1, day=day)
            except ValueError:
                continue
        return local.replace(year=year, month=month + 1)

    def reach(self, time: int) -> int:
        """An instant by which no window starting at or before `time` ends later (a little generous)."""
        if self.unit in _EXACT:
            return time + int(self.value * _EXACT[self.unit])
        margin = 6 if self.unit == "a" else 5 if self.unit == "mo" else 0
        return time + int((self.value * _CALENDAR[self.unit] + margin * self.value) * _DAY) + _SLACK

    @property
    def text(self) -> Text:
        shown = f"{self.value.normalize():f}"
        name = (_NAMES_OF_ONE if self.value == 1 else _NAMES)[self.unit]
        return Text(f"{shown.replace('.', ',')} {name.nb}", f"{shown} {name.en}")


@lru_cache(maxsize=4096)
def _start(window: Window, time: int) -> int:
    """Asked several times for each reading and rule, hence remembered."""
    if window.unit in _EXACT:
        return time - int(window.value * _EXACT[window.unit])
    local = (EPOCH + timedelta(microseconds=time)).astimezone(ZONE)
    return (window.earlier(local).astimezone(UTC) - EPOCH) // MICROSECOND


def read_window(value: Decimal, unit: str) -> Window | None:
    """A window of that length, or None where it is not positive, too long, or not of a unit of time."""
    if unit not in _NAMES or not value.is_finite() or value <= 0:
        return None
    days = value * _CALENDAR[unit] if unit in _CALENDAR else value * _EXACT[unit] / _DAY
    whole = unit not in ("mo", "a") or value == value.to_integral_value()
    return Window(value, unit) if days <= MAX_DAYS and whole else None
