"""What a terminology client asks beyond the usual, on both stores: names, dependencies, dates, capabilities."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.test_http_terminology import (
    ANIMALS,
    MAMMALS,
    MAP,
    SET,
    SYSTEM,
    codes,
    displays,
    matches,
    parameters,
    tx,
    value,
)

assert tx  # the fixture
SOUNDS = "http://varde.test/CodeSystem/sounds"


def put(fhir: Any, resource: dict[str, Any]) -> None:
    answer = fhir.put(f"/{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in (200, 201), answer.text


# Value sets that a code system defines by naming them: https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.valueSet


def test_the_value_set_that_a_code_system_names_is_all_of_its_codes(tx: Any) -> None:
    every = "http://varde.test/ValueSet/all-animals"
    assert tx.get(f"/ValueSet/$expand?url={every}").status_code == 404
    put(tx, ANIMALS | {"valueSet": every})
    assert codes(tx.get(f"/ValueSet/$expand?url={every}")) == ["mammal", "cat", "whale", "aurochs", "wren"]
    asked = f"/ValueSet/$validate-code?url={every}&system={SYSTEM}&code="
    assert value(tx.get(f"{asked}wren"), "result") is True
    assert value(tx.get(f"{asked}dragon"), "result") is False
    assert tx.get(f"/ValueSet/$expand?url={every}|2").status_code == 404
    taken_in = {
        "resourceType": "ValueSet",
        "status": "active",
        "compose": {"include": [{"valueSet": [every]}]},
    }
    assert "wren" in codes(tx.post("/ValueSet/$expand", taken_in))
    reading = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": SYSTEM, "code": "wren"}]},
    }
    assert tx.post("/Observation", reading).status_code == 201
    assert tx.get(f"/Observation?code:in={every}&_summary=count").json()["total"] == 1


# $lookup and $validate-code


def test_lookup_of_designations_in_a_language(tx: Any) -> None:
    def told(properties: str) -> list[str]:
        answer = tx.get(f"/CodeSystem/animals/$lookup?code=cat&{properties}").json()["parameter"]
        found = [{p["name"]: p for p in part["part"]} for part in answer if part["name"] == "designation"]
        return [each["value"]["valueString"] for each in found]

    assert told("property=lang.nn") == ["Katt på nynorsk"]
    assert told("property=lang.nn&property=lang.nb") == ["Katt på bokmål", "Katt på nynorsk"]
    assert told("property=legs") == []
    assert len(told("property=*")) == len(told("")) == 3


def test_a_code_is_validated_in_a_code_system_by_its_id(tx: Any) -> None:
    assert value(tx.get("/CodeSystem/animals/$validate-code?code=cat&display=Cat"), "result") is True
    assert value(tx.get("/CodeSystem/animals/$validate-code?code=dragon"), "result") is False
    sent = {
        "resourceType": "CodeSystem",
        "url": "http://varde.test/new",
        "status": "draft",
        "content": "complete",
        "concept": [{"code": "x"}],
    }
    body = parameters(codeSystem=("resource", sent), code=("valueCode", "x"))
    assert value(tx.post("/CodeSystem/$validate-code", body), "result") is True


@pytest.mark.parametrize(
    "language,display,right",
    [
        ("nb", "Kval", True),  # what an expansion in bokmål shows where there is only nynorsk
        ("nn", "Kval", True),
        ("nb", "Whale", True),
        ("nb", "Hval", False),
        ("nb, *;q=0", "Kval", False),
        ("de", "Kval", False),
    ],
)
def test_the_display_that_was_shown_is_right(tx: Any, language: str, display: str, right: bool) -> None:
    path = f"/ValueSet/mammals/$validate-code?system={SYSTEM}&code=whale&display={display}"
    assert value(tx.get(f"{path}&displayLanguage={quote(language)}"), "result") is right
    assert value(tx.get(path, accept_language=language), "result") is right


def test_where_both_languages_are_there_one_is_not_the_other(tx: Any) -> None:
    path = f"/ValueSet/mammals/$validate-code?system={SYSTEM}&code=cat&displayLanguage=nb&display="
    assert value(tx.get(path + quote("Katt på nynorsk")), "result") is False
    assert value(tx.get(path + quote("Katt på bokmål")), "result") is True


def test_expand_gives_the_properties_that_follow_from_the_hierarchy(tx: Any) -> None:
    asked = "/ValueSet/mammals/$expand?excludeNested=true&property=parent&property=inactive&property=child"
    contains = tx.get(asked).json()["expansion"]["contains"]
    said = {
        item["code"]: [
            tuple(next(v for k, v in part.items() if k.startswith("value")) for part in each["extension"])
            for each in item["extension"]
        ]
        for item in contains
    }
    assert said["cat"] == [("parent", "mammal"), ("inactive", False)]
    assert said["mammal"] == [("child", "cat"), ("child", "whale"), ("child", "aurochs"), ("inactive", False)]
    assert ("inactive", True) in said["aurochs"]


# Definitions as they were, or as an element means them, are not known


@pytest.mark.parametrize(
    "path",
    [
        "/ValueSet/mammals/$expand?",
        f"/ValueSet/mammals/$validate-code?system={SYSTEM}&code=cat&",
        "/CodeSystem/animals/$lookup?code=cat&",
    ],
)
def test_what_was_on_a_day_that_is_past_is_not_answered_with_what_is(tx: Any, path: str) -> None:
    assert tx.get(f"{path}date=2020-02-29").status_code == 400
    assert tx.get(f"{path}date=2020").json()["issue"][0]["code"] == "not-supported"
    assert tx.get(f"{path}date=yesterday").status_code == 400
    assert tx.get(f"{path}date=2999-01-01").status_code == 200
    assert tx.get(f"{path}context=Observation.code").status_code == 400


# $translate


def test_translate_back_is_found_without_naming_the_map(tx: Any) -> None:
    path = f"/ConceptMap/$translate?system={SOUNDS}&code=meow&reverse="
    assert matches(tx.get(f"{path}true")) == [("equivalent", "cat")]
    assert matches(tx.get(f"{path}true&targetsystem={SYSTEM}")) == [("equivalent", "cat")]
    assert matches(tx.get(f"{path}true&targetsystem=http://varde.test/other")) == []
    assert matches(tx.get(f"{path}false")) == []
    assert tx.get(f"{path}perhaps").status_code == 400


def test_translate_by_a_version_of_the_map(tx: Any) -> None:
    put(tx, MAP | {"version": "1"})
    path = f"/ConceptMap/$translate?system={SYSTEM}&code=cat&url={MAP['url']}"
    assert matches(tx.get(f"{path}|1")) == matches(tx.get(f"{path}&conceptMapVersion=1")) != []
    unknown = tx.get(f"{path}|2")
    assert unknown.status_code == 404 and "concept map" in unknown.text
    assert tx.get("/ConceptMap/$translate?code=cat").status_code == 400


def test_translate_of_a_version_of_the_code_system(tx: Any) -> None:
    group = MAP["group"][0] | {"sourceVersion": "1"}  # type: ignore[index]
    put(tx, MAP | {"group": [group]})
    path = f"/ConceptMap/sounds/$translate?system={SYSTEM}&code=cat"
    assert matches(tx.get(f"{path}&version=1")) == matches(tx.get(path)) == [("equivalent", "meow")]
    assert matches(tx.get(f"{path}&version=2")) == []


def test_a_mapping_that_depends_on_something_needs_it(tx: Any) -> None:
    """https://hl7.org/fhir/R4/conceptmap-definitions.html#ConceptMap.group.element.target.dependsOn"""
    size = "http://varde.test/size"
    big = [{"property": size, "system": "http://varde.test/sizes", "value": "big"}]
    loud = [{"property": "http://varde.test/volume", "system": "http://varde.test/volumes", "value": "loud"}]
    target = {"code": "roar", "equivalence": "equivalent", "dependsOn": big, "product": loud}
    element = {"code": "cat", "target": [target, {"code": "meow", "equivalence": "relatedto"}]}
    put(tx, MAP | {"group": [{"source": SYSTEM, "target": SOUNDS, "element": [element]}]})

    def asked(*dependencies: dict[str, Any]) -> Any:
        body = parameters(system=("valueUri", SYSTEM), code=("valueCode", "cat"))
        body["parameter"] += [
            {
                "name": "dependency",
                "part": [
                    {"name": "element", "valueUri": size},
                    {"name": "concept", "valueCodeableConcept": each},
                ],
            }
            for each in dependencies
        ]
        return tx.post("/ConceptMap/$translate", body)

    def sized(code: str, system: str = "http://varde.test/sizes") -> dict[str, Any]:
        return {"coding": [{"system": system, "code": code}]}

    without = asked()
    assert matches(without) == [("relatedto", "meow")] and size in value(without, "message")
    assert matches(asked(sized("small"))) == [("relatedto", "meow")]
    assert matches(asked(sized("big", "http://varde.test/other"))) == [("relatedto", "meow")]
    given = asked(sized("big"))
    assert matches(given) == [("equivalent", "roar"), ("relatedto", "meow")]
    (product,) = [p for p in given.json()["parameter"][1]["part"] if p["name"] == "product"]
    assert product["part"][1]["valueCoding"]["code"] == "loud"
    assert (
        tx.post("/ConceptMap/$translate", parameters(code="cat", system=SYSTEM, dependency="x")).status_code
        == 400
    )


