"""The synthetic service: nobody's identity, valid resources, the same by the same seed."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.demo.measures import MEASURES
from fhir_server.demo.people import (
    PROGRAMMES,
    check_digits,
    national_identity_number,
    organisation_number,
    people,
    service_resources,
)
from fhir_server.demo.plans import THRESHOLD, ZONE, thresholds
from fhir_server.demo.readings import device_kinds, readings
from fhir_server.demo.service import links, patient_bundle, service_bundle, stream
from rules.plans import make_rules, read_plan
from terminology import ucum
from terminology.measures import same_measure

END = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)  # two days after daylight saving began
DAYS = 21
ENCODE = msgspec.json.Encoder(decimal_format="number").encode


def response(bundle):
    """What a server answers to a transaction, as far as links() reads it."""
    return {
        "entry": [
            {"response": {"location": f"{entry['request']['url']}/{n}/_history/1"}}
            for n, entry in enumerate(bundle["entry"])
        ]
    }


def everything(count=12, seed=7, days=DAYS):
    """All resources that the demo would send."""
    everybody = people(count, seed)
    bundles = [patient_bundle(person, date(2026, 3, 1)) for person in everybody]
    references = {p.index: links(p, response(b)) for p, b in zip(everybody, bundles, strict=True)}
    found = list(stream(everybody, days, END, references))
    return [service_bundle(), *bundles], found


@pytest.mark.parametrize("number", ["10915596784"])  # the README of navikt/fnrvalidator: a Test-Norge number
def test_check_digits_agree_with_a_published_synthetic_number(number):
    assert check_digits(number[:9]) == number[9:]


@given(born=st.dates(date(1900, 1, 1), date(1999, 12, 31)), female=st.booleans(), serial=st.integers(0, 249))
@settings(deadline=None, max_examples=200)
def test_identity_numbers_are_synthetic_and_check(born, female, serial):
    number = national_identity_number(born, female, serial)
    if number is None:
        return
    assert re.fullmatch(r"\d{11}", number)
    assert 81 <= int(number[2:4]) <= 92  # no living person's month
    assert int(number[8]) % 2 == (not female)
    for weights in ((3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)):
        assert sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True)) % 11 == 0


def test_identity_numbers_are_not_shared():
    assert len({person.number for person in people(3000, 1)}) == 3000


@pytest.mark.parametrize("serial", range(40))
def test_organisation_numbers_check_and_are_nobodys(serial):
    number = organisation_number(serial)
    assert number[0] == "3"
    weights = (3, 2, 7, 6, 5, 4, 3, 2, 1)
    assert sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True)) % 11 == 0


def test_the_same_seed_gives_the_same_service_and_another_seed_another():
    assert ENCODE([everything()[0], [r.resource for r in everything()[1]]]) == ENCODE(
        [everything()[0], [r.resource for r in everything()[1]]]
    )
    assert ENCODE(everything(seed=7)[0]) != ENCODE(everything(seed=8)[0])


def test_more_people_leave_the_first_ones_as_they_were():
    assert people(30, 7)[:10] == people(10, 7)


def test_programmes_take_turns_and_languages_mix():
    everybody = people(50, 7)
    assert Counter(p.programme for p in everybody).keys() == set(PROGRAMMES)
    assert {"nb", "nn", "se", "en"} <= {language for p in people(200, 7) for language in p.languages}


def test_every_resource_is_valid_r4_by_an_independent_model():
    bundles, found = everything()
    resources = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    resources += bundles + [reading.resource for reading in found]
    for resource in resources:
        kind = resource["resourceType"]
        model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
        model.model_validate(resource)


def test_every_resource_is_valid_by_our_own_structure_check():
    validate = pytest.importorskip("profiles.structure").validate
    bundles, found = everything()
    resources = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    for resource in resources + [reading.resource for reading in found]:
        errors = [p for p in validate(resource) if p.severity in ("error", "fatal")]
        assert not errors, (resource["resourceType"], errors)


def test_references_within_a_bundle_resolve():
    for bundle in everything()[0]:
        known = {entry.get("fullUrl") for entry in bundle["entry"]}
        text = ENCODE(bundle).decode()
        assert set(re.findall(r'"reference":"(urn:uuid:[^"]+)"', text)) <= known
    plans = [e["resource"] for b in everything()[0] for e in b["entry"] if "goal" in e["resource"]]
    kinds = {goal["reference"][0] for plan in plans for goal in plan["goal"]}
    assert kinds == {"#", "u"}  # contained goals and goals of their own
    for plan in plans:
        inside = {f"#{goal['id']}" for goal in plan.get("contained", ())}
        assert {g["reference"] for g in plan["goal"] if g["reference"][0] == "#"} == inside


def test_practitioners_teams_and_organisations_that_are_referred_to_exist():
    known = {f"{r['resourceType']}/{r['id']}" for r in service_resources()}
    text = ENCODE(everything()[0]).decode()
    assert set(re.findall(r'"reference":"((?:Practitioner|CareTeam|Organization)/[^"]+)"', text)) <= known


def test_thresholds_say_all_that_the_extension_can_say():
    bundles, _ = everything()
    text = ENCODE(bundles).decode()
    parts = ("ruleId", "zone", "kind", "lowInclusive", "highInclusive", "component", "baseline")
    parts += ("baselineValue", "percent", "window", "n", "m", "autoResolve")
    for part in parts:
        assert f'"url":"{part}"' in text, part
    assert {t.kind for p in people(3, 7) for t in thresholds(p)} == {
        "absolute",
        "relative",
        "change",
        "persistence",
    }
    assert text.count(THRESHOLD) > 50
    assert text.count(ZONE) == 12 * 3


def test_each_patient_reads_what_to_do_in_every_zone_and_red_names_113():
    for bundle in everything()[0][1:]:
        (plan,) = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan")
        zones = {a["extension"][0]["valueCode"]: a["detail"] for a in plan["activity"] if "extension" in a}
        assert zones.keys() == {"green", "yellow", "red"}
        red = zones["red"]
        texts = [red["description"]] + [
            e["extension"][1]["valueString"] for e in red["_description"]["extension"]
        ]
        assert len(texts) == 3
        assert all("113" in text and "116 117" in text for text in texts)


def test_readings_come_in_order_end_now_and_carry_the_offset_of_oslo():
    _, found = everything()
    moments = [reading.moment for reading in found]
    assert moments == sorted(moments)
    assert moments[-1] <= END
    assert (END - moments[-1]).total_seconds() < 12 * 3600
    stamps = [reading.resource["effectiveDateTime"] for reading in found]
    assert {stamp[-6:] for stamp in stamps} == {"+01:00", "+02:00"}
    for reading in found:
        assert datetime.fromisoformat(reading.resource["effectiveDateTime"]) == reading.moment


def test_values_are_written_as_the_equipment_shows_them():
    _, found = everything()
    for reading in found:
        resource = reading.resource
        parts = resource.get("component", [resource])
        for part in parts:
            value, code = part["valueQuantity"]["value"], part["valueQuantity"]["code"]
            if code in ("%", "/min", "mm[Hg]", "mg/dL"):
                assert type(value) is int
            else:
                assert isinstance(value, Decimal)
                assert -value.as_tuple().exponent == 1


def test_values_are_those_of_living_people():
    plausible = {"%": (75, 99), "/min": (40, 140), "mm[Hg]": (40, 200), "Cel": (35.5, 40.5), "kg": (55, 110)}
    plausible |= {"mmol/L": (2, 22), "[lb_av]": (120, 250), "mg/dL": (40, 400)}
    _, found = everything(count=60, days=30)
    for reading in found:
        for part in reading.resource.get("component", [reading.resource]):
            value = part["valueQuantity"]
            low, high = plausible[value["code"]]
            assert low <= value["value"] <= high, value


def outside(person, days):
    """The zones of the absolute thresholds that this person's readings are outside of, one per reading."""
    rules = [t for t in thresholds(person) if t.kind == "absolute"]
    refs = dict.fromkeys(("patient", *device_kinds(person)), "X/1")
    for reading in readings(person, days, END, refs):
        text = reading.resource["code"]["text"]
        zones = set()
        for rule in rules:
            if MEASURES[rule.measure].text != text:
                continue
            parts = reading.resource.get("component", [reading.resource])
            name = MEASURES[rule.component or rule.measure].text
            value = next(p["valueQuantity"]["value"] for p in parts if p["code"]["text"] == name)
            if (rule.low and value < Decimal(rule.low)) or (rule.high and value > Decimal(rule.high)):
                zones.add(rule.zone)
        yield "red" if "red" in zones else "yellow" if zones else "green"


