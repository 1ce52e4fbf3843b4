"""https://hl7.org/fhir/R4/search.html: what is applied, what is refused, and what is said about the rest."""

from datetime import UTC, datetime

import pytest

from fhir_server.errors import FhirError
from fhir_server.search.parse import parse, parse_criteria
from fhir_server.search.query import EVERYTHING, And, Match, Not, Or, Sort, Test
from fhir_server.search.request import Include

BASE = "https://varde.example/fhir"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def refused(asked, query, **options):
    with pytest.raises(FhirError) as caught:
        asked("Observation", query, **options)
    return caught.value.status, caught.value.issues[0].code


def test_no_parameters_find_everything(asked):
    search = asked("Observation", "")
    assert (search.query.where, search.query.count, search.applied) == (EVERYTHING, 20, ())


def test_repeated_parameters_are_and_and_commas_are_or(asked):
    where = asked("Observation", "code=a&code=b,|c").query.where
    assert where == And(
        (
            Match("token", "code", (Test("code", "=", "a"),)),
            Or(
                (
                    Match("token", "code", (Test("code", "=", "b"),)),
                    Match("token", "code", (Test("system", "=", ""), Test("code", "=", "c"))),
                )
            ),
        )
    )


def test_missing_and_not(asked):
    there = Match("token", "code")
    assert asked("Observation", "code:missing=true").query.where == Not(there)
    assert asked("Observation", "code:missing=false").query.where == there
    not_a = Not(Match("token", "code", (Test("code", "=", "a"),)))
    assert asked("Observation", "code:not=a").query.where == not_a
    assert asked("Observation", "_id:missing=false").query.where == EVERYTHING


@pytest.mark.parametrize(
    "query",
    ["unknown=1", "_filter=unknown eq 1", "_filter=code.name eq 1", "_content=x", "subject.unknown=x", "subject:Patient.unknown=x", "code.name=x",
     "subject.name.x=1", "_has:Flag:unknown:status=active", "_has:Flag:status:status=active",
     "_has:Flag:patient:unknown=active", "_revinclude=Flag:unknown", "_include:iterate=Observation:x", "_explain=true",
     "_include=Patient:organization", "_include=Observation:code", "_sort=unknown", "_elements=unknown",
     "code=", "_sort=", "_contained=true", "_type=Patient", "%00=1", "$where=1", "'; drop--=1"],
)  # fmt: skip
def test_what_is_not_supported_is_an_issue_and_with_strict_handling_an_error(asked, query):
    search = asked("Observation", query)
    assert [issue.severity for issue in search.issues] == ["warning"]
    assert search.applied == ()
    assert search.query.where == EVERYTHING
    assert refused(asked, query, strict=True) == (400, "not-supported")


def test_what_is_supported_is_applied_beside_what_is_not(asked):
    search = asked("Observation", "unknown=1&status=final&_sort=-date,unknown")
    assert search.applied == (("status", "final"), ("_sort", "-date"))
    assert len(search.issues) == 2


@pytest.mark.parametrize("name", ["code:exact", "code:code-text", "code:Patient", "date:missing:x", "subject:code",
                                  "value-string:above", "value-string:text", "subject:", "date:contains",
                                  "code-value-quantity:missing", "_text:missing", "subject:Unknown.name"])  # fmt: skip
def test_a_modifier_that_a_parameter_does_not_support_is_always_refused(asked, name):
    if name == "subject:":
        assert asked("Observation", "subject:=1").issues == ()
        return
    assert refused(asked, f"{name}=1") == (400, "not-supported")


@pytest.mark.parametrize("query", ["code:missing=maybe", "date:missing=", "_count=-1", "_count=x", "_count=1.5",
                                   "_count=1&_count=2", "_sort=date&_sort=code", "_summary=x", "_total=x",
                                   "_include=Observation:subject:Nothing", "_elements=code&_summary=true",
                                   "_summary=text&_include=Observation:subject", "code=" + "a," * 600 + "a", "&".join(["code=a"] * 600)])  # fmt: skip
def test_what_cannot_be_meant_is_refused(asked, query):
    if query == "date:missing=":
        assert len(asked("Observation", query).issues) == 1
        return
    assert refused(asked, query) == (400, "invalid")


def test_diagnostics_show_no_values_and_no_endless_names(asked):
    issues = asked("Observation", "x" * 5000 + "=13116900216").issues
    assert len(issues[0].diagnostics) < 300
    with pytest.raises(FhirError) as caught:
        asked("Patient", "birthdate=13116900216")
    assert "13116900216" not in str(caught.value)


