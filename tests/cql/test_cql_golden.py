"""The Python of a rule, held to a file: `VARDE_GOLDEN=write pytest tests/cql/test_cql_golden.py` writes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rules import cql

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.cql")))
def test_the_emitted_code_is_the_golden_one(name: str) -> None:
    source = cql.compile((FOLDER / f"{name}.cql").read_text()).python_source
    golden = FOLDER / f"{name}.py.txt"
    if os.environ.get("VARDE_GOLDEN") == "write":
        golden.write_text(source)
    assert source == golden.read_text()
