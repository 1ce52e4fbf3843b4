"""Answers against what the extensions of their question ask."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.profiles.judging import errors

HL7 = "http://hl7.org/fhir/StructureDefinition/"
UCUM = "http://unitsofmeasure.org"
ANSWER = "QuestionnaireResponse.item[0].answer[0]"


def questionnaire(type_, *extensions, **facts):
    item = {"linkId": "q", "text": "?", "type": type_, **facts}
    item["extension"] = [{"url": HL7 + name, **value} for name, value in extensions]
    return {
        "resourceType": "Questionnaire",
        "url": "http://example.org/q",
        "status": "active",
        "item": [item],
    }


def response(*answers, status="completed", name="answer"):
    item = [{"linkId": "q", name: list(answers)}] if answers else []
    plain = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "http://example.org/q",
        "status": status,
    }
    return plain | {"item": item} if item else plain


def quantity(value, code):
    return {"valueQuantity": {"value": value, "unit": code, "system": UCUM, "code": code}}


def unit(code):
    return {"valueCoding": {"system": UCUM, "code": code}}


def attachment(**facts):
    return {"valueAttachment": {"contentType": "image/png", **facts}}


@pytest.mark.parametrize(
    ("type_", "extension", "good", "bad", "code"),
    [
        ("integer", ("minValue", {"valueInteger": 0}), {"valueInteger": 0}, {"valueInteger": -1}, "invalid"),
        (
            "integer",
            ("maxValue", {"valueInteger": 10}),
            {"valueInteger": 10},
            {"valueInteger": 11},
            "invalid",
        ),
        (
            "decimal",
            ("maxValue", {"valueDecimal": Decimal("1.5")}),
            {"valueDecimal": Decimal("1.50")},
            {"valueDecimal": Decimal("1.51")},
            "invalid",
        ),
        (
            "date",
            ("minValue", {"valueDate": "2026-01-01"}),
            {"valueDate": "2026-01-01"},
            {"valueDate": "2025-12-31"},
            "invalid",
        ),
        (
            "time",
            ("maxValue", {"valueTime": "12:00:00"}),
            {"valueTime": "11:59:00"},
            {"valueTime": "12:00:01"},
            "invalid",
        ),
        (
            "quantity",
            ("minValue", {"valueQuantity": {"value": 1, "system": UCUM, "code": "kg"}}),
            quantity(1000, "g"),
            quantity(999, "g"),
            "invalid",
        ),
        (
            "string",
            ("minLength", {"valueInteger": 3}),
            {"valueString": "abc"},
            {"valueString": "ab"},
            "invalid",
        ),
        (
            "string",
            ("regex", {"valueString": "[a-z]+"}),
            {"valueString": "ab"},
            {"valueString": "a1"},
            "invalid",
        ),
        (
            "decimal",
            ("maxDecimalPlaces", {"valueInteger": 1}),
            {"valueDecimal": Decimal("36.6")},
            {"valueDecimal": Decimal("36.65")},
            "invalid",
        ),
        (
            "quantity",
            ("questionnaire-unitOption", unit("kg")),
            quantity(80, "kg"),
            quantity(80, "g"),
            "code-invalid",
        ),
        (
            "quantity",
            (
                "questionnaire-unitValueSet",
                {"valueCanonical": "http://hl7.org/fhir/ValueSet/ucum-bodyweight"},
            ),
            quantity(80, "kg"),
            quantity(80, "mm[Hg]"),
            "code-invalid",
        ),
        (
            "reference",
            ("questionnaire-referenceResource", {"valueCode": "Patient"}),
            {"valueReference": {"reference": "Patient/1/_history/2"}},
            {"valueReference": {"reference": "http://helsenett.no/fhir/Group/1"}},
            "structure",
        ),
        (
            "attachment",
            ("mimeType", {"valueCode": "image/png"}),
            attachment(url="http://helsenett.no/x"),
            attachment(contentType="text/plain", url="http://helsenett.no/x"),
            "invalid",
        ),
        (
            "attachment",
            ("maxSize", {"valueDecimal": Decimal("0.000003")}),  # three bytes
            attachment(data="YWJj"),
            attachment(data="YWJjZA=="),
            "too-long",
        ),
    ],
)
def test_an_answer_is_as_its_question_asks(type_, extension, good, bad, code):
    asked = questionnaire(type_, extension)
    assert errors(response(good), asked) == []
    assert errors(response(bad), asked) == [(code, ANSWER)]


def test_several_units_may_be_allowed():
    options = [("questionnaire-unitOption", unit(code)) for code in ("kg", "g")]
    assert errors(response(quantity(80, "g")), questionnaire("quantity", *options)) == []


@pytest.mark.parametrize("pattern", ["(a+)+$", "[", "(" * 200, "a{1,99999}"])
def test_a_pattern_that_is_none_or_would_take_long_judges_nothing(pattern):
    asked = questionnaire("string", ("regex", {"valueString": pattern}))
    assert {code for code, _ in errors(response({"valueString": "a" * 50 + "!"}), asked)} <= {"invalid"}


def test_how_many_answers_a_question_has():
    limits = [
        ("questionnaire-minOccurs", {"valueInteger": 2}),
        ("questionnaire-maxOccurs", {"valueInteger": 3}),
    ]
    asked = questionnaire("integer", *limits, repeats=True, required=True)
    answers = [{"valueInteger": n} for n in range(4)]
    assert errors(response(*answers[:2]), asked) == []
    assert errors(response(*answers[:1]), asked) == [("required", "QuestionnaireResponse")]
    assert errors(response(*answers[:1], status="in-progress"), asked) == []
    assert errors(response(*answers), asked) == [("structure", "QuestionnaireResponse")]


def test_a_question_that_may_be_left_out_needs_none():
    asked = questionnaire("integer", ("questionnaire-minOccurs", {"valueInteger": 2}), repeats=True)
    assert errors(response(), asked) == []