# NamingSystem/$preferred-id

NAMES = {
    "resourceType": "NamingSystem",
    "id": "animals",
    "name": "Animals",
    "status": "active",
    "kind": "codesystem",
    "date": "2026-01-01",
    "uniqueId": [
        {"type": "oid", "value": "2.16.578.1.12.1", "period": {"end": "2001-12"}},
        {"type": "oid", "value": "2.16.578.1.12"},
        {"type": "uri", "value": "http://varde.test/old"},
        {"type": "uri", "value": SYSTEM, "preferred": True},
        {"type": "other", "value": "ANI"},
    ],
}


@pytest.mark.parametrize(
    "given,type_,result",
    [
        ("2.16.578.1.12", "uri", SYSTEM),
        ("urn:oid:2.16.578.1.12", "uri", SYSTEM),
        ("http://varde.test/old", "uri", SYSTEM),
        ("ANI", "oid", "2.16.578.1.12"),
        (SYSTEM, "other", "ANI"),
    ],
)
def test_preferred_id(tx: Any, given: str, type_: str, result: str) -> None:
    put(tx, NAMES)
    assert value(tx.get(f"/NamingSystem/$preferred-id?id={given}&type={type_}"), "result") == result
    body = parameters(id=given, type=("valueCode", type_))
    assert value(tx.post("/NamingSystem/$preferred-id", body), "result") == result


