"""Hostile searches, paths and numbers find nothing or are refused, on every store."""

from __future__ import annotations

from urllib.parse import quote

import pytest

PATIENT = {"resourceType": "Patient", "active": True}

HOSTILE = [
    "'", '"', "''; DROP TABLE resource; --", "$where", "{$ne: null}", "[$regex]", "%00", "%00%00a", "a%0Ab",
    "%", "_", "*", "\\", "%5C%27", "(", "))", "((((", ",", ",,", "|", "||", "|||", "$", "\\,", "a\\|b",
    "%F0%9F%98%80", "%ED%A0%80", "%FF%FE", "a" * 10_000, "ge", "gt", "eq2020", "2020-13", "99999-01-01",
    "0000-00-00", "-1", "1e999999", "1e-999999", "NaN", "true", "Patient/", "/", "Patient/%00",
    "http://", "urn:uuid:", "../../etc/passwd", "#", "#a", "1" * 400, "0x10", "٣", "sa2020|x|y|z", "lt1e400",
    "5.4||mg||", "%7B%7D", "a&b=c", "a;b", "{\"$gt\":\"\"}",
]  # fmt: skip


def escaped(value: str) -> str:
    """As it stands in a URL; what is escaped already stays as it is."""
    return value if "%" in value and len(value) < 20 else quote(value, safe="")


@pytest.mark.parametrize(
    "type_, names",
    [
        (
            "Patient",
            ["name", "identifier", "birthdate", "organization", "_id", "_lastUpdated", "gender", "address"],
        ),
        (
            "Observation",
            ["value-quantity", "code", "date", "subject", "patient", "code-value-quantity", "_tag"],
        ),
        ("Questionnaire", ["url", "version", "title"]),
    ],
)
def test_hostile_search_values_find_nothing_or_are_refused(fhir, type_, names):
    fhir.put("/Patient/p", {**PATIENT, "id": "p", "name": [{"family": "Li"}]})
    for value in map(escaped, HOSTILE):
        for name in names:
            answer = fhir.get(f"/{type_}?{name}={value}")
            assert answer.status_code in (200, 400), (name, answer.text)
            assert "SELECT" not in answer.text
            assert "Traceback" not in answer.text
    assert fhir.get("/Patient/p").status_code == 200


RESULT = [
    "_sort",
    "_count",
    "_include",
    "_total",
    "_summary",
    "_elements",
    "_cursor",
    "_format",
    "_pretty",
    "_revinclude",
]


@pytest.mark.parametrize("prefer", ["handling=lenient", "handling=strict"])
def test_hostile_parameter_names_and_result_parameters(fhir, prefer):
    for value in map(escaped, HOSTILE):
        filters = [f"{value}=1", f"name:{value}=1", f"subject:Patient.{value}=1", f"_has:{value}=1", value]
        for query in [*filters, *(f"{name}={value}" for name in RESULT)]:
            answer = fhir.get(f"/Observation?{query}", prefer=prefer)
            assert answer.status_code in (200, 400, 406, 410), (query, answer.text)


@pytest.mark.parametrize(
    "template",
    ["/{}", "/Patient/{}", "/Patient/x/{}", "/Patient/x/_history/{}", "/{}/x", "/Patient/{}/_history"],
)
def test_hostile_paths(fhir, template):
    for value in map(escaped, HOSTILE):
        path = template.format(value)
        assert fhir.get(path).status_code in (200, 404, 405), path
        assert fhir.put(path, {**PATIENT, "id": "x"}).status_code in (400, 404, 405), path
        assert fhir.delete(path).status_code in (204, 400, 404, 405), path


def test_numbers_at_the_limits_are_kept_or_refused(fhir):
    def send(number: str):
        body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":%s}}'
        return fhir.post("/Observation", body % number.encode())

    for number in ("1e300", "1e-300", "9" * 300, "-" + "9" * 300, "0." + "1" * 300, "1" + "0" * 299):
        answer = send(number)
        assert answer.status_code in (201, 400, 422), number[:20]
        if answer.status_code == 201:
            assert number.encode() in answer.content
            assert fhir.get("/Observation?value-quantity=gt0").status_code == 200
    for number in ("1e301", "1e-301", "9" * 4000, "1e99999999999999"):
        assert send(number).status_code in (201, 400, 422), number[:20]
    assert fhir.get("/Observation?value-quantity=gt0&_sort=value-quantity").status_code == 200
