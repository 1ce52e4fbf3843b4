"""FHIRPath: how long expressions take to be compiled and to be evaluated."""

from __future__ import annotations

import pytest

from fhir_server.resource_json import decode
from rules import fhirpath

EXPRESSIONS = {
    "choice": "Observation.value.ofType(Quantity).value < 90",
    "component": "component.where(code.coding.exists(code = '8480-6')).value.ofType(Quantity) > 140 'mm[Hg]'",
    "quantity": "component.value.ofType(Quantity).exists($this > 140 'mm[Hg]')",
    "obs-7": "value.empty() or component.code.exists(coding.intersect(%resource.code.coding).exists()).not()",
    "dom-4": "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()",
    "untyped": "descendants().ofType(Coding).code.count()",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_evaluate(benchmark, body, name):
    expression = fhirpath.compile(EXPRESSIONS[name], "Observation", published=True)
    resource = decode(body)
    benchmark(expression.holds, resource)


def test_compile(benchmark):
    benchmark(fhirpath.compile, EXPRESSIONS["component"], "Observation")