def test_a_preferred_id_on_a_day(tx: Any) -> None:
    put(tx, NAMES)
    path = "/NamingSystem/$preferred-id?id=ANI&type=oid"
    assert value(tx.get(f"{path}&date=2001-12-31"), "result") == "2.16.578.1.12.1"
    assert value(tx.get(f"{path}&date=2002-01-01"), "result") == "2.16.578.1.12"


def test_a_preferred_id_that_cannot_be_told(tx: Any) -> None:
    put(tx, NAMES)
    path = "/NamingSystem/$preferred-id"
    assert tx.get(f"{path}?id=ANI&type=uuid").status_code == 404
    assert tx.get(f"{path}?id=BEE&type=uri").status_code == 404
    assert tx.get(f"{path}?id=ANI&type=isbn").status_code == 400
    assert tx.get(f"{path}?id=ANI").status_code == 400
    assert tx.get(f"{path}?type=uri").status_code == 400
    put(tx, NAMES | {"id": "others", "name": "Others", "uniqueId": [NAMES["uniqueId"][4]]})  # type: ignore[index]
    several = tx.get(f"{path}?id=ANI&type=uri")
    assert several.status_code == 422 and several.json()["issue"][0]["code"] == "multiple-matches"


# TerminologyCapabilities


def test_the_capabilities_say_which_systems_and_what_can_be_asked_of_them(tx: Any) -> None:
    statement = tx.get("/metadata?mode=terminology").json()
    systems = {system["uri"]: system for system in statement["codeSystem"]}
    assert {"http://hl7.org/fhir/observation-status", "http://unitsofmeasure.org", SYSTEM} <= systems.keys()
    (version,) = systems[SYSTEM]["version"]
    assert version["code"] == "1" and version["isDefault"] and version["language"] == ["en"]
    assert version["property"] == ["legs", "notSelectable", "status"]
    filters = {each["code"]: each["op"] for each in version["filter"]}
    assert "is-a" in filters["concept"] and "exists" in filters["legs"]
    assert systems[SYSTEM]["subsumption"] and not systems["http://unitsofmeasure.org"]["subsumption"]
    put(tx, ANIMALS | {"id": "later", "version": "10"})
    systems = {s["uri"]: s for s in tx.get("/metadata?mode=terminology").json()["codeSystem"]}
    assert {v["code"]: v["isDefault"] for v in systems[SYSTEM]["version"]} == {"1": False, "10": True}
    assert tx.post("/TerminologyCapabilities/$validate", statement).json()["issue"][0]["severity"] != "error"
    few = tx.get("/metadata?mode=terminology&_elements=codeSearch").json()
    assert "codeSystem" not in few and few["codeSearch"] == "explicit"


