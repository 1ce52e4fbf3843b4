"""The chapters of the specification as tables; every answer was worked out by hand.

https://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html. The official suite has the rest.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rules import fhirpath
from rules.fhirpath import Element, Environment, EvaluationError
from rules.runtime.units import TextUnits
from rules.values import Date, DateTime, Long, Quantity, Time
from terminology import ucum

ENVIRONMENT = Environment(now="2026-11-21T10:00:00.000+01:00", units=TextUnits(ucum.convert))
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [
        {"use": "official", "family": "Moe", "given": ["Anne", "B."], "period": {"start": "2001"}},
        {"use": "usual", "given": ["Anni"]},
    ],
    "birthDate": "1974-12-25",
    "deceasedDateTime": "2020-02-29T10:30:00+01:00",
    "telecom": [
        {"system": "phone", "value": "1", "rank": 2},
        {"system": "email", "value": "a@b", "rank": 1},
        {"system": "phone", "value": "3"},
    ],
    "extension": [
        {
            "url": "u:weight",
            "valueQuantity": {
                "value": Decimal("80.5"),
                "unit": "kg",
                "system": "http://unitsofmeasure.org",
                "code": "kg",
            },
        },
        {"url": "u:when", "valuePeriod": {"start": "2020-01-01", "end": "2020-02"}},
        {"url": "u:nested", "extension": [{"url": "a", "valueCode": "x"}]},
    ],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Org"}],
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "Organization/9"}],
}


def evaluate(text: str, environment: Environment = ENVIRONMENT, **variables: Any) -> list[Any]:
    return fhirpath.compile(text)(PATIENT, environment, **variables)


def table(*rows: tuple[str, list[Any]]) -> Any:
    return pytest.mark.parametrize(("text", "expected"), rows, ids=[row[0] for row in rows])


def check(text: str, expected: list[Any]) -> None:
    found = evaluate(text)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@table(
    ("true and false or {}", []),
    ("({} or true) and ({} and false) = false", [True]),
    ("{} implies true", [True]),
    ("true xor {}", []),
    ("active and name.first()", [True]),
    ("(5).not()", [False]),
    ("2 + 3 * 4 - 6 / 4", [Decimal("12.5")]),
    ("7 div 2 | -7 div 2 | 7 mod 3 | -7 mod 3", [3, -3, 1, -1]),
    ("7.5 div 2", [3]),
    ("1 = 1.0", [True]),
    ("1 ~ 1.0", [True]),
    ("1.01 ~ 1.0", [True]),
    ("1.01 = 1.0", [False]),
    ("'a' < 'b' and 'a' <= 'a' and 'b' > 'a'", [True]),
    ("'A b' ~ 'a\\tB'", [True]),
    ("'x' & {} & 'y'", ["xy"]),
    ("'x' + {}", []),
    ("(1 | 2) = (2 | 1)", [False]),
    ("(1 | 2) ~ (2 | 1)", [True]),
    ("(1 | 2) = 1", [False]),
    ("'1' = 1", [False]),
    ("name[0] = name[1]", [False]),
    ("name[0] = name.first()", [True]),
    ("telecom.rank in (1 | 5)", "several"),
    ("3 in (1 | 2)", [False]),
    ("{} in (1 | 2)", []),
    ("(1 | 2) contains 2", [True]),
    ("-(3)", [-3]),
    ("+1.5", [Decimal("1.5")]),
    ("5L + 1", [Long(6)]),
)
def test_operators(text: str, expected: Any) -> None:
    if expected == "several":
        with pytest.raises(EvaluationError, match="several items"):
            evaluate(text)
        return
    check(text, expected)


@table(
    ("@2026-01-31 + 1 month", [Date((2026, 2, 28))]),
    ("@2024-02-29 + 1 year", [Date((2025, 2, 28))]),
    ("@2026 + 24 months", [Date((2028,))]),
    ("@T23:30 + 1 hour", [Time((0, 30))]),
    ("@2026-01-01T00:00:00Z - 1 second", [DateTime((2025, 12, 31, 23, 59, 59), 0)]),
    ("birthDate + 1 day", [Date((1974, 12, 26))]),
    ("@2026 = @2026-01", []),
    ("@2026 = @2025-01", [False]),
    ("@2026-01 < @2026-02-01", [True]),
    ("@2026-01 < @2026-01-15", []),
    ("@2026-01-01T10:00:00 = @2026-01-01T10:00:00.000", [True]),
    ("@2026-01-01T10:00+01:00 = @2026-01-01T09:00Z", [True]),
    ("@2026-01-01T10:00 = @2026-01-01T10:00Z", []),
    ("@2026-01-03T10:00 > @2026-01-01T10:00Z", [True]),
    ("@2026-01-01 < @2026-01-01T01:00:00+14:00", []),
    ("@2026-01-01 = @T10:00", [False]),
    ("@2026 ~ @2026-01", [False]),
    ("deceased > @2020-02-29T10:29:59+01:00", [True]),
    ("deceased < now() and birthDate < today()", [True]),
    ("now()", [DateTime((2026, 11, 21, 10, 0, 0, 0), 60)]),
    ("today()", [Date((2026, 11, 21))]),
    ("timeOfDay()", [Time((10, 0, 0, 0))]),
)
def test_times(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("80500 'g' = 80.5 'kg'", [True]),
    ("1 'kg' > 999 'g'", [True]),
    ("1 'kg' < 1 's'", []),
    ("1 'kg' = 1 's'", []),
    ("1 'kg' ~ 1 's'", [False]),
    ("1 week = 7 days", [True]),
    ("1 'wk' = 7 days", [True]),
    ("1 year = 12 months", [True]),
    ("1 year = 1 'a'", []),
    ("1 year ~ 1 'a'", [True]),
    ("2 'g' + 500 'mg'", [Quantity(Decimal("2500"), "mg")]),
    ("2 'm' * 3 'm'", [Quantity(Decimal(6), "m2")]),
    ("6 'g' / 2", [Quantity(Decimal(3), "g")]),
    ("6 'g' / 2 'g'", [Quantity(Decimal(3), "1")]),
    ("extension('u:weight').value > 80 'kg'", [True]),
    ("extension('u:weight').value = 80500 'g'", [True]),
    ("extension('u:weight').value.ofType(Quantity).unit", ["kg"]),
    ("1 'cm'.comparable(1 '[in_i]')", [True]),
    ("(-2.5 'mg').abs()", [Quantity(Decimal("2.5"), "mg")]),
    ("'5 \\'mg\\''.toQuantity('g')", [Quantity(Decimal("0.005"), "g")]),
)
def test_quantities(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("name.exists() and link.empty()", [True]),
    ("name.exists(use = 'usual')", [True]),
    ("name.all(given.exists()) and name.all(family.exists()).not()", [True]),
    ("link.all(false) and {}.allTrue() and {}.anyTrue().not()", [True]),
    ("(true | false).allTrue() or (true | false).allFalse()", [False]),
    ("(true | false).anyTrue() and (true | false).anyFalse()", [True]),
    ("(1 | 2).subsetOf(1 | 2 | 3) and (1 | 2 | 3).supersetOf(2)", [True]),
    ("{}.subsetOf(1)", [True]),
    ("name.given.count()", [3]),
    ("telecom.system.isDistinct()", [False]),
    ("telecom.system.distinct()", ["phone", "email"]),
    ("telecom.where(system = 'phone' and value = '3').count()", [1]),
    ("telecom.where($index = 1).value", ["a@b"]),
    ("telecom.select(value & '/' & $index.toString())", ["1/0", "a@b/1", "3/2"]),
    ("name.select(given.first())", ["Anne", "Anni"]),
    ("name.select(given | family)", ["Anne", "B.", "Moe", "Anni"]),
    ("extension.repeat(extension).url", ["a"]),
    ("name[1].given | name[5].given", ["Anni"]),
    ("name.given.first() | name.given.last()", ["Anne", "Anni"]),
    ("name.given.tail()", ["B.", "Anni"]),
    ("name.given.skip(1).take(1)", ["B."]),
    ("name.given.take(-1)", []),
    ("(1 | 2 | 3).intersect(3 | 2)", [2, 3]),
    ("(1 | 2 | 3).exclude(2)", [1, 3]),
    ("1.combine(1 | 2)", [1, 1, 2]),
    ("1.union(1 | 2)", [1, 2]),
    ("(1 | 1.0 | '1')", [1, "1"]),
    ("telecom.sort(rank).value", ["3", "a@b", "1"]),
    ("telecom.sort(system, -value).value", ["a@b", "3", "1"]),
    ("(1 | 2 | 3).aggregate($this + $total, 10)", [16]),
    ("telecom.aggregate(iif($total.empty(), value, $total & value))", ["1a@b3"]),
    ("(1 | 2 | 3).aggregate($total + $index, 0)", [3]),
)
def test_collections(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("'abc'.indexOf('c') | 'abc'.lastIndexOf('z')", [2, -1]),
    ("'abc'.substring(1) | 'abc'.substring(1, 1) | 'abc'.substring(3)", ["bc", "b"]),
    ("'abc'.upper() & 'ABC'.lower()", ["ABCabc"]),
    ("'a,b,,c'.split(',')", ["a", "b", "", "c"]),
    ("('a' | 'b').join('-') | ('a' | 'b').join()", ["a-b", "ab"]),
    ("'abc'.toChars()", ["a", "b", "c"]),
    ("' x '.trim()", ["x"]),
    ("'2026-11'.matches('^[0-9]{4}') and '2026'.matchesFull('[0-9]') = false", [True]),
    ("'2026-11'.replaceMatches('([0-9]+)-([0-9]+)', '$2/$1')", ["11/2026"]),
    ("'aab'.replace('a', 'b')", ["bbb"]),
    ("'æ'.encode('hex') | 'æ'.encode('base64') | 'zzz'.decode('hex')", ["c3a6", "w6Y="]),
    ("'<\"'.escape('html') | '\\n'.escape('json') | '&lt;'.unescape('html')", ["&lt;&quot;", "\\n", "<"]),
    ("'abc'.length()", [3]),
    ("'x'.startsWith('') and 'x'.endsWith('x') and 'xyz'.contains('y')", [True]),
    ("{}.upper() | {}.length()", []),
)
def test_strings(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("'t'.toBoolean() | 'NO'.toBoolean() | 'x'.toBoolean()", [True, False]),
    ("'12'.toInteger() | '12.0'.toInteger() | true.toInteger()", [12, 1]),
    ("'12'.toLong()", [Long(12)]),
    ("'1.50'.toDecimal().toString()", ["1.50"]),
    ("'2026-02'.toDate() | '2026-02-30'.toDate()", [Date((2026, 2))]),
    ("'2026-02-01T10'.toDateTime()", [DateTime((2026, 2, 1, 10))]),
    ("birthDate.toDateTime() | deceased.toDate()", [DateTime((1974, 12, 25)), Date((2020, 2, 29))]),
    ("'10:30'.toTime()", [Time((10, 30))]),
    (
        "1.5.toString() | @2026-02.toString() | 1 'mg'.toString() | true.toString()",
        ["1.5", "2026-02", "1 'mg'", "true"],
    ),
    ("'1 day'.toQuantity()", [Quantity(Decimal(1), "day")]),
    ("name.first().toString().empty() and name.first().convertsToString() = false", [True]),
    ("'x'.convertsToInteger() or {}.convertsToInteger()", []),
    ("iif(active, 'yes', 'no') | iif(false, 'yes')", ["yes"]),
    ("iif(true, 1, name.single())", [1]),
    ("name.first().iif(use = 'official', family, 'none')", ["Moe"]),
)
def test_conversion(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("(-3).abs() | 1.2.ceiling() | (-1.2).floor() | (-1.7).truncate()", [3, 2, -2, -1]),
    ("9.sqrt() | (-1).sqrt()", [Decimal(3)]),
    ("2.power(10) | 2.power(-1)", [1024, Decimal("0.5")]),
    ("2.345.round(2) | 2.5.round()", [Decimal("2.35"), Decimal(3)]),
    ("100.log(10) | 0.exp() | 0.ln()", [Decimal(2), Decimal(1)]),
    ("1.587.lowBoundary() | 1.587.highBoundary()", [Decimal("1.58650000"), Decimal("1.58750000")]),
    ("@2026-02.highBoundary() | birthDate.lowBoundary(6)", [Date((2026, 2, 28)), Date((1974, 12))]),
    ("name.period.start.highBoundary(8)", [DateTime((2001, 12, 31))]),
    ("1.50.precision() | @2026-02.precision() | @T10:30.precision()", [2, 6, 4]),
)
def test_numbers_and_precision(text: str, expected: list[Any]) -> None:
    check(text, expected)


@table(
    ("birthDate is date and birthDate is System.Date = false", [True]),
    ("deceased is dateTime and deceased is boolean = false", [True]),
    ("deceased.ofType(dateTime) | deceased.ofType(boolean)", ["2020-02-29T10:30:00+01:00"]),
    ("name.first().use is string and name.first().use is code", [True]),
    ("name.first().use.as(string)", []),
    ("Patient is Resource and Patient is DomainResource", [True]),
    ("(1 | 'a' | true | 1.5).ofType(System.Integer)", [1]),
    ("(1 | 'a' | @2026).select(type().name)", ["Integer", "String", "Date"]),
    ("birthDate.type().namespace & '.' & birthDate.type().name", ["FHIR.date"]),
    ("contained.type().name", ["Organization"]),
    ("contained.ofType(Organization).name | contained.ofType(Patient).name", ["Org"]),
    ("children().ofType(HumanName).family", ["Moe"]),
    ("descendants().ofType(Period).start", ["2020-01-01", "2001"]),
    ("extension('u:when').value.start", ["2020-01-01"]),
    ("extension('u:when').value as Period", [{"start": "2020-01-01", "end": "2020-02"}]),
    ("extension('u:nested').extension('a').value is code", [True]),
    ("active.value and active.hasValue() and active.getValue()", [True]),
    ("managingOrganization.resolve().name", ["Org"]),
    ("managingOrganization.resolve() is Organization", [True]),
    ("generalPractitioner.where(resolve() is Practitioner).reference", ["Practitioner/1"]),
    ("conformsTo('http://hl7.org/fhir/StructureDefinition/DomainResource')", [True]),
    ("%resource.id | %context.id | %rootResource.id", ["p"]),
    (
        "%ucum | %`vs-x` | %`ext-y`",
        [
            "http://unitsofmeasure.org",
            "http://hl7.org/fhir/ValueSet/x",
            "http://hl7.org/fhir/StructureDefinition/y",
        ],
    ),
    ("name.defineVariable('n').given.where($this = %n.given.first())", ["Anne"]),
    ("name.defineVariable('f', first().family).select(given & '')", "several"),
    ("name.defineVariable('f', first().family).select(%f)", ["Moe", "Moe"]),
    ("checkModifiers('u').active", [True]),
)
def test_types_and_fhir(text: str, expected: Any) -> None:
    if expected == "several":
        with pytest.raises(EvaluationError, match="several items"):
            evaluate(text)
        return
    found = evaluate(text)
    assert sorted(map(str, found)) == sorted(map(str, expected))


# What an evaluation is given


def test_variables_are_values_resources_or_elements():
    assert evaluate("%a + %b.first()", a=1, b=[2, 3]) == [3]
    assert evaluate("%other.name.family", other={"resourceType": "Patient", "name": [{"family": "X"}]}) == [
        "X"
    ]
    assert evaluate("%q > 1 'g'", q=Element({"value": 2, "code": "g"}, "Quantity")) == [True]
    assert evaluate("%a.empty()", a=None) == [True]
    with pytest.raises(EvaluationError, match="%a is not given"):
        evaluate("%a")
    with pytest.raises(EvaluationError, match="not known: give an Element"):
        evaluate("%a", a={"value": 1})


def test_an_element_is_evaluated_with_the_resource_around_it():
    name = PATIENT["name"][0]
    expression = fhirpath.compile("%resource.active and family = 'Moe'", "HumanName")
    assert expression(name, resource=PATIENT) == [True]
    assert fhirpath.compile("%resource.id & %rootResource.id", "Patient.contact")(
        {}, resource=PATIENT, rootResource={"resourceType": "Bundle", "id": "b"}
    ) == ["pb"]


def test_a_primitive_is_evaluated_with_what_stands_beside_it():
    expression = fhirpath.compile("hasValue().not() and extension('u').exists()", "date")
    assert expression.holds(Element(None, "date", {"extension": [{"url": "u"}]})) is True
    assert expression.holds(Element("2026", "date", {"extension": [{"url": "u"}]})) is False
    assert expression.holds("2026") is False


def test_references_are_resolved_by_whoever_evaluates():
    asked = []

    def resolve(text):
        asked.append(text)
        return {"resourceType": "Practitioner", "id": "1"} if text == "Practitioner/1" else None

    environment = Environment(resolve=resolve)
    assert evaluate("generalPractitioner.resolve().id", environment) == ["1"]
    assert asked == ["Practitioner/1", "Organization/9"]
    assert evaluate("managingOrganization.resolve().id", environment) == ["o"]
    assert evaluate("'Practitioner/1'.resolve().id", environment) == ["1"]


def test_entries_of_a_bundle_are_found_by_their_full_url():
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "1"}},
            {"resource": {"resourceType": "Observation", "subject": {"reference": "urn:uuid:1"}}},
        ],
    }
    text = "entry.resource.ofType(Observation).subject.resolve().id"
    assert fhirpath.compile(text, "Bundle")(bundle) == ["1"]


def test_terminology_and_profiles_are_asked_for():
    codes = {"u:codes": {"official", "usual"}}
    environment = Environment(
        member_of=lambda code, canonical: code in codes[canonical] if canonical in codes else None,
        conforms_to=lambda item, canonical: canonical == "u:profile" and "active" in item,
        subsumes=lambda left, right: left["code"] == "above",
    )
    assert evaluate("name.first().use.memberOf('u:codes')", environment) == [True]
    assert evaluate("conformsTo('u:profile')", environment) == [True]
    with pytest.raises(EvaluationError, match="the value set u:other is not known"):
        evaluate("name.first().use.memberOf('u:other')", environment)
    with pytest.raises(EvaluationError, match="needs to be given member_of"):
        evaluate("name.first().use.memberOf('u:codes')", Environment())
    coding = Element({"code": "above"}, "Coding")
    assert evaluate("%c.subsumes(%d)", environment, c=coding, d=Element({"code": "x"}, "Coding")) == [True]
    assert evaluate("%c.subsumedBy(%d)", environment, c=coding, d=Element({"code": "x"}, "Coding")) == [False]
    assert evaluate("%c.subsumedBy(%c)", Environment(), c=coding) == [True]


def test_a_trace_receives_the_items_and_lets_them_through():
    seen = []
    environment = Environment(trace=lambda name, items: seen.append((name, items)))
    assert evaluate("name.given.trace('g').count()", environment) == [3]
    assert evaluate("name.trace('f', family).count()", environment) == [2]
    assert seen == [("g", ["Anne", "B.", "Anni"]), ("f", ["Moe"])]


def test_without_a_clock_there_is_no_now():
    with pytest.raises(EvaluationError, match="no clock"):
        evaluate("now()", Environment())
    with pytest.raises(ValueError, match="offset"):
        evaluate("now()", Environment(now="2026-11-21T10:00:00.000"))


def test_results_with_their_types_and_as_a_condition():
    expression = fhirpath.compile("name.given | birthDate | 1 | extension.value")
    assert [fhirpath.elements.type_of(item) for item in expression.typed(PATIENT)] == [
        *["string"] * 3,
        "date",
        "System.Integer",
        "Quantity",
        "Period",
    ]
    assert fhirpath.compile("name").holds({"resourceType": "Patient"}) is None
    assert fhirpath.compile("name.first()").holds(PATIENT) is True
    assert fhirpath.compile("active.not()").holds(PATIENT) is False


def test_another_resource_than_it_was_compiled_for_is_an_error():
    with pytest.raises(EvaluationError, match="for Patient"):
        fhirpath.compile("name")({"resourceType": "Observation"})
    assert fhirpath.compile("Patient.id | Observation.status", "Resource")(
        {"resourceType": "Observation", "status": "final"}
    ) == ["final"]


def test_numbers_of_json_however_they_were_decoded():
    for value in (1.1, Decimal("1.1")):
        data = {"resourceType": "Observation", "valueQuantity": {"value": value, "code": "g"}}
        assert fhirpath.compile("value.value = 1.1 and value = 1.1 'g'", "Observation")(data) == [True]
