"""What holds between the entries of a Bundle, and between a response and its questionnaire."""

from __future__ import annotations

import time

import pytest

from profiles.conformance import Profiles
from profiles.context import Context
from profiles.validation import validate_thoroughly

BASE = "http://example.org/fhir"
TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}


def errors(document, *definitions, severity="error", member=lambda *_: None):
    known = {definition["url"]: definition for definition in definitions}
    profiles = Profiles()
    context = Context(
        document,
        check=profiles.check,
        definition=lambda url: known.get(url) or profiles.definition(url),
        member=member,
    )
    return [(p.code, p.expression) for p in validate_thoroughly(context) if p.severity == severity]


def entry(resource, **more):
    url = f"{BASE}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource} | more


def document(*resources, **composition):
    first = {
        "resourceType": "Composition",
        "id": "c",
        "text": TEXT,
        "status": "final",
        "type": {"text": "epikrise"},
        "date": "2026-11-21",
        "author": [{"reference": "Practitioner/d"}],
        "title": "Epikrise",
    } | composition
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {
            "system": "urn:ietf:rfc:3986",
            "value": "urn:uuid:0b1c6a2e-0000-4000-8000-000000000000",
        },
        "timestamp": "2026-11-21T10:00:00Z",
        "entry": [entry(first), *(entry(resource) for resource in resources)],
    }


DOCTOR = {"resourceType": "Practitioner", "id": "d", "text": TEXT}
PATIENT = {"resourceType": "Patient", "id": "p", "text": TEXT}


def message(*resources, **header):
    first = {
        "resourceType": "MessageHeader",
        "id": "m",
        "text": TEXT,
        "eventCoding": {"system": "https://a.example/events", "code": "reading"},
        "source": {"endpoint": "https://a.example/in"},
    } | header
    return {"resourceType": "Bundle", "type": "message", "entry": [entry(r) for r in (first, *resources)]}


def test_a_message_holds_its_focus_and_may_leave_out_whom_it_is_from():
    sent = {"focus": [{"reference": "Patient/p"}], "sender": {"reference": "Practitioner/far"}}
    assert errors(message(PATIENT, **sent)) == []
    assert errors(message(DOCTOR, **sent)) == [("invalid", "Bundle.entry[0].resource.focus[0]")]


def test_a_message_begins_with_its_header_and_says_its_event():
    late = message(PATIENT)
    late["entry"].reverse()
    assert errors(late) == [("invariant", "Bundle")]
    silent = message(PATIENT)
    del silent["entry"][0]["resource"]["eventCoding"]
    assert errors(silent) == [("required", "Bundle.entry[0].resource.event")]


def test_an_entry_of_a_message_has_a_full_url():
    bundle = message(PATIENT)
    del bundle["entry"][1]["fullUrl"]
    assert errors(bundle) == [("invalid", "Bundle.entry[1]")]


def test_a_document_of_thousands_is_looked_through_once():
    """Each reference was looked for among all entries: minutes for so many."""
    patients = [{**PATIENT, "id": f"p{n}"} for n in range(3000)]
    section = {"title": "x", "text": TEXT, "entry": [{"reference": f"Patient/{r['id']}"} for r in patients]}
    started = time.perf_counter()
    assert errors(document(DOCTOR, *patients, section=[section])) == []
    assert time.perf_counter() - started < 60


def test_a_document_holds_what_its_composition_refers_to():
    assert errors(document(DOCTOR)) == []
    assert errors(document()) == [("invalid", "Bundle.entry[0].resource.author[0]")]
    missing = document(DOCTOR, subject={"reference": "Patient/p"})
    assert errors(missing) == [("invalid", "Bundle.entry[0].resource.subject")]
    assert errors(document(DOCTOR, PATIENT, subject={"reference": "Patient/p"})) == []


def test_an_entry_that_nothing_connects_is_told():
    found = errors(document(DOCTOR, PATIENT), severity="information")
    assert found == [("informational", "Bundle.entry[2]")]


def test_a_version_must_be_the_one_that_is_there():
    versioned = {**PATIENT, "meta": {"versionId": "2"}}
    assert errors(document(DOCTOR, versioned, subject={"reference": "Patient/p/_history/2"})) == []
    other = document(DOCTOR, versioned, subject={"reference": "Patient/p/_history/1"})
    assert errors(other) == [("invalid", "Bundle.entry[0].resource.subject")]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("Patient/p", "Bundle.entry[0].fullUrl"),
        (f"{BASE}/Patient/q", "Bundle.entry[0].fullUrl"),
        (f"{BASE}/Person/p", "Bundle.entry[0].fullUrl"),
        (f"{BASE}/Patient/p", None),
        ("urn:uuid:0b1c6a2e-0000-4000-8000-000000000000", None),
    ],
)
def test_full_urls_are_absolute_and_end_with_the_id(url, where):
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": url, "resource": PATIENT}],
    }
    assert errors(bundle) == ([("invalid", where)] if where else [])


