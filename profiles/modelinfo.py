"""Writes what rules/ needs to know of R4 types: `python -m profiles.modelinfo`.

rules/ may not import profiles, so the table lies in rules/model/fhir_r4.json. One row a type: its base, and
its own elements as "Quantity|string" (a choice), "*CodeableConcept" (a list).
"""

from __future__ import annotations

import json
from pathlib import Path

from profiles.definitions import Element, load

TARGET = Path(__file__).parents[1] / "rules" / "model" / "fhir_r4.json"


def table() -> str:
    """The table as text, one line a type."""
    definitions = load()
    rows = []
    for name, type_ in definitions.types.items():
        base = definitions.types[type_.base] if type_.base else None
        inherited = base.elements if base else {}
        own = {n: _types(e) for n, e in type_.elements.items() if inherited.get(n) != e}
        row = [type_.base, own] if own else [type_.base]
        rows.append(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _types(element: Element) -> str:
    many = "*" if element.max is None or element.max > 1 else ""
    names = dict.fromkeys(("?" if element.choice else "") + type_.code for type_ in element.types)
    return many + "|".join(names).replace("|?", "|")


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
