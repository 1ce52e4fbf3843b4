"""Moments as the stores count them (microseconds since 1970 UTC), as FHIR and as HTTP write them.

https://hl7.org/fhir/R4/datatypes.html#instant, https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, cut to whole milliseconds: what meta.lastUpdated can say."""
    return int(moment.timestamp() * 1000) * 1000


def instant(updated: int) -> str:
    """A FHIR instant with milliseconds, in UTC."""
    seconds, rest = divmod(updated, 1_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:03d}Z"


@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def not_before(now: str, start: str | None) -> str:
    """The instant `now`, or `start` where that is later: two workers' clocks may differ by a little."""
    try:
        began = datetime.fromisoformat(start) if start and "T" in start else None
    except ValueError:
        return now
    if began is None or began.tzinfo is None or began <= datetime.fromisoformat(now):
        return now
    return str(start)


def http_date(updated: int) -> str:
    """An HTTP date, which knows whole seconds."""
    return _http_date(updated // 1_000_000)


@lru_cache(maxsize=16)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970 UTC, None for what is no HTTP date (which RFC 9110 tells us to ignore)."""
    try:
        moment = parsedate_to_datetime(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
