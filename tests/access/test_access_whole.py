"""Where the server looks past what a requester may see: each place with its reason, and no other."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import fhir_server

ROOT = Path(fhir_server.__file__).parent
# file -> (how often, why)
PLACES = {
    "conformance.py": (2, "profiles and terminology that what is written is held to; references follow the requester"),
    "exchange.py": (1, "a trail is laid over what is seen, and what is whole stays behind it"),
    "interactions/operations/closure.py": (1, "terminology: the hierarchy of the codes"),
    "interactions/operations/emergency.py": (2, "to break the glass one names a patient whom one does not see"),
    "interactions/operations/evaluate.py": (1, "terminology: the value sets of an expression; data follows the requester"),
    "interactions/operations/preferred_id.py": (1, "terminology: naming systems"),
    "interactions/operations/reindex.py": (1, "administrators have everything indexed, whoever may see it"),
    "interactions/operations/terminology.py": (1, "terminology"),
    "interactions/terminology_capabilities.py": (1, "terminology: which code systems there are, told to everybody"),
    "posted_parameters.py": (1, "which search parameters are in force is the server's own"),
    "search/run.py": (1, "terminology: what :in, :above and :below of codes mean"),
    "write.py": (2, "the transaction: criteria and targets in it are asked of the requester's view; rules are loaded"),
}  # fmt: skip
# Sign-in, tokens and the log of accesses are of the server itself, before or beside what a requester sees;
# commands are given on the machine, with no requester.
OWN = ("access", "smart", "audit", "commands")


def uses(file: Path) -> int:
    """How often `whole` is asked of a service or a store."""
    tree = ast.parse(file.read_text())
    return sum(
        isinstance(node, ast.Attribute) and node.attr == "whole" and _name(node.value) in ("service", "store")
        for node in ast.walk(tree)
    )


def _name(node: ast.expr) -> str:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.lstrip("_")


def test_the_whole_store_is_asked_in_these_places_only() -> None:
    found = Counter[str]()
    for file in sorted(ROOT.rglob("*.py")):
        path = file.relative_to(ROOT)
        if path.parts[0] not in OWN and (number := uses(file)):
            found[path.as_posix()] = number
    assert found == {path: number for path, (number, _) in PLACES.items()}


def test_what_is_behind_is_reached_by_that_way_only() -> None:
    for file in sorted(ROOT.rglob("*.py")):
        reads = [
            node
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Attribute) and node.attr == "behind"
        ]
        assert not reads or file.name == "exchange.py", file
