"""Whatever a conformance resource is turned into, the thorough validation answers: it never raises."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.demands import DEMANDS
from tests.profiles import test_conformance_resources as conformance
from tests.profiles import test_signatures as signatures
from tests.profiles import test_structure_definitions as definitions
from tests.profiles import test_terminology_resources as terminology
from tests.profiles.judging import Known
from tests.profiles.test_answers import quantity, questionnaire, response, unit
from tests.profiles.test_mutations import places

QUESTIONS = questionnaire("quantity", ("questionnaire-unitOption", unit("kg")))
FILTER = {"property": "concept", "op": "is-a", "value": "warm"}
RESOURCES = [
    terminology.TYPED | {"count": 3},
    terminology.code_system(content="supplement", supplements="http://loinc.org"),
    terminology.value_set({"system": terminology.URL, "concept": [{"code": "r"}], "filter": [FILTER]}),
    terminology.expressed("%p-inactive"),
    terminology.concept_map({"code": "r", "target": terminology.EQUAL}),
    conformance.parameter("Patient.name.given", "Patient", derivedFrom=conformance.HL7 + "individual-given"),
    conformance.statement("token", conformance.HL7 + "clinical-code"),
    conformance.operation(),
    conformance.report(),
    definitions.profile({"path": "Patient"}, {"path": "Patient.birthDate", "min": 1}),
    signatures.signed(signatures.detached("a.b.c")),
    response(quantity(80, "kg")),
]
KNOWN = [terminology.TYPED, conformance.measure(), conformance.profile(), QUESTIONS]
JUNK = [
    None,
    0,
    True,
    "",
    "#",
    "x" * 200,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"coding": "x"},
    {"resourceType": 1},
    ["x"],
]


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.data())
def test_junk_anywhere_is_answered(data):
    resource = copy.deepcopy(data.draw(st.sampled_from(RESOURCES)))
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places(resource)[1:]))
        parent = resource
        for step in way:
            parent = parent[step]
        parent[last] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
    Known(KNOWN).judge(resource, demands=DEMANDS)


def test_unchanged_they_are_judged_without_junk():
    assert all(isinstance(Known(KNOWN).judge(resource), list) for resource in RESOURCES)
