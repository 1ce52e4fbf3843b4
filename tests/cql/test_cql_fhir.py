"""CQL over FHIR R4 data, with answers worked out by hand."""

from __future__ import annotations

import json
from decimal import Decimal as D
from typing import Any

import pytest

from profiles import modelinfo
from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.emit.retrieve import Retrieve
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime
from rules.runtime.units import TextUnits
from rules.runtime.values import Code, Concept, Quantity, Ratio, ValueSet
from terminology import ucum

NOW = "2026-11-21T10:00:00.000+01:00"
LOINC, SCT, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"


def quantity(value: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": D(value), "unit": unit, "system": UCUM, "code": unit, **more}


def concept(system: str, code: str, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], **more}


def observation(id_: str, code: str, at: str | None, **value: Any) -> dict[str, Any]:
    found = {"resourceType": "Observation", "id": id_, "status": "final", "code": concept(LOINC, code)}
    return {**found, **({"effectiveDateTime": at} if at else {}), **value}


RESOURCES = [
    {
        "resourceType": "Patient",
        "id": "p",
        "gender": "female",
        "birthDate": "1950-11-22",
        "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1950-11-22T03:00:00+01:00"}]},
        "active": True,
        "name": [
            {"use": "official", "family": "Nordmann", "given": ["Kari", "Anne"]},
            {"use": "old", "family": "Hansen", "given": ["Kari"], "period": {"end": "1980-05"}},
        ],
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "extension": [
            {"url": "urn:a", "valueString": "text"},
            {"url": "urn:q", "valueQuantity": quantity("5", "mg")},
        ],
        "managingOrganization": {"reference": "Organization/1"},
    },
    observation("s1", "59408-5", "2026-11-19T08:00:00+01:00", valueQuantity=quantity("93", "%")),
    observation("s2", "59408-5", "2026-11-21T08:00:00+01:00", valueQuantity=quantity("88", "%")),
    observation("s3", "59408-5", "2026-11-20T08:00:00+01:00", valueQuantity=quantity("91", "%")),
    observation("w1", "29463-7", "2026-11-18", valueQuantity=quantity("80.0", "kg")),
    observation("w2", "29463-7", "2026-11-20", valueQuantity=quantity("82500", "g")),
    observation("w3", "29463-7", "2026-11", valueQuantity=quantity("81", "kg")),
    observation("c1", "1-1", None, valueCodeableConcept=concept(SCT, "10", text="ten")),
    observation("c2", "1-2", None, valueString="free"),
    observation("c3", "1-3", None, valueBoolean=True),
    observation("c4", "1-4", None, valueInteger=7),
    observation("c5", "1-5", None, valueQuantity=quantity("5", "mg", comparator="<")),
    observation("c6", "1-6", None, valueQuantity={"value": D("5"), "system": "urn:other", "code": "x"}),
    observation("c7", "1-7", None, valueRatio={"numerator": quantity("1", "mg"), "denominator": quantity("2", "mL")}),
    observation("c8", "1-8", None, valueRange={"low": quantity("1", "mg"), "high": quantity("2", "mg")}),
    observation("c9", "1-9", None, dataAbsentReason=concept("urn:dar", "unknown")),
    {
        **observation("p1", "2-1", None),
        "effectivePeriod": {"start": "2026-11-01", "end": "2026-11-10"},
        "component": [
            {"code": concept(LOINC, "8480-6"), "valueQuantity": quantity("120", "mm[Hg]")},
            {"code": concept(LOINC, "8462-4"), "valueQuantity": quantity("80", "mm[Hg]")},
        ],
    },
    {"resourceType": "Condition", "id": "k1", "code": concept(SCT, "13645005"), "onsetDateTime": "2010"},
    {"resourceType": "Condition", "id": "k2", "code": concept(SCT, "1"), "onsetAge": quantity("30", "a")},
    {"resourceType": "Encounter", "id": "e1", "class": {"system": "urn:act", "code": "AMB"}, "period": {"start": "2026-10-01T10:00:00Z", "end": "2026-10-01T11:00:00Z"}},
    {"resourceType": "Encounter", "id": "e2", "class": {"system": "urn:act", "code": "IMP"}, "period": {"start": "2026-11-01T10:00:00Z"}},
    {"resourceType": "MedicationRequest", "id": "m1", "medicationCodeableConcept": concept(SCT, "99")},
    {"resourceType": "MedicationRequest", "id": "m2", "medicationReference": {"reference": "Medication/1"}},
]  # fmt: skip