def test_sorting(asked):
    assert asked("Observation", "_sort=-date,code,_id,-_lastUpdated,value-quantity").query.sort == (
        Sort("date", "date", "low", True),
        Sort("token", "code", "code"),
        Sort("resource", "_id", "id"),
        Sort("resource", "_lastUpdated", "updated", True),
        Sort("quantity", "value-quantity", "low"),
    )


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("1", 1), ("007", 7), ("1000", 1000), ("5000", 1000), ("9" * 50, 1000)]
)
def test_counts_are_capped(asked, text, count):
    search = asked("Observation", f"_count={text}")
    assert search.query.count == count
    assert search.applied == (("_count", str(count)),)
    assert search.only_count == (count == 0)


def test_result_parameters(asked):
    search = asked(
        "Observation",
        "_include=Observation:subject&_include=Observation:performer:Patient&_total=accurate&_summary=data",
    )
    assert search.includes == (
        Include("Observation", "subject"),
        Include("Observation", "performer", "Patient"),
    )
    assert (search.total, search.summary) == ("accurate", "data")
    assert asked("Observation", "_include=*").includes == (Include(None, None),)
    assert asked("Observation", "_include=Observation:*").includes == (Include("Observation", None),)
    assert asked("Observation", "_elements=status,code").elements == ("status", "code")
    assert asked("Observation", "_summary=false").summary is None
    assert asked("Observation", "_summary=count").only_count


def test_applied_is_in_canonical_order_and_keeps_what_http_applies(asked):
    search = asked("Observation", "_total=none&_count=5&_format=json&code=a&_sort=date&status=final")
    assert search.applied == (
        ("code", "a"),
        ("status", "final"),
        ("_sort", "date"),
        ("_count", "5"),
        ("_total", "none"),
        ("_format", "json"),
    )


@pytest.mark.parametrize(
    ("type", "query", "patient"),
    [
        ("Observation", "patient=1", "1"),
        ("Observation", "patient=Patient/1", "1"),
        ("Observation", "subject=Patient/1", "1"),
        ("Observation", "subject:Patient=1", "1"),
        ("Observation", "code=x&subject=Patient/1&date=2020", "1"),
        ("Patient", "_id=1", "1"),
        ("Observation", "patient=1,2", None),
        ("Observation", "subject=Group/1", None),
        ("Observation", "subject=1", None),
        ("Observation", "performer=Patient/1", None),
        ("Observation", "patient=https://other.example/Patient/1", None),
        ("Observation", "patient:missing=false", None),
        ("Observation", "patient:identifier=1", None),
        ("Observation", "_id=1", None),
        ("Patient", "_id=1,2", None),
        ("Patient", "link=Patient/1", None),
        ("Appointment", "patient=1", None),
        ("Task", "patient=1", "1"),
        ("Task", "owner=Patient/1", None),
    ],
)
def test_the_patient_a_search_is_confined_to(asked, type, query, patient):
    assert asked(type, query).query.patient == patient


def test_criteria_of_conditional_interactions():
    query = parse_criteria("Patient", "?identifier=urn:oid:1%7C42", base=BASE, now=NOW)
    assert query.where == Match(
        "token", "identifier", (Test("system", "=", "urn:oid:1"), Test("code", "=", "42"))
    )
    assert query.count == 2


@pytest.mark.parametrize("text", ["", "?", "unknown=1", "_count=1", "identifier=1&_sort=_id", "identifier=",
                                  "identifier", "identifier=1&unknown=2", "_id:missing=false", "name:exact=%ff"])  # fmt: skip
def test_criteria_that_cannot_be_used(text):
    with pytest.raises(FhirError) as caught:
        parse_criteria("Patient", text, base=BASE, now=NOW)
    assert caught.value.status == 400


@pytest.mark.parametrize("value", ["\x00", "'\"", "\ud800", "$where", "../..", "a" * 100_000, "%", "\\\\"])
@pytest.mark.parametrize(
    "name", ["name", "identifier", "birthdate", "organization", "_id", "_profile", "link"]
)
def test_hostile_values_are_values_or_refused(name, value):
    try:
        search = parse("Patient", [(name, value)], base=BASE, now=NOW)
    except FhirError as error:
        assert error.status == 400
    else:
        assert search.applied == ((name, value),)
