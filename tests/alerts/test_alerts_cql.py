"""Rules in CQL, from the upload of a Library and a PlanDefinition to the Flag that the next reading raises."""

import json
import re
from datetime import datetime
from decimal import Decimal

import pytest

from fhir_server.alerts import catalogue, evidence, protocols
from fhir_server.alerts.catalogue import EVERYBODY
from fhir_server.alerts.definitions import Reader
from fhir_server.alerts.libraries import NEWEST, Unusable
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.resource_json import decode, encode
from fhir_server.search.query import Match, Query, Test
from rules import cql
from rules.plans.window import ZONE
from rules.runtime.units import TextUnits
from rules.values import ValueSet
from terminology import ucum
from tests.alerts.conftest import ADVICE, activity, details_of, zone_of
from tests.alerts.cql_build import HEAD, LOW, URL, action, condition, definition, library, trigger, value_set
from tests.alerts.test_alerts import explanations
from tests.rules.build import (
    LOINC,
    PANEL,
    PULSE,
    SPO2,
    SYSTOLIC,
    WEIGHT,
    care_plan,
    concept,
    observation,
    quantity,
    target,
)
from tests.store.test_store_plans import SQLITE_SCAN

COPD = "13645005"
TREND = (
    HEAD
    + """
define "Weights": [Observation: "Weight"] W
  where W.effective as FHIR.dateTime during Interval[Now() - 3 days, Now()]
define "Lowest": Min("Weights" W return (W.value as FHIR.Quantity).value.value)
define "Heaviest": Last("Weights" W sort by (effective as FHIR.dateTime).value).value as FHIR.Quantity
define "Gain": "Heaviest".value.value - "Lowest" > 2.0
"""
)
ZONES = (
    HEAD
    + """
define "Ill": exists [Condition: "COPD"]
define "Zone": case
  when "Latest" < 85 '%' then 'red'
  when "Latest" < 90 '%' and "Ill" then 'yellow'
  else 'green' end
"""
)
UNFIT = """library Oxygen version '1.0.0'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
context Patient
define "Low": Count(from (expand { Interval[1, 2000] }) X, (expand { Interval[1, 2000] }) Y return all 1) > 0
"""


def yellow_and_red():
    return action(
        title="Oksygen",
        action=[action("Low", title="Lavt"), action("Very low", title="Svært lavt", zone="red")],
    )


def one_rule(ward, text=LOW, **more):
    ward.put(library(text))
    ward.put(definition(**more))


def watched(ward, **more):
    """A care plan without thresholds."""
    plan = {**care_plan(), "goal": None, "contained": None, "careTeam": [{"reference": "CareTeam/team"}]}
    plan["activity"] = [activity(zone, text) for zone, text in ADVICE.items()]
    ward.put({key: value for key, value in (plan | more).items() if value is not None})


def refused(ward, resource, code=422):
    """The issues of a write that is refused, as (expression, diagnostics)."""
    outcome = ward.put(resource, (code,))
    return [(issue["expression"][0], issue["diagnostics"]) for issue in outcome["issue"]]


