"""The values of CQL and FHIRPath that Python has no type for, by their public names.

Integer and Long are int, Decimal decimal.Decimal, null None, a List list, a Tuple dict.
"""

from __future__ import annotations

from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet

__all__ = [
    "Code",
    "CodeSystem",
    "Concept",
    "Date",
    "DateTime",
    "Interval",
    "Long",
    "Quantity",
    "Ratio",
    "Time",
    "Tuple",
    "ValueSet",
]