def test_full_urls_are_unique():
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry(PATIENT), entry(PATIENT)]}
    assert errors(bundle) == [("invariant", "Bundle")]


def test_matches_of_a_search_have_ids_and_outcomes_are_outcomes():
    outcome = {"resourceType": "OperationOutcome", "text": TEXT}
    outcome["issue"] = [{"severity": "warning", "code": "informational"}]
    bundle = {"resourceType": "Bundle", "type": "searchset"}
    bundle["entry"] = [
        entry(PATIENT, search={"mode": "match"}),
        {"resource": outcome, "search": {"mode": "outcome"}},
    ]
    assert errors(bundle) == []
    bundle["entry"] = [
        entry(PATIENT, search={"mode": "outcome"}),
        {"resource": outcome, "search": {"mode": "match"}},
    ]
    assert errors(bundle) == [
        ("invalid", "Bundle.entry[0].resource"),
        ("invalid", "Bundle.entry[1].resource"),
    ]


# Questionnaires

FORM = {
    "resourceType": "Questionnaire",
    "url": f"{BASE}/Questionnaire/copd",
    "status": "active",
    "item": [
        {"linkId": "breath", "type": "boolean", "required": True},
        {
            "linkId": "worse",
            "type": "choice",
            "required": True,
            "answerOption": [{"valueCoding": {"system": "s:1", "code": code}} for code in ("day", "night")],
            "enableWhen": [{"question": "breath", "operator": "=", "answerBoolean": True}],
        },
        {"linkId": "steps", "type": "integer", "repeats": True},
        {"linkId": "note", "type": "string", "maxLength": 5},
        {"linkId": "group", "type": "group", "item": [{"linkId": "inner", "type": "date"}]},
    ],
}


def answered(**answers):
    items = [{"linkId": link, "answer": given} for link, given in answers.items()]
    return {
        "resourceType": "QuestionnaireResponse",
        "text": TEXT,
        "questionnaire": FORM["url"],
        "status": "completed",
    } | ({"item": items} if items else {})


NO, YES = [{"valueBoolean": False}], [{"valueBoolean": True}]
DAY = [{"valueCoding": {"system": "s:1", "code": "day", "display": "om dagen"}}]
R = "QuestionnaireResponse"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"breath": NO}, []),
        ({"breath": YES, "worse": DAY}, []),
        ({}, [("required", R)]),
        ({"breath": YES}, [("required", R)]),
        ({"breath": NO, "worse": DAY}, [("structure", f"{R}.item[1]")]),
        (
            {"breath": YES, "worse": [{"valueCoding": {"system": "s:1", "code": "week"}}]},
            [("code-invalid", f"{R}.item[1].answer[0]")],
        ),
        ({"breath": [{"valueString": "yes"}]}, [("structure", f"{R}.item[0].answer[0]")]),
        ({"breath": NO * 2}, [("structure", f"{R}.item[0]")]),
        ({"breath": NO, "steps": [{"valueInteger": 1}, {"valueInteger": 2}]}, []),
        ({"breath": NO, "note": [{"valueString": "longer"}]}, [("too-long", f"{R}.item[1].answer[0]")]),
        ({"steps": [{"valueInteger": 1}], "breath": NO}, [("structure", f"{R}.item[1]")]),
        ({"breath": NO, "shoe": [{"valueInteger": 42}]}, [("structure", f"{R}.item[1]")]),
        ({"breath": NO, "inner": [{"valueDate": "2026"}]}, [("structure", f"{R}.item[1]")]),
    ],
)
def test_a_response_is_held_to_its_questionnaire(answers, expected):
    assert errors(answered(**answers), FORM) == expected


def test_a_response_in_progress_may_lack_answers():
    assert errors(answered() | {"status": "in-progress", "item": [{"linkId": "group"}]}, FORM) == []


def test_answers_come_from_the_value_set():
    form = {**FORM, "item": [{"linkId": "a", "type": "choice", "answerValueSet": "http://example.org/v"}]}

    def member(value_set, system, code):
        return code == "day" if value_set == "http://example.org/v" else None

    assert errors(answered(a=DAY), form, member=member) == []
    other = [{"valueCoding": {"system": "s:1", "code": "week"}}]
    assert errors(answered(a=other), form, member=member) == [("code-invalid", f"{R}.item[0].answer[0]")]


def test_a_questionnaire_that_is_not_known_is_told():
    assert errors(answered(breath=NO), severity="warning") == [("not-found", R)]
    assert errors(answered(breath=NO)) == []