class TestAReading:
    def test_for_which_the_rule_holds_raises_a_flag_a_message_and_a_task(self, ward):
        one_rule(ward)
        watched(ward)
        id = ward.read(SPO2, "88.5", "2026-11-21")
        flag = ward.flag()
        assert (zone_of(flag), details_of(flag)) == ("yellow", [id])
        assert flag["code"]["text"] == "Lavt oksygen (88,5 %)"
        assert flag["identifier"][0]["value"] == "plan-definition.rule.1"
        assert ward.messages() == ["Lavt oksygen (88,5 %)"]
        assert ward.tasks() == [("requested", "urgent")]
        assert (
            flag["meta"]["lastUpdated"] == ward.fhir.get(f"/Observation/{id}").json()["meta"]["lastUpdated"]
        )

    def test_for_which_it_does_not_hold_raises_nothing(self, ward):
        one_rule(ward)
        ward.read(SPO2, 90, "2026-11-21")
        ward.read(PULSE, 20, "2026-11-21")
        assert (ward.flags(), ward.tasks()) == ([], [])

    def test_yellow_turns_red_in_the_same_flag_and_resolves_never(self, ward):
        ward.put(library())
        ward.put(definition(yellow_and_red()))
        for day, value in (("20", 88), ("21", 84), ("22", 95), ("23", 95), ("24", 95)):
            ward.read(SPO2, value, f"2026-11-{day}")
        flag = ward.flag()
        assert zone_of(flag) == "red"
        assert [e["text"] for e in explanations(flag)] == [["Lavt (88 %)"], ["Svært lavt (84 %)"]]
        assert ward.tasks() == [("requested", "asap")]

    @pytest.mark.parametrize(
        ("asked", "days"), [({}, 3), ({"auto_resolve": 1}, 1), ({"auto_resolve": 0}, None)]
    )
    def test_yellow_resolves_itself_after_normal_readings(self, ward, asked, days):
        ward.put(library())
        ward.put(definition(action("Low", title="Lavt", **asked)))
        ward.read(SPO2, 88, "2026-11-20")
        for day in range(1, 5):
            assert ward.zones() == (["yellow"] if days is None or day <= days else [])
            ward.read(SPO2, 95, f"2026-11-{20 + day}")

    def test_of_a_panel_is_named_by_its_component(self, ward):
        text = (
            HEAD
            + f"""
code "Panel": '{PANEL}' from "LOINC"
define "High": exists ([Observation: "Panel"] P where exists (P.component C
  where exists (C.code.coding D where D.code = '{SYSTOLIC}') and (C.value as FHIR.Quantity) > 180 'mm[Hg]'))
"""
        )
        text = text.replace("context Patient\n", "", 1).replace(
            'define "High"', 'context Patient\ndefine "High"'
        )
        text = "\n".join(
            line
            for line in text.splitlines()
            if 'define "Readings"' not in line and 'define "Latest"' not in line
        )
        ward.put(library(text))
        ward.put(definition(action("High", title="Høyt blodtrykk"), triggers=[trigger(PANEL)]))
        panel = {"component": [{"code": concept(SYSTOLIC), "valueQuantity": quantity(185, "mm[Hg]")}]}
        ward.read(PANEL, None, "2026-11-20", **panel)
        assert ward.flag()["code"]["text"] == "Høyt blodtrykk (185 mmHg)"

    def test_speaks_norwegian_and_english(self, ward):
        title = {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/translation",
                    "extension": [
                        {"url": "lang", "valueCode": "nb-NO"},
                        {"url": "content", "valueString": "Lavt oksygen"},
                    ],
                }
            ]
        }
        one_rule(ward)
        ward.put(definition(action("Low", title="Low oxygen", _title=title), language="en"))
        ward.read(SPO2, "88.5", "2026-11-21")
        code = ward.flag()["code"]
        assert code["text"] == "Lavt oksygen (88,5 %)"
        assert "Low oxygen (88.5 %)" in json.dumps(code["_text"])

    def test_of_another_patient_is_not_looked_at(self, ward):
        one_rule(ward)
        ward.patient(id="q")
        ward.read(SPO2, 80, "2026-11-21", patient="q")
        ward.read(SPO2, 95, "2026-11-21")
        assert ward.flags() == []
        assert len(ward.found("Flag", patient="q")) == 1


def test_value_sets_that_no_resource_defines():
    """FHIR's own, and those that are implied by a URL."""
    look_up = ValueSets(lambda _: ()).look_up
    own = look_up(ValueSet("http://hl7.org/fhir/ValueSet/administrative-gender"))
    assert {code.code for code in own.codes} == {"male", "female", "other", "unknown"}
    assert own.reference["identifier"]["value"] == "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"
    implied = look_up(ValueSet("http://hl7.org/fhir/administrative-gender?fhir_vs"))
    assert set(implied.codes) == set(own.codes)
    for unusable in (
        "http://snomed.info/sct?fhir_vs=ecl/%3C1",
        "http://nowhere.test",
        "http://loinc.org/vs",
    ):
        with pytest.raises(Unusable):
            look_up(ValueSet(unusable))


