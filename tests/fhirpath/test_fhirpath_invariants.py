"""Every invariant that R4 is published with, and some of them at work on good and bad data."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rules import fhirpath


def invariants(model):
    """(type that it is evaluated on, invariant) of all, each once."""
    found = {}
    for name, type in model.types.items():
        found |= {(name, invariant.expression): invariant for invariant in type.invariants}
        for element in type.elements.values():
            for reference in element.types:
                found |= {(reference.code, i.expression): i for i in element.invariants}
    return [(type, invariant) for (type, _), invariant in found.items()]


def test_every_published_invariant_compiles(model):
    """On the first of its types; tests/profiles/test_invariants.py compiles them for all."""
    found = {invariant.expression: type for type, invariant in reversed(invariants(model))}
    assert len(found) > 180
    for expression, type in found.items():
        assert fhirpath.compile(expression, type, published=True).python_source


REFERENCE = "reference.startsWith('#').not() or (reference.substring(1) in %rootResource.contained.id)"
CONTAINED = {"resourceType": "Patient", "id": "p"}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
}


def observation(**elements):
    return {**OBSERVATION, **elements}


@pytest.mark.parametrize(
    ("key", "type", "focus", "holds"),
    [
        ("obs-6", "Observation", observation(valueInteger=1), True),
        ("obs-6", "Observation", observation(valueInteger=1, dataAbsentReason={"text": "?"}), False),
        ("obs-7", "Observation", observation(component=[{"code": OBSERVATION["code"]}]), True),
        (
            "obs-7",
            "Observation",
            observation(valueInteger=1, component=[{"code": OBSERVATION["code"]}]),
            False,
        ),
        ("obs-7", "Observation", observation(valueInteger=1, component=[{"code": {"text": "x"}}]), True),
        ("obs-3", "Observation.referenceRange", {"text": "x"}, True),
        ("obs-3", "Observation.referenceRange", {"appliesTo": []}, False),
        ("dom-2", "Patient", {"resourceType": "Patient", "contained": [CONTAINED]}, True),
        (
            "dom-2",
            "Patient",
            {"resourceType": "Patient", "contained": [{**CONTAINED, "contained": [CONTAINED]}]},
            False,
        ),
        ("dom-3", "Observation", observation(contained=[CONTAINED], subject={"reference": "#p"}), True),
        ("dom-3", "Observation", observation(contained=[CONTAINED]), False),
        (
            "dom-3",
            "Observation",
            observation(contained=[{**CONTAINED, "managingOrganization": {"reference": "#"}}]),
            True,
        ),
        ("dom-4", "Observation", observation(contained=[{**CONTAINED, "meta": {"versionId": "1"}}]), False),
        ("dom-6", "Observation", observation(text={"div": "<div/>"}), True),
        ("dom-6", "Observation", observation(), False),
        ("ele-1", "Coding", {"code": "x"}, True),
        ("ele-1", "Coding", {"id": "x"}, False),
        ("ele-1", "string", "x", True),
        ("ext-1", "Extension", {"url": "u", "valueString": "x"}, True),
        ("ext-1", "Extension", {"url": "u", "_valueString": {"id": "x"}}, True),
        ("ext-1", "Extension", {"url": "u"}, False),
        ("ext-1", "Extension", {"url": "u", "valueString": "x", "extension": [{"url": "v"}]}, False),
        ("per-1", "Period", {"start": "2026-01", "end": "2026-02-01"}, True),
        ("per-1", "Period", {"start": "2026-03", "end": "2026-02-01"}, False),
        ("per-1", "Period", {"start": "2026", "end": "2026-02-01"}, True),
        ("per-1", "Period", {"start": "2026-01-01T00:00:00+01:00", "end": "2025-12-31T23:30:00Z"}, True),
        ("qty-3", "Quantity", {"value": 1, "code": "mg"}, False),
        ("rng-2", "Range", {"low": {"value": Decimal("1.5")}, "high": {"value": 2}}, True),
        ("rng-2", "Range", {"low": {"value": 3, "code": "g"}, "high": {"value": 2, "code": "g"}}, False),
        (
            "cnt-3",
            "Count",
            {"value": Decimal("1.0"), "system": "http://unitsofmeasure.org", "code": "1"},
            False,
        ),
        ("cnt-3", "Count", {"value": 1, "system": "http://unitsofmeasure.org", "code": "1"}, True),
        (
            "txt-2",
            "xhtml",
            '<div xmlns="http://www.w3.org/1999/xhtml"><p class="a">B&nbsp;&amp; C</p></div>',
            True,
        ),
        ("txt-2", "xhtml", '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>', False),
        ("txt-2", "xhtml", '<div xmlns="http://www.w3.org/1999/xhtml"><p onclick="x">y</p></div>', False),
        (
            "txt-2",
            "xhtml",
            '<!DOCTYPE d [<!ENTITY x "y">]><div xmlns="http://www.w3.org/1999/xhtml">&x;</div>',
            False,
        ),
        ("txt-2", "xhtml", '<div xmlns="http://www.w3.org/1999/xhtml"> </div>', False),
        (
            "bdl-7",
            "Bundle",
            {"resourceType": "Bundle", "type": "batch", "entry": [{"fullUrl": "a"}, {"fullUrl": "b"}]},
            True,
        ),
        (
            "bdl-7",
            "Bundle",
            {"resourceType": "Bundle", "type": "batch", "entry": [{"fullUrl": "a"}, {"fullUrl": "a"}]},
            False,
        ),
        (
            "bdl-11",
            "Bundle",
            {
                "resourceType": "Bundle",
                "type": "document",
                "entry": [{"resource": {"resourceType": "Patient"}}],
            },
            False,
        ),
        (
            "que-2",
            "Questionnaire",
            {"resourceType": "Questionnaire", "item": [{"linkId": "1", "item": [{"linkId": "1"}]}]},
            False,
        ),
        (
            "csd-1",
            "CodeSystem",
            {"resourceType": "CodeSystem", "concept": [{"code": "a"}, {"code": "b"}]},
            True,
        ),
        ("ras-2", "RiskAssessment.prediction", {"probabilityDecimal": 101}, False),
        ("pat-1", "Patient.contact", {"gender": "male"}, False),
        ("tim-9", "Timing.repeat", {"offset": 1, "when": ["C"]}, False),
        (
            "ig-1",
            "ImplementationGuide.definition",
            {"grouping": [{"id": "a"}], "resource": [{"groupingId": "b"}]},
            False,
        ),
    ],
)
def test_what_an_invariant_says(model, key, type, focus, holds):
    expressions = [i.expression for t, i in invariants(model) if i.key == key and t == type]
    resource = focus if isinstance(focus, dict) and "resourceType" in focus else OBSERVATION
    assert fhirpath.compile(expressions[0], type, published=True).holds(focus, resource=resource) is holds


def test_a_reference_to_what_is_contained_needs_the_resource_around_it():
    expression = fhirpath.compile(REFERENCE, "Reference")
    resource = observation(contained=[CONTAINED])
    assert expression.holds({"reference": "#p"}, rootResource=resource) is True
    assert expression.holds({"reference": "#q"}, rootResource=resource) is False
    assert expression.holds({"reference": "Patient/1"}) is True
    with pytest.raises(fhirpath.EvaluationError, match="%resource is not known"):
        expression.holds({"reference": "#p"})
