"""The published definitions agree with the code that reads and writes what they define."""

import json
from pathlib import Path

import profiles
from fhir_server.alerts import vocabulary
from fhir_server.alerts.plan_definition import AUTO_RESOLVE_URL
from profiles.structure import validate
from rules.plans.plan import ZONE_URL
from rules.plans.threshold import PARTS, THRESHOLD_URL

PUBLISHED = Path(profiles.__file__).parent / "published"


def published(name):
    return json.loads((PUBLISHED / f"{name}.json").read_text())


def test_every_published_resource_is_structurally_valid():
    files = sorted(PUBLISHED.glob("*.json"))
    assert files
    for file in files:
        assert not validate(json.loads(file.read_text())), file.name


def test_the_threshold_extension_has_exactly_the_parts_that_are_read():
    definition = published("StructureDefinition-dho-threshold")
    slices = [e["sliceName"] for e in definition["differential"]["element"] if "sliceName" in e]
    assert slices == list(PARTS)
    assert definition["url"] == THRESHOLD_URL


def test_urls_and_codes_are_those_that_alerts_carry():
    assert published("StructureDefinition-dho-zone")["url"] == ZONE_URL
    assert published("StructureDefinition-dho-auto-resolve")["url"] == AUTO_RESOLVE_URL
    assert published("StructureDefinition-dho-explanation")["url"] == vocabulary.EXPLANATION_URL
    assert published("StructureDefinition-dho-severity")["url"] == vocabulary.SEVERITY_URL
    for codings in (vocabulary.CATEGORIES, vocabulary.ZONE_CODINGS, vocabulary.VKP_SEVERITY):
        for coding in codings.values():
            system = published(f"CodeSystem-{coding['system'].rsplit('/', 1)[1]}")
            assert {"code": coding["code"], "display": coding["display"]}.items() <= next(
                c.items() for c in system["concept"] if c["code"] == coding["code"]
            )
