"""CQL libraries, compiled: text in, values out.

    library = compile(text)
    library.evaluate("Name", parameters={"Limit": 5}, now="2026-11-21T10:00:00.000+01:00")

https://cql.hl7.org. What is there and what is not yet: rules/README.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules.cql.compiler import compile, load_elm  # noqa: A004
    from rules.cql.demand import Needs, needs
    from rules.cql.library import Library
    from rules.emit.retrieve import Retrieve
    from rules.language.errors import CompileError, Diagnostic
    from rules.runtime.errors import EvaluationError

__all__ = [
    "CompileError",
    "Diagnostic",
    "EvaluationError",
    "Library",
    "Needs",
    "Retrieve",
    "compile",
    "load_elm",
    "needs",
]

_WHERE = {
    "CompileError": "rules.language.errors",
    "Diagnostic": "rules.language.errors",
    "EvaluationError": "rules.runtime.errors",
    "Library": "rules.cql.library",
    "Needs": "rules.cql.demand",
    "Retrieve": "rules.emit.retrieve",
    "compile": "rules.cql.compiler",
    "load_elm": "rules.cql.compiler",
    "needs": "rules.cql.demand",
}


def __getattr__(name: str) -> Any:
    """Loaded when first asked for: a server without rules in CQL starts a third of a second earlier."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return found
