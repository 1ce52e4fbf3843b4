"""Everything a resource is found by: real-looking resources to rows, and odd ones to fewer."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.resource_json import decode
from fhir_server.search import parameters
from fhir_server.search.extract import confining, extract, links
from fhir_server.search.query import TABLES
from profiles import definitions

BODY_WEIGHT = rb"""{
  "resourceType": "Observation", "id": "o1",
  "meta": {"versionId": "1", "lastUpdated": "2026-11-21T09:00:00.000Z", "profile": ["https://x.example/weight"]},
  "status": "final",
  "category": [{"coding": [{"system": "urn:cat", "code": "vital-signs"}]}],
  "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"},
                      {"system": "http://snomed.info/sct", "code": "27113001"}], "text": "Vekt"},
  "subject": {"reference": "Patient/p1", "identifier": {"system": "urn:oid:1", "value": "42"}},
  "effectiveDateTime": "2026-11-21T10:00:00.000+01:00",
  "performer": [{"reference": "Patient/p1"}, {"reference": "Practitioner/n1"}],
  "valueQuantity": {"value": 91.50, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
  "component": [{"code": {"coding": [{"code": "c1"}]}, "valueQuantity": {"value": 1e400, "code": "1"}},
                {"code": {"coding": [{"code": "c2"}]}, "valueQuantity": {"value": 0.00000001}}]
}""".replace(b"1e400", b"1e200")


PAIRS = "combo-code-value-quantity,component-code-value-quantity"


def test_a_reading():
    values = extract("Observation", decode(BODY_WEIGHT))
    moment = 1795251600 * 1_000_000
    assert values.patient == "p1"
    assert values.moment == moment
    ucum = "http://unitsofmeasure.org"
    assert {table: set(rows) for table, rows in values.rows.items()} == {
        "token": {
            ("status", "", "final"),
            ("category", "urn:cat", "vital-signs"),
            ("code", "http://loinc.org", "29463-7"),
            ("code", "http://snomed.info/sct", "27113001"),
            ("component-code", "", "c1"),
            ("component-code", "", "c2"),
            ("combo-code", "http://loinc.org", "29463-7"),
            ("combo-code", "http://snomed.info/sct", "27113001"),
            ("combo-code", "", "c1"),
            ("combo-code", "", "c2"),
        },
        "date": {("date", moment, moment + 1000)},
        "quantity": {
            ("value-quantity", Decimal("91.50"), Decimal("91.50"), ucum, "kg", "kg"),
            ("combo-value-quantity", Decimal("91.50"), Decimal("91.50"), ucum, "kg", "kg"),
            ("component-value-quantity", Decimal("1e200"), Decimal("1e200"), "", "1", ""),
            ("combo-value-quantity", Decimal("1e200"), Decimal("1e200"), "", "1", ""),
            ("component-value-quantity", Decimal("1e-8"), Decimal("1e-8"), "", "", ""),
            ("combo-value-quantity", Decimal("1e-8"), Decimal("1e-8"), "", "", ""),
        },
        "reference": {
            ("subject", "Patient", "p1", "", "urn:oid:1", "42"),
            ("patient", "Patient", "p1", "", "urn:oid:1", "42"),
            ("performer", "Patient", "p1", "", "", ""),
            ("performer", "Practitioner", "n1", "", "", ""),
        },
        "uri": {("_profile", "https://x.example/weight")},
        # of all parameters that look at one place together
        "measure": {
            ("combo-value-quantity,value-quantity:measure", "g1", Decimal("91500.0"), Decimal("91500.0"))
        },
        "word": {("code,combo-code:text", "vekt")},
        "composite": {
            (PAIRS, "", "c1", Decimal("1e200"), Decimal("1e200"), Decimal(0), Decimal(0), "", "1", ""),
            (PAIRS, "", "c2", Decimal("1e-8"), Decimal("1e-8"), Decimal(0), Decimal(0), "", "", ""),
        },
    }
    assert all(type(row[1]) is Decimal for row in values.rows["quantity"])


def test_a_patient_with_parts_that_have_only_extensions():
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": "Nordmann", "given": ["Kari", None], "_given": [None, {"extension": []}]}],
        "_birthDate": {"extension": [{"url": "http://example.org/unknown", "valueCode": "unknown"}]},
        "_gender": {"extension": []},
    }
    values = extract("Patient", patient)
    assert values.patient == "p1"
    assert values.moment is None
    assert "date" not in values.rows
    assert values.rows["token"] == (("deceased", "", "false"),)
    assert ("name", "kari", "Kari") in values.rows["string"]


@pytest.mark.parametrize(
    ("resource", "patient"),
    [
        ({"resourceType": "Observation", "subject": {"reference": "Patient/a"}}, "a"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/a/_history/3"}}, "a"),
        (
            {"resourceType": "Observation", "subject": {"reference": "https://varde.example/fhir/Patient/a"}},
            "a",
        ),
        (
            {"resourceType": "Observation", "subject": {"reference": "https://other.example/fhir/Patient/a"}},
            None,
        ),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, None),
        (
            {
                "resourceType": "Observation",
                "subject": {"reference": "Group/g"},
                "performer": [{"reference": "Practitioner/b"}, {"reference": "Patient/b"}],
            },
            "b",
        ),
        (
            {
                "resourceType": "Observation",
                "performer": [{"reference": "Patient/b"}],
                "subject": {"reference": "Patient/a"},
            },
            "a",
        ),
        ({"resourceType": "Task", "for": {"reference": "Patient/a"}}, "a"),
        ({"resourceType": "CarePlan", "subject": {"reference": "Patient/a"}}, "a"),
        ({"resourceType": "Patient", "id": "a", "link": [{"other": {"reference": "Patient/b"}}]}, "a"),
        ({"resourceType": "Questionnaire", "id": "q"}, None),
        ({"resourceType": "Device", "patient": {"reference": "Patient/a"}}, "a"),
    ],
)
def test_the_patient_whose_compartment_it_is_in(resource, patient):
    found = extract(resource["resourceType"], resource, "https://varde.example/fhir")
    assert found.patient == patient


@pytest.mark.parametrize(
    "type", ["Observation", "CarePlan", "Goal", "Flag", "Communication", "Task", "Condition"]
)
def test_patient_and_subject_confine_a_search_where_there_is_one_subject(type):
    assert confining(type) == {"patient", "subject"}


def test_lists_of_participants_confine_nothing():
    assert links("Appointment")[0] == "patient"
    assert confining("Appointment") == frozenset()
    assert confining("Patient") == frozenset()


def test_every_type_of_every_published_parameter_is_extracted_or_known_not_to_be():
    for type in definitions.load().resource_types:
        for parameter in parameters.of(type).values():
            computed = parameter.code in ("_text", "_content", "age")
            assert parameter.branches or computed, (type, parameter.code)
            if parameter.type == "composite":
                assert parameters.composites(type)[parameter.code], (type, parameter.code)
            for kind in parameter.kinds:
                assert parameters.converter(parameter.type, kind), (type, parameter.code, kind)


def test_every_published_parameter_of_a_supported_type_is_there():
    missing = {
        parameter.code
        for type in definitions.load().resource_types
        for parameter in definitions.load().search_parameters(type)
        if parameter.code not in parameters.of(type)
    }
    # _query names an operation, _filter is a language of its own, readings have no _content (see words.py)
    assert missing == {"_query", "_filter", "_content"}


def test_ten_thousand_codings_and_each_once():
    codings = [{"system": "http://example.org", "code": str(number % 5000)} for number in range(10_000)]
    values = extract("Observation", {"resourceType": "Observation", "code": {"coding": codings}})
    assert len(values.rows["token"]) == 2 * 5000


def test_extensions_count_as_their_values():
    url = "http://hl7.org/fhir/SearchParameter/device-extensions-Device-din"
    extension = {"url": url, "valueIdentifier": {"system": "urn:s", "value": "v"}}
    device = {"resourceType": "Device", "extension": [extension, {"url": url, "valueBase64Binary": ""}]}
    assert extract("Device", device).rows["token"] == (("din", "urn:s", "v"),)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(allow_nan=True),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "coding", "system", "code", "value", "reference", "identifier", "start", "end", "low", "high",
                    "event", "repeat", "boundsPeriod", "data", "origin", "factor", "family", "given", "text", "tag",
                    "profile", "valueQuantity", "resourceType", "url", "type",
                ]
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.dictionaries(st.sampled_from([
    "meta", "status", "category", "code", "subject", "effectiveDateTime", "effectivePeriod", "effectiveTiming",
    "performer", "valueQuantity", "valueSampledData", "valueString", "component", "identifier", "extension",
    "valueCodeableConcept", "valueDateTime", "id",
]), odd, max_size=6))  # fmt: skip
def test_whatever_a_resource_holds_extraction_does_not_raise(resource):
    values = extract("Observation", resource, "https://varde.example/fhir")
    for table, rows in values.rows.items():
        for row in rows:
            for name, column in zip(("param", *TABLES[table]), row, strict=True):
                kind = Decimal if table in ("number", "quantity") else int
                assert isinstance(column, kind if name in ("low", "high") else str)
