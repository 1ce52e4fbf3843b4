"""FHIRPath 2.0 over FHIR R4, compiled to Python functions.

    expression = compile("name.where(use = 'official').given", "Patient")
    expression(patient)                                        # ["Peter", "James"]
    expression.holds(patient), expression.typed(patient)       # as a condition; with the types of the items
    compile("start <= end", "Period").holds(period, resource=encounter)
    compile("subject.resolve().ofType(Patient)", "Observation")(reading, Environment(resolve=store.read))
    expression.python_source                                   # what runs

https://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html. `type` is what the expression is
evaluated on: a resource type, a data type, or the path of a backbone element ("Observation.component");
"Resource" stands for any. CompileError carries every diagnostic found; an evaluation raises EvaluationError
and nothing else.

What is evaluated (JSON, or an Element, which knows what stands beside a primitive) comes positionally, then
an Environment (clock, units, how references are resolved, value sets, profiles, traces); keywords are
variables: `x=...` is %x, and `resource=`, `rootResource=` say what those are where an element is evaluated.
A variable is a System value, a resource, an Element, or a list of them.

Results: elements of FHIR as they are in JSON (a primitive with nothing but extensions as the object that
JSON has under `_name`), System values as rules.values has them. `typed` gives Elements instead, with
`.type`, `.value` and `.extra` (what stands under `_name`). A choice is asked for by its name (`value`),
never by its property.

strict: what the specification lets pass but can only be a mistake is a CompileError as well: elements that
the type does not have, paths of another resource type, conditions that are no Booleans, the order of
children().
published: the expression is one of R4's own, which count on `as` taking every item of the type.

`branches` takes an expression apart for search parameters.
"""

from __future__ import annotations

from rules.fhirpath.elements import Element, TypeInfo
from rules.fhirpath.environment import Environment
from rules.fhirpath.expression import Expression
from rules.fhirpath.search import Branch, branches
from rules.language.errors import CompileError, Diagnostic
from rules.runtime.errors import EvaluationError

__all__ = [
    "Branch",
    "CompileError",
    "Diagnostic",
    "Element",
    "Environment",
    "EvaluationError",
    "Expression",
    "TypeInfo",
    "branches",
    "compile",
]


def compile(text: str, type: str = "Patient", strict: bool = False, *, published: bool = False) -> Expression:
    """The expression, ready to be called. Raises CompileError carrying every diagnostic."""
    return Expression(text, type, strict, published)