CONDITION = {
    "resourceType": "Condition",
    "id": "c",
    "subject": {"reference": "Patient/p"},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": COPD}]},
}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestZones:
    def test_a_definition_may_give_the_zone_and_look_at_other_data(self, ward):
        ward.put(value_set(COPD))
        ward.put(library(ZONES))
        ward.put(definition(action("Zone", title="Oksygen")))
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.zones() == []
        ward.put(CONDITION)
        ward.read(SPO2, 88, "2026-11-21")
        assert ward.zones() == ["yellow"]
        (explained,) = explanations(ward.flag())
        assert {"reference": "Condition/c/_history/1"} in explained["data"]
        assert explained["valueSet"] == [{"reference": "ValueSet/copd/_history/1"}]
        ward.read(SPO2, 84, "2026-11-22")
        assert ward.zones() == ["red"]

    def test_a_value_set_may_be_a_part_of_a_code_system(self, ward):
        below = {
            "system": "http://snomed.info/sct",
            "filter": [{"property": "concept", "op": "is-a", "value": "1"}],
        }
        ward.put(value_set(compose={"include": [below]}))
        ward.put(library(ZONES))
        ward.put(definition(action("Zone", title="Oksygen")))
        ward.put(CONDITION)
        system = {
            "resourceType": "CodeSystem",
            "id": "sct",
            "url": "http://snomed.info/sct",
            "status": "active",
            "content": "complete",
        }
        ward.put(system | {"concept": [{"code": "1"}, {"code": COPD}]})
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.zones() == []
        ward.put(system | {"concept": [{"code": "1", "concept": [{"code": COPD}]}]})
        ward.read(SPO2, 88, "2026-11-21")
        assert ward.zones() == ["yellow"]
        (explained,) = explanations(ward.flag())
        assert explained["valueSet"] == [{"reference": "ValueSet/copd/_history/1"}]
        assert explained["codeSystem"] == [{"reference": "CodeSystem/sct/_history/2"}]

    def test_what_a_value_set_takes_in_is_explained_too(self, ward):
        inner = {"url": f"{URL}/ValueSet/inner", "id": "inner"}
        gender = {"system": "http://hl7.org/fhir/administrative-gender"}
        ward.put(value_set(COPD) | inner)
        ward.put(value_set(compose={"include": [{"valueSet": [inner["url"]]}, gender]}))
        ward.put(library(ZONES))
        ward.put(definition(action("Zone", title="Oksygen")))
        ward.put(CONDITION)
        ward.read(SPO2, 88, "2026-11-21")
        (explained,) = explanations(ward.flag())
        versions = [{"reference": f"ValueSet/{id}/_history/1"} for id in ("copd", "inner")]
        assert explained["valueSet"] == versions
        (behind,) = explained["codeSystem"]  # FHIR's own, which no version of a resource here is
        assert behind["identifier"]["value"] == "http://hl7.org/fhir/administrative-gender|4.0.1"

    @pytest.mark.parametrize(
        ("priority", "zone"), [("stat", "red"), ("asap", "red"), ("urgent", "yellow"), ("routine", "yellow")]
    )
    def test_the_priority_says_it_where_nothing_else_does(self, ward, priority, zone):
        ward.put(library())
        ward.put(definition(action("Low", priority=priority)))
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.zones() == [zone]

    def test_all_conditions_have_to_hold_those_above_too(self, ward):
        ward.put(library(LOW + 'define "Never": false\ndefine "Unknown": null as Boolean\n'))
        ward.put(
            definition(
                action("Low", "Never"),
                action("Low", "Unknown"),
                action("Never", action=[action("Low")]),
                action("Low", action=[action("Very low", title="Svært lavt")]),
            )
        )
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.zones() == []
        ward.read(SPO2, 84, "2026-11-21")
        assert [flag["identifier"][0]["value"] for flag in ward.flags()] == ["plan-definition.rule.4"]

    @pytest.mark.parametrize(
        ("language", "expression"),
        [
            ("text/cql-identifier", "Low"),
            ("text/cql.identifier", '"Low"'),
            ("text/cql-identifier", "Oxygen.Low"),
            ("text/cql", "Low"),
            ("text/cql", '"Low"'),
            ("text/cql", "Oxygen.Latest < 90 '%'"),
            ("text/cql-expression", 'Oxygen."Low" and true'),
            ("text/cql.expression", "Oxygen.Low\n  and not\n false"),
        ],
    )
    def test_a_condition_is_a_name_or_an_expression(self, ward, language, expression):
        ward.put(library())
        ward.put(definition(action(condition(expression, language), title="Lavt")))
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.flag()["code"]["text"] == "Lavt (88 %)"
        (explained,) = explanations(ward.flag())
        assert explained["library"] == [{"reference": "Library/oxygen/_history/1"}]

    @pytest.mark.parametrize(
        ("expression", "zone"),
        [
            ("value.ofType(Quantity) < 90 '%'", "yellow"),
            ("iif(value.ofType(Quantity).value < 89, 'red', 'yellow')", "red"),
            ("%patient.birthDate.exists() and value.ofType(Quantity).value < 90", None),
            ("value.ofType(Quantity).value < 80", None),
            ("category", None),
        ],
    )
    def test_a_condition_may_be_fhirpath_over_the_reading(self, ward, expression, zone):
        ward.put(definition(action(condition(expression, "text/fhirpath"), title="Lavt"), library=None))
        ward.read(SPO2, 88, "2026-11-20")
        assert ward.zones() == ([zone] if zone else [])
        for day in range(21, 24):
            ward.read(SPO2, 97, f"2026-11-{day}")
        assert ward.zones() == (["red"] if zone == "red" else [])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestWhomItJudges:
    def test_an_eca_rule_is_for_everybody_with_such_readings(self, ward):
        ward.put(library())
        ward.put(definition(triggers=[trigger(WEIGHT)]))
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == []
        ward.read(WEIGHT, 70, "2026-11-21")
        assert ward.zones() == ["yellow"]

    def test_a_trigger_may_name_a_value_set_or_no_code(self, ward):
        ward.put(library())
        include = [{"system": LOINC, "concept": [{"code": PULSE}]}]
        ward.put(value_set(id="pulses", compose={"include": include}))
        ward.put(definition(triggers=[trigger(valueSet=f"{URL}/ValueSet/pulses")], id="of-pulses"))
        ward.put(definition(triggers=[trigger()], id="of-what-it-looks-at"))
        ward.put(
            definition(triggers=[{"type": "named-event", "name": "patient-view"}], id="of-something-else")
        )
        ward.read(SPO2, 80, "2026-11-20")
        assert [f["identifier"][0]["value"] for f in ward.flags()] == [
            "plan-definition.of-what-it-looks-at.1"
        ]
        ward.read(PULSE, 60, "2026-11-21")
        assert len(ward.flags()) == 2

    def test_a_protocol_is_for_patients_whose_plan_names_it(self, ward):
        one_rule(ward, kind="clinical-protocol")
        ward.read(SPO2, 80, "2026-11-19")
        assert ward.zones() == []
        watched(ward, instantiatesCanonical=[f"{URL}/PlanDefinition/rule"])
        ward.read(SPO2, 80, "2026-11-20")
        (explained,) = explanations(ward.flag())
        assert explained["plan"] == [{"reference": "CarePlan/plan/_history/1"}]
        assert ward.messages("Patient/p") == [ADVICE["yellow"]]
        (task,) = ward.found("Task", patient="p")
        assert task["basedOn"] == [{"reference": "CarePlan/plan"}]

    def test_a_name_that_is_only_an_extension_names_nothing(self, ward):
        one_rule(ward, kind="clinical-protocol")
        beside = {"extension": [{"url": "http://example.org/why", "valueString": "not decided"}]}
        watched(
            ward,
            instantiatesCanonical=[None, f"{URL}/PlanDefinition/rule"],
            _instantiatesCanonical=[beside, None],
        )
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["yellow"]

    def test_a_plan_that_is_over_or_names_another_version_does_not_count(self, ward):
        one_rule(ward, kind="workflow-definition", version="2")
        named = f"{URL}/PlanDefinition/rule"
        watched(ward, instantiatesCanonical=[named], status="completed")
        watched(ward, instantiatesCanonical=[f"{named}|1"], id="other")
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == []
        watched(ward, instantiatesCanonical=[f"{named}|2"], id="other", period={"start": "2026-11-22"})
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == []
        ward.read(SPO2, 80, "2026-11-22")
        assert ward.zones() == ["yellow"]

    @pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
    def test_only_active_definitions_judge(self, ward, status):
        one_rule(ward, status=status)
        one_rule(ward, id="protocol", kind="clinical-protocol", status=status)
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.flags() == []
        watched(ward, instantiatesCanonical=[f"{URL}/PlanDefinition/protocol"])
        ward.read(SPO2, 80, "2026-11-21")
        assert ward.zones() == ["technical"]
        assert f"the PlanDefinition is {status}" in ward.flag()["code"]["text"]

    def test_in_its_effective_period(self, ward):
        one_rule(ward, effectivePeriod={"start": "2026-11-20", "end": "2026-11-21"})
        for time in ("2026-11-19T23:59:59+01:00", "2026-11-22T00:00:00+01:00"):
            ward.read(SPO2, 80, time)
        assert ward.zones() == []
        ward.read(SPO2, 80, "2026-11-21T23:59:59+01:00")
        assert ward.zones() == ["yellow"]

    def test_a_reading_of_an_unknown_patient_is_not_judged_and_said_so(self, ward):
        one_rule(ward)
        ward.read(SPO2, 80, "2026-11-20", patient="stranger")
        (flag,) = ward.found("Flag", patient="stranger")
        assert zone_of(flag) == "technical"