# A version that is none of them, on both roads


def test_versions_of_value_sets_and_of_what_they_take_in(tx: Any) -> None:
    first = {
        "resourceType": "ValueSet",
        "id": "v1",
        "url": "http://varde.test/ValueSet/v",
        "version": "1",
        "status": "active",
        "compose": {"include": [{"system": SYSTEM, "concept": [{"code": "cat"}]}]},
    }
    second = first | {
        "id": "v2",
        "version": "2",
        "compose": {"include": [{"system": SYSTEM, "concept": [{"code": "wren"}]}]},
    }
    outer = first | {
        "id": "outer",
        "url": "http://varde.test/ValueSet/outer",
        "compose": {"include": [{"valueSet": [first["url"]]}]},
    }
    for resource in (first, second, outer):
        put(tx, resource)
    path, url = "/ValueSet/outer/$expand", first["url"]
    assert codes(tx.get(path)) == ["wren"]
    assert codes(tx.get(f"{path}?default-valueset-version={url}|1")) == ["cat"]
    assert codes(tx.get(f"{path}?force-valueset-version={url}|1")) == ["cat"]
    assert codes(tx.get(f"/ValueSet/$expand?url={url}&valueSetVersion=1")) == ["cat"]
    assert tx.get(f"{path}?default-valueset-version={url}|3").status_code == 422
    asked = f"/ValueSet/$validate-code?url={url}&system={SYSTEM}&code=cat"
    assert value(tx.get(f"{asked}&valueSetVersion=1"), "result") is True
    assert value(tx.get(f"{asked}&valueSetVersion=2"), "result") is False
    assert tx.get(f"{asked}&valueSetVersion=3").status_code == 404
    assert displays(tx.get(f"/ValueSet/$expand?url={SET}&excludeNested=true&displayLanguage=nb"))["cat"]


def test_a_value_set_that_changes_or_goes_is_seen_by_the_next_search(tx: Any) -> None:
    """What is remembered of the store is remembered by content."""
    url = "http://varde.test/ValueSet/changing"

    def of(*listed: str) -> dict[str, Any]:
        include = {"system": SYSTEM, "concept": [{"code": code} for code in listed]}
        return MAMMALS | {"id": "changing", "url": url, "compose": {"include": [include]}}

    def found(modifier: str) -> int:
        answer = tx.get(f"/Observation?code:{modifier}={url}&_summary=count")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    for code in ("cat", "wren"):
        coded = {"coding": [{"system": SYSTEM, "code": code}]}
        reading = {"resourceType": "Observation", "status": "final", "code": coded}
        assert tx.post("/Observation", reading).status_code == 201
    for listed, total in (("cat",), 1), (("whale",), 0), (("cat", "wren"), 2), (("cat",), 1):
        put(tx, of(*listed))
        assert (found("in"), found("not-in")) == (total, 2 - total)
    put(tx, MAMMALS | {"id": "changing", "url": url})
    assert found("in") == 1
    put(tx, ANIMALS | {"concept": [{"code": "mammal", "concept": [{"code": "cat"}, {"code": "wren"}]}]})
    assert found("in") == 2
    assert tx.delete("/ValueSet/changing").status_code == 204
    assert tx.get(f"/Observation?code:in={url}").status_code == 400
    assert tx.get(f"/ValueSet/$expand?url={url}").status_code == 404
