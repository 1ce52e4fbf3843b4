"""Snapshots: what a chain of differentials comes to, element by element, and how it is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from profiles.conformance import Profiles
from profiles.definitions import load
from profiles.snapshot import snapshot

HL7 = "http://hl7.org/fhir/StructureDefinition/"


@pytest.fixture(scope="module")
def profiles():
    return Profiles()


def elements(profiles, name):
    return {e["id"]: e for e in snapshot(profiles.profile(HL7 + name), profiles.definitions)}


def test_a_snapshot_joins_the_type_and_the_chain_of_profiles(profiles):
    found = elements(profiles, "bodytemp")
    assert next(iter(found)) == "Observation"
    assert found["Observation.subject"]["min"] == 1  # of vitalsigns, from which it derives
    assert (
        found["Observation.code.coding:BodyTempCode"] | {"sliceName": "BodyTempCode", "min": 1}
        == (found["Observation.code.coding:BodyTempCode"])
    )
    assert found["Observation.code.coding:BodyTempCode.code"]["fixedCode"] == "8310-5"
    assert (
        found["Observation.note"] | {"min": 0, "max": "*", "type": [{"code": "Annotation"}]}
        == (found["Observation.note"])
    )
    (rule,) = [c for c in found["Observation"]["constraint"] if c["key"] == "vs-2"]
    assert rule["source"] == HL7 + "vitalsigns"


def test_the_elements_come_in_the_order_of_the_type(profiles):
    own = [id_ for id_ in elements(profiles, "vitalsigns") if id_.count(".") == 1 and ":" not in id_]
    wanted = [e.name + "[x]" * e.choice for e in load().types["Observation"].elements.values()]
    assert [id_.partition(".")[2] for id_ in own] == wanted


@pytest.mark.skipif(
    not Path(os.environ.get("VARDE_R4_PACKAGE", "-")).is_dir(),
    reason="VARDE_R4_PACKAGE does not name the unpacked hl7.fhir.r4.core package",
)
def test_the_snapshots_of_the_core_package_are_ours(profiles):
    same = differing = 0
    for file in Path(os.environ["VARDE_R4_PACKAGE"]).glob("StructureDefinition-*.json"):
        published = json.loads(file.read_text("utf-8"))
        if published["url"] in profiles.definitions.profiles and "snapshot" in published:
            ours = {e["id"]: e for e in snapshot(profiles.profile(published["url"]), profiles.definitions)}
            theirs = published["snapshot"]["element"][1:]
            good = all(
                e["id"] in ours and (e["min"], e["max"]) == (ours[e["id"]]["min"], ours[e["id"]]["max"])
                for e in theirs
            )
            same, differing = same + good, differing + (not good)
    assert same > 400
    assert differing < 10


def test_our_own_profiles_make_sense(profiles):
    assert len(load().published) >= 5
    for url in load().published:
        assert profiles.check(url)


def test_a_profile_is_shown():
    shown = CliRunner().invoke(app, ["profile", "show", "bodytemp"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "fixedCode 8310-5" in shown.output
    assert "dho-zone" in CliRunner().invoke(app, ["profile", "list"]).output
    missing = CliRunner().invoke(app, ["profile", "show", "nobodys"])
    assert missing.exit_code == 1


def test_what_our_own_profiles_ask_is_shown_in_words():
    shown = CliRunner().invoke(app, ["profile", "show", "dho-goal"], env={"COLUMNS": "200"}).output
    assert "Goal.target.detail[x]" in shown
    assert "What is normal" in shown
    assert "dho-goal-4: The low bound is not above the high one" in shown
