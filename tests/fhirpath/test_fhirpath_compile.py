"""https://hl7.org/fhirpath/N1/: expressions compiled against the R4 model and run on plain resources."""

import gc
import linecache
import re
from decimal import Decimal

import pytest

from rules import fhirpath
from rules.emit.running import digest
from rules.fhirpath.expression import Expression

OBSERVATION = {
    "resourceType": "Observation",
    "valueQuantity": {"value": Decimal("91.50"), "unit": "kg"},
    "component": [{"valueQuantity": {"value": 1}}, {"valueString": "x"}, {}],
    "subject": {"reference": "Patient/1"},
    "performer": [{"reference": "Practitioner/2"}, {"reference": "Patient/1"}, {"display": "somebody"}],
}
PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "name": [
        {"family": "A", "given": ["B", None, "C"], "_given": [None, {"id": "x"}, None]},
        {"family": "D"},
    ],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@b"}, {"value": "?"}],
    "extension": [{"url": "u:1", "valueString": "x"}, {"url": "u:2"}],
    "_birthDate": {"extension": [{"url": "u", "valueString": "unknown"}]},
}


@pytest.fixture
def evaluate():
    def run(text, resource):
        return fhirpath.compile(text, resource["resourceType"])(resource)

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient.name.family", ["A", "D"]),
        ("name.family", ["A", "D"]),
        ("Resource.id", []),
        ("DomainResource.extension.url", ["u:1", "u:2"]),
        ("Patient.name.given", ["B", {"id": "x"}, "C"]),
        ("Patient.birthDate", [{"extension": [{"url": "u", "valueString": "unknown"}]}]),
        ("Patient.birthDate.hasValue()", [False]),
        ("Patient.birthDate.exists()", [True]),
        ("Patient.birthDate.extension('u').value", ["unknown"]),
        ("Patient.name.given.where(hasValue())", ["B", "C"]),
        ("Patient.name.given.id", ["x"]),
        ("Observation.value", []),
        ("Patient.name[1].family", ["D"]),
        ("Patient.name[2].family", []),
        ("Patient.name.first().family", ["A"]),
        ("Patient.name.given[2]", ["C"]),
        ("Patient.telecom.where(system='phone').value", ["1"]),
        ("Patient.telecom.where(system != 'phone').value", ["a@b"]),
        ("Patient.telecom.where(system='phone' or system='email').value", ["1", "a@b"]),
        ("Patient.telecom.where(system='phone' and value='2').value", []),
        ("Patient.telecom.where(system.exists()).value", ["1", "a@b"]),
        ("Patient.telecom.exists(system='fax')", [False]),
        ("Patient.extension('u:1').value", ["x"]),
        ("Patient.extension('u:9').value", []),
        ("Patient.active", [True]),
        ("Patient.active = true", [True]),
        ("Patient.active != true", [False]),
        ("Patient.deceased.exists() and Patient.deceased != false", [False]),
        ("Patient.name.family | Patient.name.given | Patient.name.family", ["A", "D", "B", {"id": "x"}, "C"]),
        ("'x'", ["x"]),
        ("1.50", [Decimal("1.50")]),
    ],
)
def test_of_a_patient(evaluate, text, expected):
    assert evaluate(text, PATIENT) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Observation.value", [OBSERVATION["valueQuantity"]]),
        ("(Observation.value as Quantity).unit", ["kg"]),
        ("Observation.value.as(string)", []),
        ("Observation.value.ofType(CodeableConcept).text", []),
        ("Observation.value is Quantity", [True]),
        ("Observation.component.value", [{"value": 1}, "x"]),
        ("Observation.component.value.ofType(Quantity)", [{"value": 1}]),
        ("Observation.subject.where(resolve() is Patient)", [{"reference": "Patient/1"}]),
        ("Observation.subject.where(resolve() is Group)", []),
        ("Observation.performer.where(resolve() is Patient).reference", ["Patient/1"]),
        ("Observation.performer.where(resolve().is(Practitioner)).reference", ["Practitioner/2"]),
    ],
)
def test_of_an_observation(evaluate, text, expected):
    assert evaluate(text, OBSERVATION) == expected


@pytest.mark.parametrize(
    ("deceased", "expected"),
    [
        ({}, [False]),
        ({"deceasedBoolean": False}, [False]),
        ({"deceasedBoolean": True}, [True]),
        ({"deceasedDateTime": "2020"}, [True]),
    ],
)
def test_deceased_of_every_kind(evaluate, deceased, expected):
    text = "Patient.deceased.exists() and Patient.deceased != false"
    assert evaluate(text, {"resourceType": "Patient", **deceased}) == expected


def test_the_type_of_any_resource_is_seen_when_it_runs(evaluate):
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "active": True}}]}
    assert evaluate("Bundle.entry[0].resource.as(Patient).active", bundle) == [True]
    assert evaluate("Bundle.entry.resource.ofType(Observation)", bundle) == []
    assert evaluate("Bundle.entry.resource is Patient", bundle) == [True]


@pytest.mark.parametrize(
    ("reference", "type"),
    [
        ({"reference": "Patient/1"}, "Patient"),
        ({"reference": "Patient/1/_history/2"}, "Patient"),
        ({"reference": "https://example.org/fhir/Patient/1"}, "Patient"),
        ({"reference": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "type": "Patient"}, "Patient"),
        ({"reference": "#p", "type": "Patient"}, "Patient"),
        ({"type": "Patient", "identifier": {"value": "1"}}, "Patient"),
        ({"reference": "Group/1", "type": "Patient"}, "Group"),
        ({"reference": "#p"}, None),
        ({"display": "somebody"}, None),
    ],
)
def test_what_a_reference_resolves_to_is_read_from_the_reference(evaluate, reference, type):
    for asked in ("Patient", "Group"):
        found = evaluate(
            f"Observation.subject.where(resolve() is {asked})",
            {"resourceType": "Observation", "subject": reference},
        )
        assert bool(found) == (asked == type)


