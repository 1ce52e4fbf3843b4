"""What is no JSON is refused with the places of what has to be mended."""

from __future__ import annotations

import pytest

from fhir_server.broken_json import LONGEST, MOST, faults
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode


def places(text):
    return [fault.expression for fault in faults(text.encode())]


GOOD = '{"resourceType": "Patient", "name": [{"given": ["Kari", "Li"]}], "active": true, "multipleBirthInteger": 2}'


def test_json_has_no_faults():
    assert faults(GOOD.encode()) == []
    assert faults(b'{"resourceType": "Observation", "valueQuantity": {"value": -1.50e3}}') == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"resourceType"', '// x\n{"resourceType"', ["Patient"]),
        ('"name"', '/* x */ "name"', ["Patient.name"]),
        ('"active"', '// x\n"active"', ["Patient.active"]),
        ('"Kari"', "Kari", ["Patient.name[0].given[0]"]),
        ('"Kari"', "'Kari'", ["Patient.name[0].given[0]"]),
        ('"Kari"', '"Ka\\xri"', ["Patient.name[0].given[0]"]),
        ('"given"', "given", ["Patient.name[0].given"]),
        ('"Li"]', '"Li",]', ["Patient.name[0].given"]),
        ('"Kari", "Li"', '"Kari" "Li"', ["Patient.name[0].given"]),
        ("true", "True", ["Patient.active"]),
        (": 2", ": 02", ["Patient.multipleBirthInteger"]),
        (": 2}", ":}", ["Patient.multipleBirthInteger"]),
        (": true", "", ["Patient.active"]),
        ("2}", "2", ["Patient"]),
        ("2}", "2} {}", ["Patient"]),
        ('"Li"]', '"Li"', ["Patient.name[0].given"]),
        (
            '"Kari"',
            "Kari Nor",
            ["Patient.name[0].given[0]", "Patient.name[0].given", "Patient.name[0].given[1]"],
        ),
        ('"name"', '"navn på"', []),
    ],
)
def test_where_it_goes_wrong(before, after, expected):
    assert before in GOOD
    assert places(GOOD.replace(before, after, 1)) == expected


def test_a_comment_before_a_bracket_is_told_of_what_comes_next():
    text = '{"resourceType": "Patient", "name": [{"family": "Li"\n// here\n}], "gender": "female"}'
    assert places(text) == ["Patient.gender"]


def test_what_is_said_names_no_value():
    (fault,) = faults(b'{"resourceType": "Patient",\n "birthDate": 17057912345x}')
    assert (fault.expression, fault.line) == ("Patient.birthDate", 2)
    assert "17057912345" not in fault.said


def test_without_a_type_it_is_some_resource():
    assert places("{a: 1}") == ["Resource.a"]
    assert places("") == ["Resource"]


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, '{"a":' * 5000, "/*" * 9000, '"' * 3001, "x " * 9000, "{'" * 3000, "//\n" * 9000, "\x00"],
)
def test_hostile_text_ends_soon(text):
    assert len(places(text)) <= MOST


def test_of_long_texts_only_the_decoders_place_is_told():
    assert faults(b" " * LONGEST + b"{x") == []
    assert faults(b"\xff{") == []


def test_the_refusal_has_the_decoders_place_and_the_elements():
    with pytest.raises(FhirError) as error:
        decode(b'{"resourceType": "Patient", gender: female}')
    first, *others = error.value.issues
    assert error.value.status == 400
    assert first.diagnostics.startswith("The body is not JSON")
    assert [issue.expression for issue in others] == ["Patient.gender", "Patient.gender"]
