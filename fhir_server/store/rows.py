"""Search values as the adapters keep them: one spelling of "absent", low before high, nothing twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.search.query import Values

CURRENT = 2**62  # `until` of a version without a successor
LONGEST = 2**63 - 1  # of all time there is, as far as 64 bits can say
DAY = 24 * 60 * 60 * 1_000_000  # microseconds

# Parameters whose tokens are kept in the order patient, code, moment as well, so that "this patient's
# readings of this code, newest first" is one index range however many readings there are. Every further
# parameter here costs each write an insertion at a random place of a large index.
TIMELINE = frozenset({"code", "combo-code"})

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Tidy:
    """Values made regular.

    `rows`: table -> distinct rows (parameter, *columns); absent text is "", low <= high. `moment` is the
    least `low` of the `date` parameter (what Values.moment says, but taken from the rows, so that an order by
    one is an order by the other), `extent` how far behind it the greatest `high` lies (both microseconds).
    """

    rows: Rows
    patient: str | None
    moment: int | None
    extent: int


def tidy(values: Values) -> Tidy:
    """The one form in which both adapters store Values."""
    rows = {table: _distinct(table, given) for table, given in values.rows.items() if given}
    dates = [row for row in rows.get("date", ()) if row[0] == "date"]
    if not dates:
        return Tidy(rows, values.patient, None, 0)
    moment = min(row[1] for row in dates)
    extent = max(row[2] for row in dates) - moment
    return Tidy(rows, values.patient, moment, min(extent, LONGEST))


def _distinct(table: str, given: tuple[tuple[Any, ...], ...]) -> list[tuple[Any, ...]]:
    if table in ("date", "number"):
        return list({(p, low, high) if low <= high else (p, high, low) for p, low, high in given})
    if table == "quantity":
        return list(
            {
                (p, min(low, high), max(low, high), system or "", code or "", unit or "")
                for p, low, high, system, code, unit in given
            }
        )
    return list(
        {row if None not in row else tuple("" if cell is None else cell for cell in row) for row in given}
    )


@lru_cache(maxsize=10_000)
def patient_key(patient: str) -> int:
    """48 bits that stand for a patient in indexes; whoever uses one compares the patient itself as well."""
    return int.from_bytes(hashlib.blake2b(patient.encode(), digest_size=6).digest(), "big")