class TestInTheOrderOfTime:
    def test_now_is_when_the_reading_was_taken(self, ward):
        ward.put(library(TREND))
        ward.put(definition(action("Gain", title="Vektøkning"), triggers=[trigger(WEIGHT)]))
        ward.read(WEIGHT, "80.0", "2026-11-10")
        ward.read(WEIGHT, "83.0", "2026-11-14")
        assert ward.zones() == []
        ward.read(WEIGHT, "85.5", "2026-11-16")
        (explained,) = explanations(ward.flag())
        assert explained["now"] == ["2026-11-16T07:00:00.000Z"]

    def test_a_late_reading_is_judged_then_and_later_ones_again(self, ward):
        ward.put(library(TREND))
        ward.put(definition(action("Gain", title="Vektøkning"), triggers=[trigger(WEIGHT)]))
        later = ward.read(WEIGHT, "83.0", "2026-11-14")
        assert ward.zones() == []
        ward.read(WEIGHT, "80.0", "2026-11-12")
        flag = ward.flag()
        assert details_of(flag) == [later]

    def test_a_late_reading_is_looked_at_as_far_as_the_rule_looks_back(self, ward):
        ward.put(library(TREND.replace("3 days", "60 days")))
        ward.put(definition(action("Gain", title="Vektøkning"), triggers=[trigger(WEIGHT)]))
        outside = ward.read(WEIGHT, "79.0", "2026-08-01")
        later = ward.read(WEIGHT, "83.0", "2026-11-14")
        assert ward.zones() == []
        ward.read(WEIGHT, "80.0", "2026-09-30")
        (explained,) = explanations(ward.flag())
        assert details_of(ward.flag()) == [later]
        assert len(explained["reading"]) == 2
        assert outside not in json.dumps(explained["reading"], default=str)

    def test_an_amended_reading_takes_its_alert_back(self, ward):
        one_rule(ward)
        id = ward.read(SPO2, 80, "2026-11-20")
        ward.amend(id, status="amended", valueQuantity=quantity(98, "%"))
        assert ward.zones() == []
        assert [t[0] for t in ward.tasks()] == ["cancelled"]
        ward.amend(id, status="corrected", valueQuantity=quantity(81, "%"))
        assert ward.zones() == ["yellow"]

    def test_a_reading_entered_in_error_does_too_and_is_looked_at_no_more(self, ward):
        one_rule(ward)
        id = ward.read(SPO2, 80, "2026-11-20")
        later = ward.read(PULSE, 80, "2026-11-21")
        assert later
        ward.amend(id, status="entered-in-error")
        assert (ward.zones(), ward.flag("entered-in-error")["status"]) == ([], "entered-in-error")

    def test_many_readings_of_one_bundle_are_judged_in_order(self, ward):
        one_rule(ward)
        entries = [
            {
                "request": {"method": "POST", "url": "Observation"},
                "resource": {
                    "resourceType": "Observation",
                    "status": "final",
                    "subject": {"reference": "Patient/p"},
                    "code": concept(SPO2),
                    "effectiveDateTime": f"2026-11-{day:02}T08:00:00+01:00",
                    "valueQuantity": quantity(value, "%"),
                },
            }
            for day, value in ((23, 95), (20, 88), (22, 95), (21, 95), (24, 89))
        ]
        answer = ward.fhir.post(
            "/", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        )
        assert answer.status_code == 200
        assert [flag["code"]["text"] for flag in ward.flags("active")] == ["Lavt oksygen (89 %)"]
        assert [flag["code"]["text"] for flag in ward.flags("inactive")] == ["Lavt oksygen (88 %)"]

    def test_a_repeated_reading_does_nothing(self, ward):
        one_rule(ward)
        for _ in range(2):
            ward.read(SPO2, 80, "2026-11-20")
        assert len(ward.flag()["extension"]) == 4


