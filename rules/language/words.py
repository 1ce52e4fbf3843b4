"""The words of CQL that are not free to be names.

https://cql.hl7.org/03-developersguide.html#reserved-words
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never an identifier unless quoted.
RESERVED = _words("""
    aggregate all and as after before between case cast Code collapse Concept convert day days
    difference distinct duration during else exists expand false flatten from if in included is hour hours
    Interval let
    List maximum millisecond milliseconds minimum minute minutes month months not null occurs of on or per
    point properly return same second seconds singleton sort such then to true Tuple week weeks when with
    within without year years
""")

# Keywords that may stand as a name where one is referred to, but not where one is introduced unquoted.
KEYWORDS = RESERVED | _words("""
    asc ascending by called code codesystem codesystems concept contains context date default define desc
    descending display div end ends except fluent function implies include includes intersect library meets
    mod overlaps parameter predecessor private public start starting starts successor time timezone
    timezoneoffset union using valueset version where width xor
""")

PRECISIONS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
PLURALS = {f"{precision}s": precision for precision in PRECISIONS}
UNITS = frozenset(PRECISIONS) | frozenset(PLURALS)
COMPONENTS = frozenset(PRECISIONS) | {"date", "time", "timezone", "timezoneoffset"}
