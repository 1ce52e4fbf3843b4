"""CQL libraries, compiled: text in, values out.

    library = compile(text)
    library.evaluate("Name", parameters={"Limit": 5}, now="2026-11-21T10:00:00.000+01:00")

https://cql.hl7.org. What is there and what is not yet: rules/README.md.
"""

from __future__ import annotations

from rules.cql import compiler
from rules.cql.library import Library
from rules.cql.needs import Needs, needs
from rules.emit.retrieve import Retrieve
from rules.language.errors import CompileError, Diagnostic
from rules.runtime.errors import EvaluationError

compile = compiler.compile
load_elm = compiler.load_elm

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