def test_a_modest_share_of_readings_is_outside():
    zones = Counter(zone for person in people(50, 7) for zone in outside(person, DAYS))
    total = zones.total()
    assert 0.01 < zones["yellow"] / total < 0.10, zones
    assert 0.003 < zones["red"] / total < 0.05, zones


@pytest.mark.parametrize("seed", range(8))
def test_even_the_smallest_service_has_yellow_and_red(seed):
    zones = Counter(zone for person in people(3, seed) for zone in outside(person, 4))
    assert zones["yellow"]
    assert zones["red"]


@pytest.mark.parametrize("index", range(30))
def test_plans_compile_to_rules_without_a_complaint(index):
    person = people(30, 7)[index]
    bundle = patient_bundle(person, date(2026, 3, 1))
    entries = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    (plan,) = (r for r in entries.values() if r["resourceType"] == "CarePlan")
    compiled = read_plan({**plan, "id": "1"}, lambda ref: entries.get(ref["reference"]), same_measure)
    rules, problems = make_rules([compiled], ucum)
    assert not problems
    assert len(rules) >= 3
    assert sum(len(rule.zones) for rule in rules) == len(thresholds(person))
    assert compiled.advice.keys() == {"green", "yellow", "red"}
    assert {"", "nb", "nn", "en"} <= compiled.advice["red"].keys()
