"""The emitted Python of typical expressions, in golden/: it can be read, and changes only knowingly.

`VARDE_WRITE_GOLDEN=1 pytest tests/fhirpath/test_fhirpath_golden.py` writes the files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rules import fhirpath

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "path": ("Patient", "name.where(use = 'official').given.first()"),
    "choice": ("Observation", "value.ofType(Quantity).value < 90 or value is CodeableConcept"),
    "quantity": ("Observation", "component.value.ofType(Quantity).where($this > 140 'mm[Hg]').exists()"),
    "obs-7": (
        "Observation",
        "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()",
    ),
    "per-1": ("Period", "start.hasValue().not() or end.hasValue().not() or (start <= end)"),
    "ref-1": (
        "Reference",
        "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))",
    ),
    "untyped": ("Bundle", "entry.resource.ofType(Patient).extension('u').value as string"),
    "hostile": ("Patient", "'\\'); import os #' & name.`]`.first()"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_emitted_python(name: str) -> None:
    type, text = CASES[name]
    source = fhirpath.compile(text, type).python_source
    assert source == fhirpath.compile(text, type).python_source
    file = GOLDEN / f"{name}.py.txt"
    shown = f"# {type}: {text}\n{source}"
    if os.environ.get("VARDE_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == shown