class TestChanges:
    def test_a_changed_library_takes_effect_with_the_next_reading(self, ward):
        one_rule(ward)
        ward.read(SPO2, 92, "2026-11-20")
        ward.put(library(LOW.replace("90", "93")))
        ward.read(SPO2, 92, "2026-11-21")
        (explained,) = explanations(ward.flag())
        assert explained["library"] == [{"reference": "Library/oxygen/_history/2"}]

    def test_so_does_a_changed_include_and_a_changed_value_set(self, ward):
        limits = "library Limits version '1'\ndefine \"Lowest\": 80 '%'\n"
        text = HEAD.replace("codesystem", "include Limits version '1'\ncodesystem", 1)
        text += 'define "Low": "Latest" < Limits."Lowest" and exists [Condition: "COPD"]\n'
        ward.put(library(limits, "limits", "Limits", version="1"))
        ward.put(value_set("1"))
        one_rule(ward, text)
        ward.put(CONDITION)
        ward.read(SPO2, 88, "2026-11-20")
        ward.put(library(limits.replace("80", "90"), "limits", "Limits", version="1"))
        ward.read(SPO2, 88, "2026-11-21")
        assert ward.zones() == []
        ward.put(value_set(COPD))
        ward.read(SPO2, 88, "2026-11-22")
        (explained,) = explanations(ward.flag())
        assert {"reference": "Library/limits/_history/2"} in explained["library"]
        assert explained["valueSet"] == [{"reference": "ValueSet/copd/_history/2"}]

    def test_a_retired_or_deleted_definition_judges_no_more(self, ward):
        one_rule(ward)
        ward.put(definition(status="retired"))
        ward.read(SPO2, 80, "2026-11-20")
        ward.put(definition())
        ward.fhir.delete("/PlanDefinition/rule")
        ward.read(SPO2, 80, "2026-11-21")
        assert ward.flags() == []

    def test_the_flag_of_a_deleted_definition_still_follows_its_reading(self, ward):
        one_rule(ward)
        id = ward.read(SPO2, 80, "2026-11-20")
        ward.fhir.delete("/PlanDefinition/rule")
        ward.amend(id, status="entered-in-error")
        assert ward.flags() == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestWhatCannotBeJudged:
    """Promise 2: the reading is stored, and a technical Flag and Task say why it was not judged."""

    def said(self, ward):
        assert ward.zones() == ["technical"]
        (task,) = [task for task in ward.tasks() if task[0] == "requested"]
        assert task[1] == "routine"
        return ward.flag()["code"]["text"]

    def test_a_library_that_is_gone(self, ward):
        one_rule(ward)
        ward.fhir.delete("/Library/oxygen")
        id = ward.read(SPO2, 80, "2026-11-20")
        text = self.said(ward)
        assert "there is no Library http://example.org/Library/oxygen" in text
        assert "PlanDefinition/rule/_history/1" in text
        assert ward.fhir.get(f"/Observation/{id}").status_code == 200
        ward.put(library())
        ward.read(SPO2, 80, "2026-11-21")
        assert ward.zones() == ["yellow"]

    def test_a_library_that_is_retired_or_does_not_fit_any_more(self, ward):
        one_rule(ward)
        ward.put(library(status="retired"))
        ward.read(SPO2, 80, "2026-11-20")
        assert "the Library http://example.org/Library/oxygen is retired" in self.said(ward)
        ward.put(library(HEAD))
        ward.read(SPO2, 80, "2026-11-21")
        assert "no library of the PlanDefinition defines Low" in self.said(ward)

    def test_an_include_that_is_gone(self, ward):
        ward.put(
            library("library Limits version '1'\ndefine Lowest: 90 '%'", "limits", "Limits", version="1")
        )
        text = HEAD.replace("codesystem", "include Limits version '1'\ncodesystem", 1)
        one_rule(ward, text + 'define "Low": "Latest" < Limits.Lowest\n')
        ward.fhir.delete("/Library/limits")
        ward.read(SPO2, 80, "2026-11-20")
        assert "there is no library Limits version 1" in self.said(ward)

    @pytest.mark.parametrize(
        ("stored", "why"),
        [
            (None, "is not on this server"),
            (value_set(COPD, status="retired"), "is retired"),
            (value_set(compose={"include": [{"system": "http://snomed.info/sct"}]}), "needs what is not"),
            (value_set(expansion={"timestamp": "2026-11-21", "total": 2}), "not complete"),
        ],
    )
    def test_a_value_set_that_cannot_be_had(self, ward, stored, why):
        one_rule(ward, LOW.replace("\"Latest\" < 85 '%'", 'exists [Condition: "COPD"]'))
        ward.put(definition(action("Very low")))
        if stored:
            ward.put(stored)
        ward.read(SPO2, 80, "2026-11-20")
        text = self.said(ward)
        assert "http://example.org/ValueSet/copd" in text
        assert why in text
        ward.put(value_set(COPD))
        ward.read(SPO2, 80, "2026-11-21")
        assert ward.zones() == []

    def test_a_rule_that_fails(self, ward):
        one_rule(ward, HEAD + 'define "Low": (singleton from {1, 2}) > 0\n')
        ward.read(SPO2, 80, "2026-11-20")
        ward.read(SPO2, 81, "2026-11-21")
        assert "Kan ikke bedømmes: Lavt oksygen" in self.said(ward)

    def test_fhirpath_that_fails(self, ward):
        expression = "(1 | 2).single() = 1"
        ward.put(definition(action(condition(expression, "text/fhirpath"), title="Lavt"), library=None))
        ward.read(SPO2, 80, "2026-11-20")
        assert "Kan ikke bedømmes: Lavt" in self.said(ward)

    def test_a_definition_that_cannot_even_be_read(self, ward, monkeypatch):
        one_rule(ward)
        ward.plan(target(SPO2, low=90))

        def broken(_):
            raise KeyError("action")

        monkeypatch.setattr(Reader, "read", broken)
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["technical", "yellow"]

    def test_too_many_rules(self, ward, monkeypatch):
        monkeypatch.setattr(catalogue, "MOST_DEFINITIONS", 1)
        one_rule(ward)
        ward.put(definition(id="second"))
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["technical", "yellow"]

    def test_a_rule_that_runs_away_is_stopped(self, ward):
        one_rule(ward, UNFIT)
        ward.read(SPO2, 80, "2026-11-20")
        assert "more than 1000000 steps" in self.said(ward)

    def test_a_zone_that_is_none(self, ward):
        one_rule(ward, HEAD + "define \"Low\": 'orange'\n")
        ward.read(SPO2, 80, "2026-11-20")
        assert "neither a Boolean nor green, yellow or red" in self.said(ward)

    def test_the_other_rules_judge_all_the_same(self, ward):
        one_rule(ward)
        ward.put(library(UNFIT.replace("Oxygen", "Unfit"), "unfit", "Unfit"))
        ward.put(definition(id="other", library=[f"{URL}/Library/unfit"]))
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["technical", "yellow"]

    def test_what_was_said_of_a_reading_stays_when_it_can_be_judged_no_more(self, ward):
        ward.put(library())
        ward.put(definition(action("Low", zone="red")))
        id = ward.read(SPO2, 80, "2026-11-20")
        ward.put(library(UNFIT))
        ward.amend(id, status="amended", valueQuantity=quantity(98, "%"))
        assert ward.zones() == ["red", "technical"]


