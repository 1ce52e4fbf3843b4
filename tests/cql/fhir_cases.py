"""CQL over the resources of fhir_data.py: expressions and their values, each worked out by hand.

A case is an expression and its value in the types of rules.values; FHIR data are dicts and JSON values.
"""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime
from rules.runtime.values import Code, Concept, Quantity, Ratio
from tests.cql.fhir_data import SCT, concept, quantity

Case = tuple[str, Any]

THE_PATIENT_PRIMITIVES_DATES: list[Case] = [
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
]  # fmt: skip

RETRIEVES: list[Case] = [
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
]  # fmt: skip

QUANTITIES: list[Case] = [
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
]  # fmt: skip

OTHER_CHOICES: list[Case] = [
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
]  # fmt: skip

CODES: list[Case] = [
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
]  # fmt: skip

TIMES_AND_PERIODS: list[Case] = [
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
    ("Latest.effective as dateTime <= @2026-11-21T08:00:00.000+01:00", True),
    ("First([Encounter]).period.start.value", DateTime((2026, 10, 1, 10, 0, 0, 0), 0)),
    ("First([Condition]).onset as dateTime", "2010"),
    ("(First([Condition]).onset as dateTime) before Now()", True),
    ("singleton from ([Condition] C where C.onset is Age return (C.onset as Age).value.value)", D(30)),
    ("Coalesce(One('c1').effective as dateTime, Latest.effective as dateTime) is null", False),
    ("Coalesce(One('c1').issued, Latest.effective as dateTime)", DateTime((2026, 11, 21, 8, 0, 0, 0), 60)),
]  # fmt: skip

QUERIES: list[Case] = [
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

TOPICS: dict[str, list[Case]] = {
    "the patient, primitives, dates": THE_PATIENT_PRIMITIVES_DATES,
    "retrieves": RETRIEVES,
    "quantities": QUANTITIES,
    "other choices": OTHER_CHOICES,
    "codes": CODES,
    "times and periods": TIMES_AND_PERIODS,
    "queries": QUERIES,
}
