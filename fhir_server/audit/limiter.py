"""How many refusals are written: who is let in nowhere must not be able to fill the disk with them.

Each application, and everybody who is not known as one, may have BURST of them at once and a second one every
1/PER_SECOND; the others are counted, and the next that is written says how many.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

PER_SECOND = 2.0
BURST = 50.0
_KNOWN = 1000  # applications whose count is kept; who comes back later starts anew


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    unwritten: int = 0


class Limiter:
    """Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def admit(self, client: str, at: float) -> int | None:
        """None: count it. Otherwise write it, and say with it that so many were counted before."""
        bucket = self._buckets.setdefault(client, _Bucket(BURST, at))
        self._buckets.move_to_end(client)
        if len(self._buckets) > _KNOWN:
            self._buckets.popitem(last=False)
        bucket.left = min(BURST, bucket.left + PER_SECOND * max(0.0, at - bucket.at))
        bucket.at = at
        if bucket.left < 1:
            bucket.unwritten += 1
            return None
        bucket.left -= 1
        before, bucket.unwritten = bucket.unwritten, 0
        return before