class TestMany:
    def test_a_rule_that_looks_at_too_much_says_so(self, ward, monkeypatch):
        monkeypatch.setattr(evidence, "MOST_READINGS", 3)
        one_rule(ward)
        for day in range(20, 25):
            ward.read(SPO2, 80, f"2026-11-{day}")
        assert ward.zones() == ["technical", "yellow"]
        assert "more than 3 readings" in str(ward.flags())

    def test_readings_beyond_what_one_commit_may_judge_are_named(self, ward, monkeypatch):
        monkeypatch.setattr(protocols, "MOST_WORK", 12)
        one_rule(ward)
        entries = [
            {
                "request": {"method": "POST", "url": "Observation"},
                "resource": observation(SPO2, 80, f"2026-11-{day}T08:00:00Z"),
            }
            for day in range(10, 20)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert ward.fhir.post("/", encode(bundle)).status_code == 200
        assert ward.zones() == ["technical", "yellow"]
        assert "too many readings came at once" in str(ward.flags())

    def test_every_look_up_uses_an_index(self, ward):
        """Promise 10, for the searches that rules ask."""
        codes = frozenset({"1", "2"})
        queries = [
            evidence.query_of("Observation", "p", None, 10),
            evidence.query_of("Condition", "p", codes, 10),
            evidence.query_of("MedicationRequest", "p", None, 10),
            evidence.query_of("Immunization", "p", codes, 10),
            Query("Library", Match("string", "name", (Test("exact", "=", "Oxygen"),)), NEWEST, count=50),
            Query("ValueSet", Match("uri", "url", (Test("value", "=", URL),)), NEWEST, count=50),
            EVERYBODY,
        ]
        one_rule(ward)
        ward.read(SPO2, 80, "2026-11-20")
        for query in queries:
            plan = ward.fhir.explain(query)
            scan = SQLITE_SCAN if ward.fhir.store.name == "sqlite" else re.compile("COLLSCAN")
            assert not any(map(scan.search, plan)), (query, plan)


class TestEvaluatedAgain:
    """Promise 8: everything that an evaluation used is named by version, and gives the same again."""

    def test_from_its_explanation(self, ward):
        ward.put(value_set(COPD))
        ward.put(library(ZONES))
        ward.put(definition(action("Zone", title="Oksygen")))
        ward.put(CONDITION)
        for day, value in (("19", 95), ("20", 92), ("21", 88)):
            ward.read(SPO2, value, f"2026-11-{day}")
        (explained,) = explanations(ward.flag())
        ward.put(library(ZONES.replace("90", "50")))
        ward.put(value_set("1"))
        ward.read(SPO2, 70, "2026-11-22")

        def get(reference):
            return decode(ward.fhir.get(f"/{reference['reference']}").content)

        assert get(explained["definition"][0])["action"][0]["title"] == "Oksygen"
        (stored,) = map(get, explained["library"])
        (codes,) = map(get, explained["valueSet"])
        looked_at = [next(p for p in nested if p["url"] == "observation") for nested in explained["reading"]]
        resources = [*map(get, explained["data"]), *(get(part["valueReference"]) for part in looked_at)]
        assert len(looked_at) == 3
        import base64

        again = cql.compile(base64.b64decode(stored["content"][0]["data"]).decode())
        from fhir_server.alerts.value_sets import codes_of

        zone = again.evaluate(
            explained["define"][0],
            resources=resources,
            now=datetime.fromisoformat(explained["now"][0]).astimezone(ZONE),
            valuesets={codes["url"]: codes_of(codes)},
            units=TextUnits(ucum.convert),
        )
        assert zone == explained["zone"][0] == "yellow"
        assert explained["value"][0]["value"] == Decimal(88)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestUpload:
    """On one store: nothing of it is the store's."""

    def test_every_diagnostic_of_a_library_is_an_issue_with_its_place(self, ward):
        text = LOW + 'define "A": "Latest".foo\ndefine "B": 1 + \'a\'\ndefine "C": \n'
        found = refused(ward, library(text))
        assert [expression for expression, _ in found] == ["Library.content[0]"] * 3
        assert found[0][1].startswith("13:21: semantic: ")
        assert [said.split(": ")[1] for _, said in found] == ["semantic", "semantic", "syntax"]

    def test_a_missing_include_is_named(self, ward):
        text = "library A\ninclude Limits version '1.2'\ndefine X: Limits.Y"
        found = refused(ward, library(text, "a", "A"))
        assert ("Library.content[0]", "2:1: include: there is no library Limits version 1.2") in found

    def test_an_include_of_the_same_transaction_counts(self, ward):
        limits = library("library Limits version '1'\ndefine Y: 1", "limits", "Limits", version="1")
        text = "library A version '1.0.0'\ninclude Limits version '1'\ndefine X: Limits.Y > 0"
        entries = [
            {"request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}, "resource": r}
            for r in (
                definition(action("X"), library=[f"{URL}/Library/a"]),
                library(text, "a", "A"),
                limits,
            )
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert ward.fhir.post("/", encode(bundle)).status_code == 200
        bundle["entry"] = [{**entries[0], "resource": definition(action("Z"))}]
        outcome = ward.fhir.post("/", encode(bundle)).json()
        assert outcome["issue"][0]["expression"] == ["Bundle.entry[0].resource.library[0]"]

    def test_what_is_refused_leaves_nothing_behind(self, ward):
        one_rule(ward)
        refused(ward, library("library Oxygen define"))
        assert ward.fhir.get("/Library/oxygen").json()["meta"]["versionId"] == "1"
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["yellow"]

    def test_elm_is_compiled_like_text(self, ward):
        from tests.alerts.cql_build import elm

        ward.put(library(content=[elm(LOW)]))
        ward.put(definition())
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.zones() == ["yellow"]
        broken = {**elm(LOW), "data": "e30="}
        ((expression, said),) = refused(ward, library(content=[{"contentType": "text/plain"}, broken]))
        assert (expression, "not an ELM library" in said) == ("Library.content[1]", True)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"contentType": "text/cql", "data": "gA=="}, "not UTF-8"),
            ({"contentType": "text/cql", "data": "QUFB" * 50_000}, "larger than 128 KiB"),
        ],
    )
    def test_data_that_cannot_be_read_are_refused(self, ward, content, said):
        assert said in refused(ward, library(content=[content]))[0][1]

    def test_a_name_that_include_would_not_find_is_refused(self, ward):
        assert refused(ward, library(name="Other"))[0][0] == "Library.name"
        assert refused(ward, library(version="2"))[0][0] == "Library.version"

    def test_other_libraries_are_stored_as_they_are(self, ward):
        ward.put(library("no CQL", type={"coding": [{"code": "asset-collection"}]}))
        ward.put(
            library(id="later", content=[{"contentType": "text/cql", "url": "http://example.org/later.cql"}])
        )

    @pytest.mark.parametrize("status", ["draft", "active"])
    def test_drafts_are_compiled_too(self, ward, status):
        assert refused(ward, library("library X define", status=status, experimental=True))

    @pytest.mark.parametrize(
        ("made", "place", "said"),
        [
            (action("Lowest"), "condition[0].expression.expression", "defines Lowest"),
            (action("Latest"), "condition[0].expression.expression", "is of type"),
            (action(condition("1 +", "text/cql")), "condition[0].expression.expression", "1:4: syntax"),
            (
                action(condition("Oxygen.No", "text/cql-expression")),
                "condition[0].expression.expression",
                "1:7",
            ),
            (action(condition("value.", "text/fhirpath")), "condition[0].expression.expression", "syntax"),
            (action(condition("x", "text/x-other")), "condition[0].expression.language", "text/x-other"),
            (
                action({"kind": "start", "expression": {"language": "text/cql", "expression": "Low"}}),
                "condition[0].kind",
                "",
            ),
            (action({"kind": "applicability"}), "condition[0]", "needs an expression"),
            (action("Low", zone="green"), "extension[0]", "yellow or red"),
        ],
    )
    def test_a_condition_that_cannot_be_judged_is_refused_with_its_place(self, ward, made, place, said):
        ward.put(library())
        ((expression, diagnostics),) = refused(ward, definition(action("Low"), made))
        assert expression == f"PlanDefinition.action[1].{place}"
        assert said in diagnostics

    def test_a_name_is_looked_for_in_the_library_that_the_expression_refers_to(self, ward):
        ward.put(library())
        other = "library Other version '1.0.0'\ndefine Yes: true\n"
        ward.put(library(other, "other", "Other"))
        both = [f"{URL}/Library/oxygen", f"{URL}/Library/other"]
        referring = condition("Low")
        referring["expression"]["reference"] = f"{URL}/Library/other"
        ((_, said),) = refused(ward, definition(action(referring), library=both))
        assert said == "no library of the PlanDefinition defines Low"
        referring["expression"]["expression"] = "Yes"
        ward.put(definition(action(referring, title="Ja"), library=both))
        beside = {"extension": [{"url": "http://example.org/why", "valueString": "not decided"}]}
        null = definition(action("Lowest"), library=[both[0], None], _library=[None, beside])
        assert refused(ward, null)[0][1] == "no library of the PlanDefinition defines Lowest"
        ward.read(SPO2, 97, "2026-11-20")
        assert ward.flag()["code"]["text"] == "Ja (97 %)"

    def test_a_library_that_is_not_there_or_not_active_is_refused(self, ward):
        assert refused(ward, definition())[0] == (
            "PlanDefinition.library[0]",
            "there is no Library http://example.org/Library/oxygen on this server",
        )
        ward.put(library(status="draft"))
        assert "is draft: only active ones judge" in refused(ward, definition())[0][1]
        ward.put(definition(status="draft"))

    def test_a_plan_definition_without_conditions_is_stored_as_it_is(self, ward):
        ward.put(definition({"title": "Measure every day"}, library=None))
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.flags() == []