HEAD = f"""
library T
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
codesystem "LOINC": '{LOINC}'
codesystem "SCT": '{SCT}'
codesystem "ACT": 'urn:act'
valueset "COPD": 'urn:vs:copd'
valueset "Empty": 'urn:vs:empty'
code "SpO2": '59408-5' from "LOINC"
code "Weight": '29463-7' from "LOINC"
code "COPD code": '13645005' from "SCT"
code "Systolic": '8480-6' from "LOINC"
code "Inpatient": 'IMP' from "ACT"
concept "Either": {{ "SpO2", "Weight" }}
context Patient
define Readings: [Observation: "SpO2"] O sort by (effective as dateTime)
define Latest: Last(Readings)
define Weights: [Observation: "Weight"]
define function One(id String): singleton from ([Observation] O where O.id = id)
"""
VALUESETS = {"urn:vs:copd": [Code("13645005", SCT), Code("2", SCT)], "urn:vs:empty": []}
GIVEN = {"resources": RESOURCES, "now": NOW, "valuesets": VALUESETS, "units": TextUnits(ucum.convert)}


def value(text: str, **given: Any) -> Any:
    return cql.compile(f"{HEAD}define X: {text}").evaluate("X", **{**GIVEN, **given})


CASES: list[tuple[str, Any]] = [
    # the patient, primitives, dates
    ("Patient.gender", "female"),
    ("Patient.gender = 'female'", True),
    ("Patient.gender.value + '!'", "female!"),
    ("Patient.active", True),
    ("Patient.active and true", True),
    ("Patient.active is true", True),
    ("Patient.birthDate.value", Date((1950, 11, 22))),
    ("AgeInYears()", 75),
    ("AgeInYearsAt(@2026-11-22)", 76),
    ("AgeInMonthsAt(@1951-01-22)", 2),
    ("Patient.birthDate before @1960-01-01", True),
    ("Patient.birthDate + 1 year", Date((1951, 11, 22))),
    ("year from Patient.birthDate", 1950),
    ("First(Patient.birthDate.extension E where E.url = 'urn:time' return E.value as dateTime)", "1950-11-22T03:00:00+01:00"),
    ("Patient.deceased as boolean", False),
    ("Patient.deceased is dateTime", False),
    ("Patient.deceased is boolean", True),
    ("(Patient.multipleBirth as integer) + 1", 3),
    ("Patient.maritalStatus", None),
    ("Patient.maritalStatus is null", True),
    ("Patient.maritalStatus ~ \"SpO2\"", False),
    ("Patient.contact", None),
    ("exists Patient.contact", False),
    ("Count(Patient.name)", 2),
    ("Patient.name.family", ["Nordmann", "Hansen"]),
    ("Patient.name.given", ["Kari", "Anne", "Kari"]),
    ("Patient.name[0].given[1]", "Anne"),
    ("Patient.name[0].given[0] + ' ' + Patient.name[0].family", "Kari Nordmann"),
    ("singleton from (Patient.name N where N.use = 'official' return N.family.value)", "Nordmann"),
    ("Patient.name N where N.period ends before @1981-01-01 return N.family.value", ["Hansen"]),
    ("'Hansen' in Patient.name.family", True),
    ("Patient.name.where(use = 'old').family", ["Hansen"]),
    ("First(Patient.extension E where E.url = 'urn:a' return E.value as string)", "text"),
    ("First(Patient.extension E where E.url = 'urn:q').value > 4 'mg'", True),
    ("Patient.managingOrganization.reference = 'Organization/1'", True),
    # retrieves
    ("Count([Observation])", 16),
    ("Count([Observation: \"SpO2\"])", 3),
    ("Count([Observation: code in {\"SpO2\", \"Weight\"}])", 6),
    ("Count([Observation: \"Either\"])", 6),
    ("Count([Condition: \"COPD\"])", 1),
    ("Count([Condition: code in \"COPD\"])", 1),
    ("exists [Condition: \"Empty\"]", False),
    ("exists [Procedure]", False),
    ("[Encounter: class ~ \"Inpatient\"].id", ["e2"]),
    ("[Encounter: class = \"Inpatient\"] E return E.id.value", ["e2"]),
    ("[MedicationRequest: Code '99' from \"SCT\"].id", ["m1"]),
    ("[MedicationRequest] M where M.medication is Reference return M.id.value", ["m2"]),
    ("[MedicationRequest] M return M.medication as CodeableConcept", [concept(SCT, "99"), None]),
    ("Count([Observation] union [Observation: \"SpO2\"])", 16),
    ("Count([Observation] except [Observation: \"SpO2\"])", 13),
    ("Count([Observation] intersect [Observation: \"SpO2\"])", 3),
    ("([Condition] union [Encounter]) X where X is Encounter return X.id.value", ["e1", "e2"]),
    ("([Condition] union [Encounter]) X return X.id", ["k1", "k2", "e1", "e2"]),
    # quantities
    ("Latest.id", "s2"),
    ("Latest.value < 90 '%'", True),
    ("(Latest.value as Quantity) < 90 '%'", True),
    ("(Latest.value as FHIR.Quantity).value", D(88)),
    ("(Latest.value as Quantity).value + 1", D(89)),
    ("(Latest.value as Quantity).unit", "%"),
    ("(Latest.value as Quantity) + 2 '%'", Quantity(D(90), "%")),
    ("FHIRHelpers.ToQuantity(Latest.value as Quantity)", Quantity(D(88), "%")),
    ("Latest.value > 90 'mg'", None),
    ("Latest.value is Quantity", True),
    ("Latest.value is CodeableConcept", False),
    ("Min(Readings R return R.value as Quantity)", Quantity(D(88), "%")),
    ("Avg(Readings R return (R.value as Quantity).value)", D("90.66666667")),
    ("Max(Weights W return W.value as Quantity)", Quantity(D(82500), "g")),
    ("Readings R where R.value between 90 '%' and 92 '%' return R.id.value", ["s3"]),
    ("exists (from Weights A, Weights B where (A.value as Quantity) - (B.value as Quantity) > 2 'kg')", True),
    ("exists (Weights A with Weights B such that (A.effective as dateTime) 3 days or less after day of (B.effective as dateTime) and (A.value as Quantity) > (B.value as Quantity))", True),
    ("One('c5').value as Quantity", quantity("5", "mg", comparator="<")),
    ("FHIRHelpers.ToInterval(One('c5').value as Quantity)", Interval(None, Quantity(D(5), "mg"), True, False)),
    ("FHIRHelpers.ToRatio(One('c7').value as Ratio)", Ratio(Quantity(D(1), "mg"), Quantity(D(2), "mL"))),
    ("1.5 'mg' in (One('c8').value as Range)", True),
    ("3 'mg' in (One('c8').value as Range)", False),
    ("(One('c8').value as Range).low.value", D(1)),
    ("One('c9').value", None),
    ("One('c9').value > 5 'mg'", None),
    ("(One('c9').value as Quantity).value", None),
    # other choices
    ("(One('c1').value as CodeableConcept) ~ Code '10' from \"SCT\"", True),
    ("(One('c1').value as CodeableConcept).text.value", "ten"),
    ("FHIRHelpers.ToConcept(One('c1').value as CodeableConcept)", Concept((Code("10", SCT),), "ten")),
    ("(One('c2').value as string) = 'free'", True),
    ("(One('c2').value as string) + '!'", "free!"),
    ("(One('c3').value as boolean) and true", True),
    ("(One('c4').value as integer) * 2", 14),
    ("One('c4').value > 5", True),
    ("One('c4').value is integer", True),
    ("case when Latest.value is Quantity then 'q' when Latest.value is string then 's' else 'x' end", "q"),
    ("(cast Latest.value as FHIR.Quantity).value", D(88)),
    ("Latest.value is Quantity and not (One('c2').value is Quantity)", True),
    ("First((One('p1').component) C return C is FHIR.Observation.Component)", True),
    # codes
    ("Latest.code ~ \"SpO2\"", True),
    ("Latest.code ~ \"Weight\"", False),
    ("Latest.code ~ \"Either\"", True),
    ("Latest.code.coding[0].code.value", "59408-5"),
    ("'59408-5' in Latest.code.coding.code", True),
    ("exists (Latest.code.coding C where C ~ \"SpO2\")", True),
    ("Latest.code in \"COPD\"", False),
    ("First([Condition]).code in \"COPD\"", True),
    ("Latest.status in {'final', 'amended'}", True),
    ("Latest.status != 'final'", False),
    ("singleton from ((One('p1').component) C where C.code ~ \"Systolic\" return (C.value as Quantity).value)", D(120)),
    ("Count(One('p1').component)", 2),
    # times and periods
    ("(Latest.effective as dateTime) after @2026-11-21", None),
    ("(Latest.effective as dateTime) after @2026-11-20", True),
    ("(Latest.effective as dateTime) after day of @2026-11-20", True),
    ("Latest.effective same day as @2026-11-21T23:00:00.000+01:00", True),
    ("Latest.effective 1 day or less before Now()", True),
    ("Latest.effective during Interval[Now() - 1 day, Now()]", True),
    ("One('p1').effective during Interval[@2026-11-01, @2026-11-30]", True),
    ("One('p1').effective starts Interval[@2026-11-01, @2026-11-30]", True),
    ("start of (One('p1').effective as Period)", DateTime((2026, 11, 1))),
    ("One('p1').effective overlaps Interval[@2026-11-09T, @2026-11-30T]", True),
    ("One('c1').effective during Interval[@2026-11-01, @2026-11-30]", None),
    ("(One('w3').effective as dateTime) before day of @2026-11-20T", None),
    ("[Encounter] E where E.period during day of Interval[@2026-10-01T, @2026-10-31T] return E.id.value", ["e1"]),
    ("[Encounter] E where E.period ends before day of Now() return E.id.value", ["e1"]),
    ("[Encounter] E where E.period.end is not null return duration in minutes of E.period", [60]),
    ("First([Encounter]).period.start.value", DateTime((2026, 10, 1, 10, 0, 0), 0)),
    ("First([Condition]).onset as dateTime", "2010"),
    ("(First([Condition]).onset as dateTime) before Now()", True),
    ("singleton from ([Condition] C where C.onset is Age return (C.onset as Age).value.value)", D(30)),
    ("Coalesce(One('c1').effective as dateTime, Latest.effective as dateTime) is null", False),
    ("Coalesce(One('c1').issued, Latest.effective as dateTime)", DateTime((2026, 11, 21, 8, 0, 0), 60)),
    # queries
    ("(Readings R return Tuple { v: (R.value as Quantity).value, id: R.id.value } sort by v desc).id", ["s1", "s3", "s2"]),
    ("(Readings R return all (R.value as Quantity).value).where($this > 90)", [D(93), D(91)]),
    ("Readings R let v: (R.value as Quantity).value where v > 90 return v", [D(93), D(91)]),
    ("Readings R aggregate total starting 0.0: total + (R.value as Quantity).value", D(272)),
    ("(Readings R without Readings L such that (L.effective as dateTime) after (R.effective as dateTime)).id", ["s2"]),
    ("(from Readings A, Weights B where A.id = 's1' return B.id.value)", ["w1", "w2", "w3"]),
    ("Count(distinct ([Observation] O return O.status))", 1),
    ("Count([Observation] O return all O.status)", 16),
    ("exists ([Observation] O where O.dataAbsentReason is not null)", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_over_fhir_data(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected and (found is None) == (expected is None)
    assert type(found) is type(expected)


def test_a_cast_to_another_type_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        value("cast One('c2').value as Quantity")


@pytest.mark.parametrize("id_", ["c5", "c6"])
def test_a_quantity_that_cannot_be_compared_is_an_error_and_not_null(id_: str) -> None:
    with pytest.raises(EvaluationError):
        value(f"One('{id_}').value > 1 'mg'")


def test_an_unknown_value_set_is_an_error_and_not_empty() -> None:
    with pytest.raises(EvaluationError):
        value('exists [Condition: "COPD"]', valuesets={})


@pytest.mark.parametrize(
    "text",
    [
        "Patient.nothing",
        "[Nothing]",
        "[Quantity]",
        '[Observation: nothing in "COPD"]',
        "Latest.value = One('c1').value",
        "Latest.value > One('c1').value",
        "Latest.value - One('c1').value",
        "Patient.name + 1",
        "FHIR.Quantity { value: 1.0 }",
        "[Observation] O sort by value",
        "Patient as Observation",
    ],
)
def test_what_cannot_be_right_is_a_compile_error(text: str) -> None:
    with pytest.raises(CompileError):
        value(text)


def test_retrieves_are_lifted_out_once_each() -> None:
    text = (
        f'{HEAD}define A: [Observation: "SpO2"] define B: [Condition: "COPD"] define C: [Condition: "COPD"]'
    )
    assert cql.compile(text).retrieves == (
        Retrieve("Observation"),  # of which the head asks for all
        Retrieve("Condition", "code", ValueSet("urn:vs:copd", None, "COPD")),
    )


def test_elm_of_fhir_gives_the_same_values() -> None:
    text = HEAD + "\n".join(
        f"define C{n}: {case}" for n, (case, _) in enumerate(CASES) if "Patient." not in case
    )
    library = cql.compile(text)
    document = json.dumps(library.to_elm(), default=lambda d: float(d) if d % 1 else int(d))
    assert repr(cql.load_elm(document).evaluate_all(**GIVEN)) == repr(library.evaluate_all(**GIVEN))


def test_elm_includes_the_helpers_that_the_text_left_out() -> None:
    text = "using FHIR version '4.0.1' context Patient define X: Patient.gender = 'female'"
    library = cql.compile(text)
    includes = library.to_elm()["library"]["includes"]["def"]
    assert includes == [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    assert cql.load_elm(library.to_elm()).evaluate("X", **GIVEN) is True


def test_the_model_is_that_of_the_definitions() -> None:
    """After a change of the definitions: python -m profiles.modelinfo."""
    assert modelinfo.TARGET.read_text(encoding="utf-8") == modelinfo.table()
    assert modelinfo.COMPARTMENTS.read_text(encoding="utf-8") == modelinfo.compartments()
