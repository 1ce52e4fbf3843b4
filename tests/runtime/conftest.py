"""What the tests of CQL's operators share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rules.runtime.context import Context, evaluation
from rules.runtime.temporal import parse_datetime
from rules.runtime.units import TextUnits
from terminology.ucum import convert


@pytest.fixture(autouse=True)
def context() -> Iterator[Context]:
    """An evaluation at 10:00 in Norway in winter that knows UCUM."""
    now = parse_datetime("2026-11-21T10:00:00.000+01:00")
    with evaluation(Context(now=now, units=TextUnits(convert))) as current:
        yield current
