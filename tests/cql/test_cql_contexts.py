"""Contexts: whose data a definition sees (https://cql.hl7.org/02-authorsguide.html#context)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.model.compartments import contexts, members

NOW = "2026-11-21T10:00:00.000+01:00"
HEAD = "using FHIR version '4.0.1' include FHIRHelpers version '4.0.1' codesystem \"R\": 'urn:r' "


def patient(id_: str, gender: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "gender": gender, "birthDate": "1980-01-01", **more}


def observation(id_: str, subject: str, value: int, **more: Any) -> dict[str, Any]:
    of = {"subject": {"reference": subject}} if subject else {}
    return {"resourceType": "Observation", "id": id_, **of, "valueInteger": value, **more}


RESOURCES = [
    patient("mother", "female", link=[{"other": {"reference": "RelatedPerson/mum"}, "type": "seealso"}]),
    patient("child", "male"),
    patient("other", "male"),
    {
        "resourceType": "RelatedPerson",
        "id": "mum",
        "patient": {"reference": "Patient/child"},
        "relationship": [{"coding": [{"system": "urn:r", "code": "MTH"}]}],
    },
    {
        "resourceType": "RelatedPerson",
        "id": "dad",
        "patient": {"reference": "Patient/child"},
        "relationship": [{"coding": [{"system": "urn:r", "code": "FTH"}]}],
    },
    {
        "resourceType": "Person",
        "id": "x",
        "link": [{"target": {"reference": "RelatedPerson/dad"}}, {"target": {"reference": "Patient/other"}}],
    },
    {"resourceType": "Practitioner", "id": "d"},
    {"resourceType": "Medication", "id": "m"},
    observation("a1", "Patient/mother", 1),
    observation("a2", "http://elsewhere.org/fhir/Patient/mother", 2),
    observation("b1", "Patient/child/_history/3", 10, performer=[{"reference": "Practitioner/d"}]),
    observation("c1", "Patient/other", 100, performer=[{"reference": "Patient/child"}]),
    observation("d1", "", 1000, performer=[{"reference": "Practitioner/d"}]),
    observation("e1", "Device/child", 5),
]

TEXT = f"""{HEAD}
code "Mother code": 'MTH' from "R"
code "Father code": 'FTH' from "R"
define "All ids": [Observation].id
define "All patients": [Patient].id
context Patient
define "Gender": Patient.gender.value
define "Ids": [Observation].id
define "Values": [Observation] O return all (O.value as integer).value
define "Total": Sum("Values")
define "Share": ToDecimal("Total") / "Grand total"
define "Medications": Count([Medication])
define "Mother": singleton from ([RelatedPerson: relationship ~ "Mother code"])
define "Father": singleton from ([RelatedPerson: "Father code"])
define "Hers": ["Mother" -> Observation].id
define "His": ["Father" -> Observation].id
define "Nobody": null as FHIR.RelatedPerson
define "Nobody's": ["Nobody" -> Observation].id
define "Another": 'other'
define "By id": ["Another" -> Observation].id
define "By reference": ["Mother".patient -> Observation].id
define function "Seen"(): Count([Observation])
define "Seen here": "Seen"()
context Practitioner
define "Performed": [Observation].id
define "Practitioner's id": Practitioner.id.value
context Unfiltered
define "Grand total": Sum("Values")
define "Genders": "Gender"
define "Women": Count("Gender" G where G = 'female')
define "Every id": "Ids"
define "Totals": "Total"
define "Births": Patient.birthDate
define "Seen by all": "Seen"()
define "Back and forth": "Share"
"""
LIBRARY = cql.compile(TEXT)


def value(name: str, context: dict[str, str] | None = None, **given: Any) -> Any:
    return LIBRARY.evaluate(name, resources=RESOURCES, now=NOW, context=context, **given)


@pytest.mark.parametrize(
    ("name", "id_", "expected"),
    [
        ("Gender", "mother", "female"),
        ("Gender", "nobody", None),
        # A reference may be absolute or name a version. Whoever performed an Observation has it as well, as
        # the compartment definition says; that a Device has the id of a Patient makes no difference.
        ("Ids", "mother", ["a1", "a2"]),
        ("Ids", "child", ["b1", "c1"]),
        ("Ids", "other", ["c1"]),
        ("Ids", "nobody", []),
        ("Total", "child", 110),
        ("All ids", "child", ["a1", "a2", "b1", "c1", "d1", "e1"]),
        ("Seen here", "child", 2),
        # No patient's compartment has Medication in it: it is there for all.
        ("Medications", "child", 1),
        # 110 of (1 + 2) + (10 + 100) + 100
        ("Share", "child", Decimal("0.51643192")),
        ("Mother", "mother", None),
        ("Hers", "child", ["a1", "a2"]),
        ("Hers", "mother", []),
        ("His", "child", ["c1"]),
        ("Nobody's", "child", []),
        ("By id", "child", ["c1"]),
        ("By reference", "child", ["b1", "c1"]),
        ("Grand total", "child", 213),
    ],
)
def test_in_the_context_of_a_patient(name: str, id_: str, expected: Any) -> None:
    assert value(name, {"Patient": id_}) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("All ids", ["a1", "a2", "b1", "c1", "d1", "e1"]),
        ("All patients", ["mother", "child", "other"]),
        ("Genders", ["female", "male", "male"]),
        ("Women", 1),
        # Lists of the patients run together, and what two of them have comes twice.
        ("Every id", ["a1", "a2", "b1", "c1", "c1"]),
        ("Totals", [3, 110, 100]),
        ("Births", ["1980-01-01"] * 3),
        ("Seen by all", 6),
        ("Back and forth", [Decimal("0.01408451"), Decimal("0.51643192"), Decimal("0.46948357")]),
    ],
)
def test_from_no_context_every_subject_is_evaluated(name: str, expected: Any) -> None:
    assert value(name) == expected == value(name, {"Patient": "child"})


def test_in_the_context_of_a_practitioner() -> None:
    assert value("Performed", {"Practitioner": "d"}) == ["b1", "d1"]
    assert value("Practitioner's id", {"Practitioner": "d"}) == "d"
    both = {"Practitioner": "d", "Patient": "child"}
    found = LIBRARY.evaluate_all(resources=RESOURCES, now=NOW, context=both)
    assert (found["Performed"], found["Gender"], found["Women"]) == (["b1", "d1"], "male", 1)


def test_without_a_context_the_data_are_of_one_patient() -> None:
    assert LIBRARY.evaluate("Ids", resources=RESOURCES[8:10]) == ["a1", "a2"]
    with pytest.raises(EvaluationError):  # of two patients it is not known which is meant
        value("Gender")


def test_a_definition_is_evaluated_once_for_each_subject() -> None:
    text = f"{HEAD} context Patient define A: Message(1, true, 'c', 'Trace', 't') context Unfiltered define B: A define C: A"
    seen: list[Any] = []
    cql.compile(text).evaluate_all(resources=RESOURCES, message=seen.append, context={"Patient": "child"})
    assert len(seen) == 3


def test_the_steps_of_all_subjects_count_together() -> None:
    text = f"{HEAD} context Patient define A: ({{1, 2, 3}}) X return X + 1 context Unfiltered define B: A"
    library = cql.compile(text)
    assert library.evaluate("B", resources=RESOURCES, steps=9) == [2, 3, 4] * 3
    with pytest.raises(EvaluationError, match="steps"):
        library.evaluate("B", resources=RESOURCES, steps=8)


def test_definitions_of_included_libraries_keep_their_context() -> None:
    common = f"library Common {HEAD} context Patient define Ids: [Observation].id context Unfiltered define All: [Observation].id"
    text = f"{HEAD} include Common context Patient define A: Common.Ids define B: Common.All context Unfiltered define C: Common.Ids"
    library = cql.compile(text, includes={"Common": common})
    found = library.evaluate_all(resources=RESOURCES, context={"Patient": "mother"})
    assert found["A"] == ["a1", "a2"]
    assert found["B"] == ["a1", "a2", "b1", "c1", "d1", "e1"]
    assert found["C"] == ["a1", "a2", "b1", "c1", "c1"]


def test_a_function_sees_what_its_caller_sees() -> None:
    common = f"library Common {HEAD} define function Ids(): [Observation].id define All: [Observation].id define function Every(): All"
    text = f"{HEAD} include Common context Patient define A: Common.Ids() define B: Common.Every() context Unfiltered define C: Common.Ids()"
    library = cql.compile(text, includes={"Common": common})
    found = library.evaluate_all(resources=RESOURCES, context={"Patient": "mother"})
    assert found == {
        "A": ["a1", "a2"],
        "B": [o["id"] for o in RESOURCES[8:]],
        "C": [o["id"] for o in RESOURCES[8:]],
    }


@pytest.mark.parametrize(
    "text",
    [
        "context Nobody define A: 1",
        "define A: Patient.gender",
        "define A: AgeInYears()",
        "context Patient define A: 1 context Practitioner define B: A",
        "context Patient define A: 1 define function F(): A context Unfiltered define B: F()",
        "context Patient define Os: [Observation] define A: [Os -> Observation]",
        "context Patient define One: 1 define A: [One -> Observation]",
        "context Patient define A: [Nothing -> Observation]",
    ],
)
def test_what_has_no_context_is_a_compile_error(text: str) -> None:
    with pytest.raises(CompileError):
        cql.compile(HEAD + text)


def test_a_context_that_there_is_not_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no context Nobody"):
        value("Ids", {"Nobody": "x"})


def test_elm_keeps_contexts() -> None:
    again = cql.load_elm(LIBRARY.to_elm())
    for context in (None, {"Patient": "child", "Practitioner": "d"}):
        for name in (
            "Women",
            "Every id",
            "Totals",
            "Grand total",
            *(("Hers", "Share", "Performed") if context else ()),
        ):
            assert again.evaluate(name, resources=RESOURCES, context=context) == value(name, context)


def test_the_compartments_are_those_of_r4() -> None:
    assert contexts() == {"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}
    assert members("Patient")["Observation"] == (("subject",), ("performer",))
    assert members("Patient")["Appointment"] == (("participant", "actor"),)
    assert "Medication" not in members("Patient")