def test_hostile_text_stays_a_constant(evaluate):
    text = "Patient.telecom.where(system='\\'] + __import__(\\'os\\')').value"
    assert evaluate(text, PATIENT) == []


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("Patient.valueString", 9, "Patient has no element valueString"),
        ("Patient.deceasedBoolean", 9, "it is a choice, write deceased.ofType(boolean)"),
        ("Patient.name as Name", 17, "Name is not a type"),
        ("Patient.name.ofType(Name)", 21, "Name is not a type"),
        ("Patient.name.hasExtension('x')", 14, "hasExtension() is not FHIRPath"),
        ("Patient.name.where()", 14, "where() takes 1 arguments, not 0"),
        ("Patient.name.startsWith('x')", 14, "is called on String, not HumanName"),
        ("active + 1", 8, "+ is not defined for Boolean and Integer"),
        ("1 > true", 3, "Integer and Boolean have no order"),
        ("@2026-02-30", 1, "there is no date @2026-02-30"),
        ("99999999999", 1, "the number is too large"),
        ('name.where(use = "official")', 18, "strings stand in single quotes"),
        ("$total", 1, "$total is only inside of aggregate()"),
    ],
)
def test_what_the_compiler_refuses_it_refuses_with_the_place(text, column, message):
    with pytest.raises(fhirpath.CompileError) as caught:
        fhirpath.compile(text, strict=text == "Patient.valueString")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.line, diagnostic.column) == (1, column)
    assert message in diagnostic.message


def test_all_diagnostics_come_at_once():
    with pytest.raises(fhirpath.CompileError) as caught:
        fhirpath.compile("name.foo or\n  bar.exists()", strict=True)
    assert [(d.line, d.column) for d in caught.value.diagnostics] == [(1, 6), (2, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Patient.nam", "Patient has no element nam"),
        ("Patient.name.given.family", "string has no element family"),
        ("Encounter.status", "the expression is for Patient, not for Encounter"),
        ("Patient.name.where(family)", "a Boolean is needed, not a String"),
        ("Patient.children().first()", "children() has no order"),
    ],
)
def test_what_only_strict_refuses_is_otherwise_nothing_or_as_the_specification_lets_it(text, message):
    with pytest.raises(fhirpath.CompileError, match=re.escape(message)):
        fhirpath.compile(text, strict=True)
    fhirpath.compile(text)(PATIENT)


def test_several_items_where_one_boolean_is_needed_is_an_error(evaluate):
    with pytest.raises(fhirpath.EvaluationError):
        evaluate("Patient.name.where($this.given)", PATIENT)


def test_as_takes_one_item_but_every_item_in_what_r4_publishes(evaluate):
    text = "Observation.component.value as Quantity"
    with pytest.raises(fhirpath.EvaluationError):
        evaluate(text, OBSERVATION)
    assert fhirpath.compile(text, "Observation", published=True)(OBSERVATION) == [{"value": 1}]


def test_branches_say_where_and_what():
    text = "Observation.subject.where(resolve() is Patient) | (Observation.component.value as Quantity)"
    subject, component = fhirpath.branches(text, "Observation")
    assert (subject.root, subject.type, subject.targets, subject.many) == (
        "subject",
        "Reference",
        ("Patient",),
        False,
    )
    assert (component.root, component.type, component.many) == ("component", "Quantity", True)
    assert component.path == ("component", "valueQuantity")
    assert component.load()(OBSERVATION["component"]) == [{"value": 1}]
    assert (subject.owner, subject.name) == ("Observation", "subject")


def test_a_choice_has_a_branch_for_each_type():
    found = fhirpath.branches("Observation.effective", "Observation")
    assert [(branch.root, branch.type) for branch in found] == [
        ("effectiveDateTime", "dateTime"),
        ("effectivePeriod", "Period"),
        ("effectiveTiming", "Timing"),
        ("effectiveInstant", "instant"),
    ]


def test_what_has_a_value_without_its_element_looks_at_the_whole_resource():
    (branch,) = fhirpath.branches("Patient.deceased.exists()", "Patient")
    assert branch.root is None and branch.load()({}) == [False]


def test_the_emitted_python_can_be_read():
    (branch,) = fhirpath.branches("Patient.name.family", "Patient")
    assert branch.source == (
        "def evaluate(v0):\n"
        "    out = []\n"
        "    for v1 in v0 or ():\n"
        "        v2 = v1.get('family')\n"
        "        if v2 is not None:\n"
        "            out.append(v2)\n"
        "    return out\n"
    )


def test_what_is_false_implies_anything_that_takes_several_steps():
    rule = fhirpath.compile("type = 'message' implies entry.first().resource.is(MessageHeader)", "Bundle")
    entry = [{"resource": {"resourceType": "Patient"}}]
    assert rule.holds({"resourceType": "Bundle", "type": "collection", "entry": entry}) is True
    assert rule.holds({"resourceType": "Bundle", "type": "message", "entry": entry}) is False


def test_a_text_is_shown_in_tracebacks_for_as_long_as_somebody_uses_it():
    text = "Patient.name.where(use = 'not used elsewhere').family"

    def names():
        return [name for name in linecache.cache if digest(text) in name]

    one, other = Expression(text, "Patient", False, False), Expression(text, "Patient", False, False)
    assert len(names()) == 1
    del one
    gc.collect()
    assert linecache.getline(names()[0], 1) == text
    del other
    gc.collect()
    assert names() == []
