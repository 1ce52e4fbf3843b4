"""From a reading over HTTP to Flag, Communication and Task: the issue's section 4, line by line."""

import sys
from decimal import Decimal

import pytest

from fhir_server.resource_json import decode, encode
from rules import plans
from terminology import ucum
from tests.alerts.conftest import ADVICE, activity, details_of, zone_of
from tests.rules.build import (
    PANEL,
    SPO2,
    SYSTOLIC,
    WEIGHT,
    care_plan,
    concept,
    goal,
    observation,
    quantity,
    target,
)

YELLOW_RED = (target(SPO2, low=90), target(SPO2, low=88, zone="red"))


def parts(extension):
    found = {}
    for part in extension["extension"]:
        value = next((v for k, v in part.items() if k.startswith("value")), part.get("extension"))
        found.setdefault(part["url"], []).append(value)
    return found


def explanations(flag):
    return [parts(e) for e in flag["extension"] if e["url"].endswith("/dho-explanation")]


class TestAReading:
    def test_inside_the_zone_raises_nothing(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 95, "2026-11-21")
        assert (ward.flags(), ward.messages(), ward.tasks()) == ([], [], [])

    def test_outside_raises_a_flag_a_message_and_a_task_in_the_same_commit(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, "89.5", "2026-11-21")
        flag = ward.flag()
        assert zone_of(flag) == "yellow"
        assert details_of(flag) == [id]
        assert flag["author"] == {"reference": "Device/varde-engine"}
        assert flag["period"]["start"].startswith("2026-11-30T12:00")
        priorities = [
            e["valueCodeableConcept"]["coding"][0]["code"]
            for e in flag["extension"]
            if e["url"].endswith("flag-priority")
        ]
        assert priorities == ["PM"]
        assert ward.messages() == ["59408-5 89,5 % er under gul grense 90 %"]
        assert ward.messages("Patient/p") == [ADVICE["yellow"]]
        assert ward.tasks() == [("requested", "urgent")]
        (task,) = ward.found("Task", focus=f"Flag/{flag['id']}")
        assert task["for"] == {"reference": "Patient/p"}
        versions = {
            resource["meta"]["lastUpdated"]
            for resource in (flag, task, ward.fhir.get(f"/Observation/{id}").json())
        }
        assert len(versions) == 1

    def test_is_explained_by_rule_plan_version_bounds_and_readings(self, ward):
        ward.plan(*YELLOW_RED)
        ward.plan(*YELLOW_RED, title="second version")
        id = ward.read(SPO2, 85, "2026-11-21")
        (explained,) = explanations(ward.flag())
        assert explained["plan"] == [{"reference": "CarePlan/plan/_history/2"}]
        assert explained["observation"] == [{"reference": f"Observation/{id}/_history/1"}]
        assert explained["low"][0]["value"] == 88
        assert explained["zone"] == ["red"]
        assert explained["text"] == ["59408-5 85 % er under rød grense 88 %"]
        assert "85 % is below the red limit 88 %" in str(ward.flag()["code"]["_text"])

    def test_evaluated_again_from_its_explanation_gives_the_same(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        for day, value in (("19", "80.0"), ("20", "81.1"), ("21", "82.3")):
            ward.read(WEIGHT, value, f"2026-11-{day}")
        (explained,) = explanations(ward.flag())
        plan = decode(ward.fhir.get("/" + explained["plan"][0]["reference"]).content)
        rules, _ = plans.make_rules([plans.read_plan(plan, lambda _: None, lambda c: frozenset((c,)))], ucum)
        looked_at = []
        for nested in explained["reading"]:
            reference = parts({"extension": nested})["observation"][0]["reference"]
            stored = decode(ward.fhir.get(f"/{reference}").content)
            looked_at += plans.readings(stored, rules[0].codes, plans.time_of(stored))
        verdict = plans.judge(rules[0], looked_at[-1], looked_at, ucum)
        assert verdict.color == "red"
        assert plans.verdict_text(verdict).nb == explained["text"][0]
        assert verdict.measured == explained["measured"][0]["value"] == Decimal("2.3")

    @pytest.mark.parametrize("status", ["final", "amended", "corrected", "preliminary"])
    def test_is_judged_in_these_statuses(self, ward, status):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-21", status=status)
        assert ward.zones() == ["red"]

    @pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error", "unknown"])
    def test_is_not_judged_in_these(self, ward, status):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-21", status=status)
        assert ward.zones() == []

    def test_of_a_component_counts_alone_and_in_its_panel(self, ward):
        ward.plan(
            target(PANEL, high=160, component=SYSTOLIC),
            target(PANEL, high=180, component=SYSTOLIC, zone="red"),
        )
        panel = {"component": [{"code": concept(SYSTOLIC), "valueQuantity": {**quantity(165, "mm[Hg]")}}]}
        ward.read(PANEL, None, "2026-11-20", **panel)
        assert ward.zones() == ["yellow"]
        ward.read(SYSTOLIC, 185, "2026-11-21")
        assert ward.zones() == ["red"]

    def test_of_a_subject_by_this_servers_absolute_url_is_judged(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 85, "2026-11-21", subject={"reference": "http://varde.test/fhir/Patient/p"})
        assert ward.zones() == ["red"]
        ward.amend(id, status="entered-in-error")
        assert ward.zones() == []

    def test_by_another_code_of_the_same_measure_does_not_slip_past(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-21", code=concept("431314004", "http://snomed.info/sct"))
        assert ward.zones() == ["red"]


class TestTheFlag:
    def test_yellow_then_red_is_the_same_flag_and_is_told_again(self, ward):
        ward.plan(*YELLOW_RED)
        first = ward.read(SPO2, 89, "2026-11-20")
        yellow = ward.flag()
        second = ward.read(SPO2, 85, "2026-11-21")
        red = ward.flag()
        assert (red["id"], zone_of(red)) == (yellow["id"], "red")
        assert details_of(red) == [first, second]
        assert len(ward.messages()) == 2
        assert ward.messages("Patient/p") == [ADVICE["yellow"], ADVICE["red"]]
        assert ward.tasks() == [("requested", "asap")]

    def test_more_of_the_same_adds_detail_without_a_message(self, ward):
        ward.plan(*YELLOW_RED)
        ids = [ward.read(SPO2, 89, f"2026-11-2{day}") for day in range(3)]
        assert details_of(ward.flag()) == ids
        assert len(ward.messages()) == len(ward.tasks()) == 1

    def test_that_nobody_attends_to_does_not_grow_without_bound(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="60 d", zone="red"))
        ward.read(WEIGHT, 80, "2026-10-01")
        for day in range(1, 31):
            ward.read(WEIGHT, 85, f"2026-10-{day:02}T12:00:00+02:00")
        flag = ward.flag()
        assert len(details_of(flag)) == len(explanations(flag)) == 30
        listed = [len(e.get("reading", ())) for e in explanations(flag)]
        assert listed == [2, *[0] * 19, *range(22, 32)]
        early = ward.fhir.get(f"/Flag/{flag['id']}/_history/5").json()
        assert len(explanations(early)[4]["reading"]) == 6

    def test_red_then_yellow_stays_red(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        ward.read(SPO2, 89, "2026-11-21")
        assert ward.zones() == ["red"]
        assert len(ward.messages()) == 1

    def test_yellow_resolves_itself_after_three_normal_readings(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 89, "2026-11-17")
        for day in (18, 19):
            ward.read(SPO2, 95, f"2026-11-{day}")
        assert ward.zones() == ["yellow"]
        ward.read(SPO2, 95, "2026-11-20")
        assert ward.zones() == []
        assert ward.flag("inactive")["period"]["end"]
        assert ward.tasks() == [("completed", "urgent")]

    def test_normal_readings_in_a_row_are_counted_from_the_last_yellow_one(self, ward):
        ward.plan(*YELLOW_RED)
        for day, value in enumerate((89, 95, 95, 89, 95, 95)):
            ward.read(SPO2, value, f"2026-11-1{day}")
        assert ward.zones() == ["yellow"]
        ward.read(SPO2, 95, "2026-11-16")
        assert ward.zones() == []

    def test_red_waits_for_a_person(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-10")
        for day in range(1, 8):
            ward.read(SPO2, 95, f"2026-11-1{day}")
        assert ward.zones() == ["red"]

    @pytest.mark.parametrize(
        ("asked", "normal", "left"), [(1, 1, []), (0, 5, ["yellow"]), (5, 4, ["yellow"])]
    )
    def test_the_plan_says_how_many(self, ward, asked, normal, left):
        ward.plan(target(SPO2, low=90, autoResolve=asked))
        ward.read(SPO2, 89, "2026-11-10")
        for day in range(normal):
            ward.read(SPO2, 95, f"2026-11-1{day + 1}")
        assert ward.zones() == left

    def test_different_rules_have_their_own_flags(self, ward):
        ward.plan(*YELLOW_RED, target(WEIGHT, high=100), target(WEIGHT, high=2, kind="change", window="3 d"))
        ward.read(SPO2, 89, "2026-11-20")
        ward.read(WEIGHT, 99, "2026-11-20")
        ward.read(WEIGHT, "101.5", "2026-11-21")
        assert ward.zones() == ["yellow", "yellow", "yellow"]

    def test_two_plans_on_the_same_measure_raise_one_flag(self, ward):
        ward.plan(target(SPO2, low=92), id="copd")
        ward.plan(target(SPO2, low=85, zone="red"), id="heart")
        ward.read(SPO2, 84, "2026-11-21")
        assert ward.zones() == ["red"]
        assert len(ward.messages()) == 1
        (explained,) = explanations(ward.flag())
        assert explained["plan"] == [{"reference": "CarePlan/heart/_history/1"}]


class TestPeople:
    def close_task(self, ward, **change):
        (task,) = [t for t in ward.found("Task", patient="p") if t["status"] == "requested"]
        ward.put({**task, "status": "completed", **change})

    def test_completing_the_task_ends_the_flag_and_the_next_red_is_told(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        self.close_task(ward)
        assert ward.zones() == []
        ward.read(SPO2, 85, "2026-11-21")
        assert ward.zones() == ["red"]
        assert len(ward.messages()) == 2
        assert ward.tasks() == [("completed", "asap"), ("requested", "asap")]

    def test_ending_the_flag_completes_its_task(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        ward.put({**ward.flag(), "status": "inactive"})
        assert ward.tasks() == [("completed", "asap")]

    def test_accepting_the_task_changes_nothing_else(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        self.close_task(ward, status="accepted")
        assert ward.zones() == ["red"]
        ward.read(SPO2, 85, "2026-11-21")
        assert len(ward.messages()) == 1

    def test_completing_the_task_and_a_red_reading_in_one_bundle_is_a_new_alert(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        ward.read(SPO2, 85, "2026-11-20T09:00:00+01:00")
        (task,) = ward.found("Task", patient="p")
        done = {
            "resource": {**task, "status": "completed"},
            "request": {"method": "PUT", "url": f"Task/{task['id']}"},
        }
        red = observation(SPO2, 84, "2026-11-21T08:00:00+01:00")
        new = {"resource": red, "request": {"method": "POST", "url": "Observation"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [done, new]}
        assert ward.fhir.post("/", encode(bundle)).status_code == 200
        assert len(ward.flags("inactive")) == len(ward.flags("active")) == 1
        assert len(ward.messages()) == 2


class TestLateAmendedAndRepeated:
    def test_a_late_reading_is_judged_at_its_own_time(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        ward.read(WEIGHT, 80, "2026-11-18")
        ward.read(WEIGHT, 80, "2026-11-21")
        ward.read(WEIGHT, "82.5", "2026-11-19")
        (explained,) = explanations(ward.flag())
        assert explained["time"] == ["2026-11-19T07:00:00.000Z"]

    def test_the_later_readings_whose_window_it_falls_into_are_judged_again(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        later = ward.read(WEIGHT, 82, "2026-11-21")
        assert ward.zones() == []
        ward.read(WEIGHT, "79.5", "2026-11-20")
        assert details_of(ward.flag()) == [later]

    def test_persistence_counts_a_late_reading_in_its_place(self, ward):
        ward.plan(target(SPO2, low=90, kind="persistence", n=2, m=2))
        ward.read(SPO2, 95, "2026-11-18")
        later = ward.read(SPO2, 88, "2026-11-21")
        assert ward.zones() == []
        ward.read(SPO2, 88, "2026-11-20")
        assert details_of(ward.flag()) == [later]

    def test_an_amended_reading_takes_its_alert_back(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 59, "2026-11-20")
        ward.amend(id, status="amended", valueQuantity=quantity(95, "%"))
        assert ward.zones() == []
        assert ward.flag("entered-in-error")
        assert ward.tasks() == [("cancelled", "asap")]

    def test_an_amended_reading_changes_its_alert(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 89, "2026-11-20")
        ward.amend(id, status="amended", valueQuantity=quantity(85, "%"))
        assert ward.zones() == ["red"]
        ward.amend(id, status="amended", valueQuantity=quantity(89, "%"))
        assert ward.zones() == ["yellow"]
        assert ward.tasks() == [("requested", "urgent")]

    def test_entered_in_error_takes_back_with_the_readings_after_it(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        wrong = ward.read(WEIGHT, 60, "2026-11-19")
        ward.read(WEIGHT, 80, "2026-11-20")
        ward.read(WEIGHT, 80, "2026-11-21")
        assert len(details_of(ward.flag())) == 2
        ward.amend(wrong, status="entered-in-error")
        assert ward.zones() == []

    def test_only_what_was_wrong_is_taken_back(self, ward):
        ward.plan(*YELLOW_RED)
        yellow = ward.read(SPO2, 89, "2026-11-20")
        red = ward.read(SPO2, 80, "2026-11-21")
        ward.amend(red, status="entered-in-error")
        flag = ward.flag()
        assert (zone_of(flag), details_of(flag)) == ("yellow", [yellow])

    def test_a_deleted_reading_takes_its_alert_back(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 85, "2026-11-20")
        assert ward.fhir.delete(f"/Observation/{id}").status_code == 204
        assert ward.zones() == []

    def test_a_reading_moved_to_another_patient_takes_its_alert_along(self, ward):
        ward.patient(id="q")
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 85, "2026-11-20")
        ward.amend(id, subject={"reference": "Patient/q"})
        assert ward.zones() == []

    def test_an_identical_update_does_nothing(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 85, "2026-11-20")
        before = ward.flag()
        ward.amend(id)
        assert ward.flag() == before

    def test_the_same_reading_sent_twice_does_nothing(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        before = ward.flag()
        ward.read(SPO2, "85.0", "2026-11-20")
        assert ward.flag() == before

    def test_but_the_copy_speaks_when_the_first_is_taken_back(self, ward):
        ward.plan(*YELLOW_RED)
        first = ward.read(SPO2, 85, "2026-11-20")
        copy = ward.read(SPO2, 85, "2026-11-20")
        ward.amend(first, status="entered-in-error")
        assert details_of(ward.flag()) == [copy]

    def test_a_late_yellow_reading_followed_by_normal_ones_is_over_already(self, ward):
        ward.plan(*YELLOW_RED)
        for day in (18, 19, 20):
            ward.read(SPO2, 95, f"2026-11-{day}")
        ward.read(SPO2, 89, "2026-11-17")
        assert ward.zones() == []
        assert len(ward.flags("inactive")) == 1
        assert len(ward.messages()) == 1
        assert ward.messages("Patient/p") == []
        assert ward.tasks() == [("completed", "urgent")]

    def test_a_reading_made_worse_after_a_person_closed_its_alert_opens_a_new_one(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 89, "2026-11-20")
        ward.put({**ward.flag(), "status": "inactive"})
        ward.amend(id, status="amended", note=[{"text": "checked"}])
        assert ward.zones() == []
        ward.amend(id, status="amended", valueQuantity=quantity(80, "%"))
        assert ward.zones() == ["red"]


class TestABundle:
    def bundle(self, ward, *readings, type="transaction"):
        entries = [
            {"resource": observation(*reading), "request": {"method": "POST", "url": "Observation"}}
            for reading in readings
        ]
        bundle = {"resourceType": "Bundle", "type": type, "entry": entries}
        answer = ward.fhir.post("/", encode(bundle))
        assert answer.status_code == 200, answer.text

    def test_is_judged_in_the_order_of_time_each_seeing_the_earlier(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        self.bundle(
            ward,
            (WEIGHT, "82.5", "2026-11-21T08:00:00+01:00"),
            (WEIGHT, "80.0", "2026-11-19T08:00:00+01:00"),
            (WEIGHT, "81.0", "2026-11-20T08:00:00+01:00"),
        )
        (explained,) = explanations(ward.flag())
        assert len(explained["reading"]) == 3
        assert len(ward.messages()) == 1

    def test_of_a_whole_day_tells_the_team_what_was_over_before_it_came(self, ward):
        ward.plan(*YELLOW_RED)
        times = ("08", "10", "12", "14")
        values = (89, 95, 95, 95)
        self.bundle(
            ward, *((SPO2, v, f"2026-11-21T{t}:00:00+01:00") for v, t in zip(values, times, strict=True))
        )
        assert ward.zones() == []
        assert ward.messages() == ["59408-5 89 % er under gul grense 90 %"]
        assert ward.messages("Patient/p") == []
        assert ward.tasks() == [("completed", "urgent")]

    def test_of_a_batch_raises_one_flag_too(self, ward):
        ward.plan(*YELLOW_RED)
        self.bundle(
            ward,
            *((SPO2, 85, f"2026-11-21T0{hour}:00:00+01:00") for hour in range(1, 6)),
            type="batch",
        )
        assert len(details_of(ward.flag())) == 5
        assert len(ward.messages()) == 1


class TestPlansThatChange:
    def test_a_changed_plan_takes_effect_with_the_next_reading(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 91, "2026-11-19")
        assert ward.zones() == []
        ward.plan(target(SPO2, low=92))
        ward.read(SPO2, 91, "2026-11-20")
        assert ward.zones() == ["yellow"]

    def test_a_changed_goal_takes_effect_with_the_next_reading(self, ward):
        reference = goal(target(SPO2, low=90), id="spo2")
        ward.put(reference)
        referring = care_plan(goal=[{"reference": "Goal/spo2"}])
        del referring["contained"]
        ward.put(referring)
        ward.read(SPO2, 91, "2026-11-19")
        assert ward.zones() == []
        ward.put(goal(target(SPO2, low=92), id="spo2"))
        ward.read(SPO2, 91, "2026-11-20")
        assert ward.zones() == ["yellow"]

    @pytest.mark.parametrize("status", ["draft", "on-hold", "revoked", "completed"])
    def test_a_plan_that_is_not_active_judges_nobody(self, ward, status):
        ward.plan(*YELLOW_RED, status=status)
        ward.read(SPO2, 85, "2026-11-20")
        assert ward.zones() == []

    def test_another_patients_plan_judges_nobody_else(self, ward):
        ward.patient(id="q")
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20", patient="q")
        assert ward.found("Flag") == []


class TestSelfCareText:
    def say(self, ward, *languages):
        ward.patient(*languages)
        ward.plan(
            *YELLOW_RED,
            activity=[activity("yellow", "Hvil litt.", nn="Kvil litt.", en="Rest a little.", se="Vuoiŋŋas.")],
        )
        ward.read(SPO2, 89, "2026-11-20")
        return ward.messages("Patient/p")

    @pytest.mark.parametrize(
        ("languages", "text"),
        [
            ((), "Hvil litt."),
            (("nn",), "Kvil litt."),
            (("nn-NO",), "Kvil litt."),
            (("nb",), "Kvil litt."),  # the base text says no language; nynorsk is the nearest that does
            (("se", "nb"), "Vuoiŋŋas."),
            (("fi", "en"), "Rest a little."),
            (("fi",), "Hvil litt."),
        ],
    )
    def test_is_in_the_language_of_the_patient(self, ward, languages, text):
        assert self.say(ward, *languages) == [text]

    def test_of_a_zone_without_text_is_no_message(self, ward):
        ward.plan(*YELLOW_RED, activity=[activity("yellow", "Hvil litt.")])
        ward.read(SPO2, 80, "2026-11-20")
        assert ward.messages("Patient/p") == []
        assert len(ward.messages()) == 1


class TestTechnicalAlerts:
    def technical(self, ward):
        flag = ward.flag()
        assert zone_of(flag) == "technical"
        return flag["code"]["text"]

    def test_an_unknown_unit(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 85, "2026-11-20", unit="kg")
        text = self.technical(ward)
        assert "CarePlan/plan/_history/1" in text
        assert "«kg»" in text
        assert details_of(ward.flag()) == [id]
        assert ward.tasks() == [("requested", "routine")]
        assert ward.messages("Patient/p") == []

    def test_a_reading_without_a_value(self, ward):
        ward.plan(*YELLOW_RED)
        absent = concept("error", "http://terminology.hl7.org/CodeSystem/data-absent-reason")
        ward.read(SPO2, None, "2026-11-20", dataAbsentReason=absent)
        assert "mangler verdi (error)" in self.technical(ward)

    def test_a_missing_baseline_resolves_with_the_first_reading_that_has_one(self, ward):
        ward.plan(target(SPO2, low=-4, kind="relative", baseline="median", window="7 d"))
        ward.read(SPO2, 95, "2026-11-19")
        assert "utgangsverdi mangler" in self.technical(ward)
        ward.read(SPO2, 95, "2026-11-20")
        assert ward.zones() == []

    def test_an_amended_reading_takes_its_technical_alert_back(self, ward):
        ward.plan(*YELLOW_RED)
        id = ward.read(SPO2, 95, "2026-11-20", unit="kg")
        ward.amend(id, status="corrected", valueQuantity=quantity(95, "%"))
        assert ward.zones() == []

    def test_a_goal_that_does_not_exist(self, ward):
        ward.plan(*YELLOW_RED, goal=[{"reference": "#g"}, {"reference": "Goal/nowhere"}])
        ward.read(SPO2, 95, "2026-11-20")
        ward.read(SPO2, 95, "2026-11-21")
        assert "CarePlan.goal[1]" in self.technical(ward)
        assert len(ward.messages()) == 1
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 95, "2026-11-22")
        assert ward.zones() == []

    def test_a_goal_of_another_patient(self, ward):
        ward.patient(id="q")
        ward.put(goal(target(SPO2, low=99), id="other", patient="q"))
        ward.plan(*YELLOW_RED, goal=[{"reference": "#g"}, {"reference": "Goal/other"}])
        ward.read(SPO2, 95, "2026-11-20")
        assert "annen pasient" in self.technical(ward)

    def test_overlapping_ranges_across_goals_are_said_and_still_judge(self, ward):
        ward.put(goal(target(SPO2, low=95, zone="red"), id="red"))
        ward.plan(target(SPO2, low=90), goal=[{"reference": "#g"}, {"reference": "Goal/red"}])
        ward.read(SPO2, 93, "2026-11-20")
        assert ward.zones() == ["red", "technical"]

    def test_an_unknown_patient(self, ward):
        ward.read(SPO2, 85, "2026-11-20", patient="nobody")
        (flag,) = ward.found("Flag")
        assert zone_of(flag) == "technical"

    def test_a_patient_of_another_server_is_nobody_here(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20", subject={"reference": "http://other.example/fhir/Patient/p"})
        assert ward.found("Flag") == []

    def test_a_time_in_the_future_is_judged_and_said(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2027-01-01")
        assert ward.zones() == ["red", "technical"]

    def test_a_reading_without_a_time_is_judged_as_taken_now(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "")
        assert ward.zones() == ["red"]

    def test_a_rule_that_raises_stores_the_reading_and_says_so(self, ward, monkeypatch):
        ward.plan(*YELLOW_RED)
        monkeypatch.setattr(sys.modules["rules.plans.judge"], "_verdict", lambda *_: 1 / 0)
        id = ward.read(SPO2, 85, "2026-11-20")
        assert ward.fhir.get(f"/Observation/{id}").status_code == 200
        assert "ZeroDivisionError" in self.technical(ward)

    def test_an_engine_that_fails_stores_the_reading_and_says_so(self, ward, monkeypatch):
        ward.plan(*YELLOW_RED)
        monkeypatch.setattr(sys.modules["fhir_server.alerts.watch"], "outcomes", lambda *_: {}["no"])
        id = ward.read(SPO2, 85, "2026-11-20")
        assert ward.fhir.get(f"/Observation/{id}").status_code == 200
        assert "KeyError" in self.technical(ward)


class TestMalformedPlans:
    @pytest.mark.parametrize("type", ["CarePlan", "Goal"])
    def test_are_refused_with_the_reason(self, ward, type):
        bad = target(SPO2, low=95, high=90)
        resource = goal(bad, id="bad") if type == "Goal" else None
        if resource is None:
            answer = ward.fhir.put("/CarePlan/x", encode({**care_plan(bad), "id": "x"}))
        else:
            answer = ward.fhir.put("/Goal/bad", encode(resource))
        assert answer.status_code == 422
        (issue,) = answer.json()["issue"]
        assert issue["expression"][0].endswith("target[0].detail.ofType(Range)")
        assert "rng-2" in issue["diagnostics"]

    def test_that_came_before_the_check_are_reported(self, ward, monkeypatch):
        with monkeypatch.context() as before:
            before.setattr("fhir_server.interactions.incoming.check_plan", lambda _: [])
            ward.plan(target(SPO2, low=90), target(WEIGHT, high=2, kind="change"))
        ward.read(SPO2, 85, "2026-11-20")
        assert ward.zones() == ["yellow"]
        ward.read(WEIGHT, 85, "2026-11-20")
        assert ward.zones() == ["technical", "yellow"]


class TestWhatTheReferenceModelFound:
    def close(self, ward):
        ward.put({**ward.flag(), "status": "inactive"})

    def test_a_repeat_of_a_reading_whose_alert_was_closed_does_nothing(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        self.close(ward)
        ward.read(SPO2, "85.0", "2026-11-20")
        assert ward.zones() == []
        assert len(ward.messages()) == 1

    def test_a_copy_speaks_when_the_first_is_moved_to_another_time(self, ward):
        ward.plan(*YELLOW_RED)
        first = ward.read(SPO2, 85, "2026-11-20")
        copy = ward.read(SPO2, 85, "2026-11-20")
        moved = "2026-11-20T09:00:00+01:00"
        ward.amend(first, status="amended", effectiveDateTime=moved, valueQuantity=quantity(95, "%"))
        assert details_of(ward.flag()) == [copy]

    def test_a_reading_of_a_flag_that_was_taken_back_can_be_alerted_again(self, ward):
        ward.plan(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))
        low = ward.read(WEIGHT, 80, "2026-11-19")
        high = ward.read(WEIGHT, 83, "2026-11-20")
        ward.amend(low, status="entered-in-error")
        assert ward.zones() == []
        ward.read(WEIGHT, 80, "2026-11-19T09:00:00+01:00")
        assert details_of(ward.flag()) == [high]

    def test_readings_that_cannot_be_compared_do_not_hide_earlier_ones_from_persistence(self, ward):
        ward.plan(target(SPO2, low=90, kind="persistence", n=3, m=3))
        ward.read(SPO2, 85, "2026-11-01")
        ward.read(SPO2, 85, "2026-11-02")
        for hour in range(10, 20):
            absent = concept("error", "http://terminology.hl7.org/CodeSystem/data-absent-reason")
            ward.read(SPO2, None, f"2026-11-02T{hour}:00:00+01:00", dataAbsentReason=absent)
            ward.read(SPO2, 85, f"2026-11-02T{hour}:30:00+01:00", unit="kg")
        ward.read(SPO2, 85, "2026-11-03")
        assert ward.zones() == ["technical", "yellow"]

    def test_readings_between_two_times_of_one_bundle_count(self, ward):
        ward.plan(target(SPO2, low=90, kind="persistence", n=3, m=3))
        for day in range(10, 18):
            ward.read(SPO2, 95 if day < 16 else 85, f"2026-11-{day}")
        entries = [
            {"resource": observation(SPO2, value, time), "request": {"method": "POST", "url": "Observation"}}
            for value, time in ((95, "2026-11-01T08:00:00Z"), (85, "2026-11-20T08:00:00Z"))
        ]
        ward.fhir.post("/", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
        assert ward.zones() == ["yellow"]

    def test_only_readings_known_to_be_normal_resolve_a_yellow_flag(self, ward):
        ward.plan(target(SPO2, low=90))
        ward.read(SPO2, 89, "2026-11-10")
        less_than = {**quantity(95, "%"), "comparator": "<"}
        for day in range(11, 16):
            ward.read(SPO2, 95, f"2026-11-{day}", valueQuantity=less_than)
        assert ward.zones() == ["technical", "yellow"]

    def test_a_late_normal_reading_can_be_the_one_that_resolves(self, ward):
        ward.plan(target(SPO2, low=90))
        ward.read(SPO2, 89, "2026-11-10")
        for day in (12, 13, 11):
            ward.read(SPO2, 95, f"2026-11-{day}")
        assert ward.zones() == []

    def test_two_values_of_one_reading_of_which_one_is_missing_are_both_said(self, ward):
        ward.plan(target(PANEL, high=160, component=SYSTOLIC))
        absent = concept("error", "http://terminology.hl7.org/CodeSystem/data-absent-reason")
        panel = [
            {"code": concept(SYSTOLIC), "valueQuantity": quantity(120, "mm[Hg]")},
            {"code": concept(SYSTOLIC), "dataAbsentReason": absent},
        ]
        ward.read(PANEL, None, "2026-11-20", component=panel)
        assert ward.zones() == ["technical"]


class TestOddButPossible:
    @pytest.mark.parametrize(
        "time", ["0001-01-01T00:00:00+14:00", "0001-01-01", "9999-12-31T23:59:59-12:00", "9999"]
    )
    def test_a_time_at_the_end_of_the_calendar_is_judged_as_now(self, ward, time):
        ward.plan(*YELLOW_RED, target(SPO2, low=-4, kind="relative", baseline="median", window="7 d"))
        answer = ward.fhir.post("/Observation", encode(observation(SPO2, 85, time)))
        assert answer.status_code == 201
        assert "red" in ward.zones()
        assert any("sier ikke når" in flag["code"]["text"] for flag in ward.flags())

    @pytest.mark.parametrize("value", ["123456789012345678901234567890123.123456", "-1e300", "1e-300"])
    @pytest.mark.parametrize("unit", ["kg", "g"])
    def test_numbers_that_nobody_can_have_are_judged_like_any(self, ward, value, unit):
        ward.plan(target(WEIGHT, low=50, high=100, zone="red"))
        ward.read(WEIGHT, Decimal(value), "2026-11-20", unit=unit)
        assert ward.zones() == ["red"]
        assert len(ward.flag()["code"]["text"]) < 100

    def test_a_deleted_task_ends_the_flag_and_the_next_red_is_told(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        (task,) = ward.found("Task", patient="p")
        assert ward.fhir.delete(f"/Task/{task['id']}").status_code == 204
        assert ward.zones() == []
        ward.read(SPO2, 85, "2026-11-21")
        assert len(ward.messages()) == 2

    def test_a_task_of_somebody_elses_about_the_flag_leaves_it_active(self, ward):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 85, "2026-11-20")
        focus = {"reference": f"Flag/{ward.flag()['id']}"}
        call = {"resourceType": "Task", "id": "call", "status": "requested", "intent": "order"}
        ward.put({**call, "focus": focus})
        ward.put({**call, "focus": focus, "status": "completed"})
        assert ward.zones() == ["red"]

    @pytest.mark.parametrize("stripped", [("extension",), ("identifier", "category"), ("extension", "text")])
    def test_a_flag_stored_without_what_is_the_engines_stays_what_it_was(self, ward, stripped):
        ward.plan(*YELLOW_RED)
        first = ward.read(SPO2, 85, "2026-11-20")
        flag = ward.flag()
        note = {"url": "http://example.org/note", "valueString": "ringt"}
        changed = {key: value for key, value in flag.items() if key not in stripped}
        changed["code"] = {"text": "SpO2"}
        changed["extension"] = [*changed.get("extension", ()), note]
        ward.put(changed)
        second = ward.read(SPO2, 89, "2026-11-21")
        for day in (22, 23, 24):
            ward.read(SPO2, 95, f"2026-11-{day}")
        assert (zone_of(ward.flag()), details_of(ward.flag())) == ("red", [first, second])
        assert note in ward.flag()["extension"]
        assert len(ward.messages()) == 1

    def test_a_flag_whose_explanation_makes_no_sense_still_takes_readings(self, ward, monkeypatch):
        ward.plan(*YELLOW_RED)
        ward.read(SPO2, 89, "2026-11-20")
        with monkeypatch.context() as before:
            before.setattr("fhir_server.alerts.people.rule_of", lambda _: None)
            text = encode(ward.flag()).replace(b'"valueCode":"yellow"', b'"valueCode":"purple"')
            ward.fhir.put(f"/Flag/{ward.flag()['id']}", text)
        ward.read(SPO2, 80, "2026-11-21")
        assert ward.zones() == ["red"]
        assert len(ward.messages()) == 2

    def test_a_rule_that_meets_a_bug_does_not_silence_the_others(self, ward, monkeypatch):
        ward.plan(target(SPO2, low=90, kind="persistence", n=1, m=1), *YELLOW_RED)
        watching = sys.modules["fhir_server.alerts.watch"]
        known = watching.outcomes

        def buggy(rule, *rest):
            return {}["no"] if rule.kind == "persistence" else known(rule, *rest)

        monkeypatch.setattr(watching, "outcomes", buggy)
        ids = [ward.read(SPO2, 85, f"2026-11-2{day}") for day in (0, 1)]
        assert ward.zones() == ["red", "technical"]
        technical = next(flag for flag in ward.flags() if zone_of(flag) == "technical")
        assert details_of(technical) == ids


class TestWhoIsTold:
    def test_members_of_a_care_team_that_the_plan_contains(self, ward):
        plan = care_plan(*YELLOW_RED, careTeam=[{"reference": "#own"}])
        team = {"resourceType": "CareTeam", "id": "own"}
        plan["contained"].append({**team, "participant": [{"member": {"reference": "Practitioner/nurse"}}]})
        ward.put(plan)
        ward.read(SPO2, 85, "2026-11-20")
        assert len(ward.messages("Practitioner/nurse")) == 1

    def test_a_care_team_known_by_its_identifier_alone(self, ward):
        team = {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.102", "value": "4208723"}}
        ward.plan(*YELLOW_RED, careTeam=[team])
        ward.read(SPO2, 85, "2026-11-20")
        (message,) = [m for m in ward.found("Communication", patient="p") if team in m["recipient"]]
        assert message["priority"] == "asap"


class TestUnitsLeftOut:
    def unitless(self, **bounds):
        bare = target(WEIGHT, **bounds)
        for bound in bare["detailRange"].values():
            del bound["unit"], bound["system"], bound["code"]
        return bare

    def test_of_a_bound_cannot_be_guessed_from_the_reading(self, ward):
        ward.plan(self.unitless(high=100))
        ward.read(WEIGHT, 180, "2026-11-20", unit="[lb_av]")
        assert "grensen mangler enhet" in ward.flag()["code"]["text"]

    def test_of_a_score_is_a_plain_number(self, ward):
        ward.plan(self.unitless(high=20))
        ward.read(WEIGHT, 21, "2026-11-20", unit="{score}")
        assert ward.zones() == ["yellow"]

    def test_of_a_reading_is_said(self, ward):
        ward.plan(target(WEIGHT, high=100))
        ward.read(WEIGHT, None, "2026-11-20", valueQuantity={"value": 120})
        assert "målingen mangler enhet" in ward.flag()["code"]["text"]


class TestWords:
    @pytest.mark.parametrize(
        ("plan", "values", "nb", "en"),
        [
            (
                target(WEIGHT, high=2, kind="change", window="1 d"),
                (80, 83),
                "29463-7 83 kg er 3 kg høyere enn laveste siste 1 døgn, 80 kg; gul grense er 2 kg",
                "29463-7 83 kg is 3 kg higher than the lowest in the last 1 day, 80 kg; "
                "the yellow limit is 2 kg",
            ),
            (
                target(WEIGHT, high=5, unit="%", kind="relative", baseline="previous", percent=True),
                (80, 90),
                "29463-7 90 kg er 10 kg (12,5 %) høyere enn forrige måling, 80 kg; gul grense er 5 %",
                "29463-7 90 kg is 10 kg (12.5 %) higher than the previous reading, 80 kg; "
                "the yellow limit is 5 %",
            ),
            (
                target(SPO2, low=-4, kind="relative", baseline="goal", baselineValue="94 %"),
                (94, 88),
                "59408-5 88 % er 6 prosentpoeng lavere enn utgangsverdien, 94 %; "
                "gul grense er −4 prosentpoeng",
                "59408-5 88 % is 6 percentage points lower than the baseline, 94 %; "
                "the yellow limit is −4 percentage points",
            ),
        ],
    )
    def test_of_a_difference(self, ward, plan, values, nb, en):
        ward.plan(plan)
        measure = plan["measure"]["coding"][0]["code"]
        for hour, value in enumerate(values, 8):
            ward.read(measure, value, f"2026-11-20T{hour:02}:00:00+01:00")
        texts = [flag["code"] for flag in ward.flags() if zone_of(flag) != "technical"]
        assert [text["text"] for text in texts] == [nb]
        assert en in str(texts[0]["_text"])
