"""https://hl7.org/fhir/R4/terminology-service.html over HTTP, from stored resources, on both stores."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from fhir_server import vocabulary

SYSTEM = "http://varde.test/CodeSystem/animals"
SET = "http://varde.test/ValueSet/mammals"
ANIMALS = {
    "resourceType": "CodeSystem",
    "id": "animals",
    "url": SYSTEM,
    "version": "1",
    "name": "Animals",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "language": "en",
    "property": [
        {"code": "legs", "type": "integer"},
        {
            "code": "notSelectable",
            "uri": "http://hl7.org/fhir/concept-properties#notSelectable",
            "type": "boolean",
        },
        {"code": "status", "uri": "http://hl7.org/fhir/concept-properties#status", "type": "code"},
    ],
    "concept": [
        {
            "code": "mammal",
            "display": "Mammal",
            "property": [{"code": "notSelectable", "valueBoolean": True}],
            "concept": [
                {
                    "code": "cat",
                    "display": "Cat",
                    "definition": "It purrs",
                    "designation": [
                        {"language": "nb", "value": "Katt på bokmål"},
                        {"language": "nn", "value": "Katt på nynorsk"},
                    ],
                    "property": [{"code": "legs", "valueInteger": 4}],
                },
                {"code": "whale", "display": "Whale", "designation": [{"language": "nn", "value": "Kval"}]},
                {
                    "code": "aurochs",
                    "display": "Aurochs",
                    "property": [{"code": "status", "valueCode": "retired"}],
                },
            ],
        },
        {"code": "wren", "display": "Wren", "property": [{"code": "legs", "valueInteger": 2}]},
    ],
}
MAMMALS = {
    "resourceType": "ValueSet",
    "id": "mammals",
    "url": SET,
    "status": "active",
    "compose": {
        "include": [{"system": SYSTEM, "filter": [{"property": "concept", "op": "is-a", "value": "mammal"}]}]
    },
}
MAP = {
    "resourceType": "ConceptMap",
    "id": "sounds",
    "url": "http://varde.test/ConceptMap/sounds",
    "status": "active",
    "group": [
        {
            "source": SYSTEM,
            "target": "http://varde.test/CodeSystem/sounds",
            "element": [
                {"code": "cat", "target": [{"code": "meow", "equivalence": "equivalent"}]},
                {"code": "whale", "target": [{"code": "song", "equivalence": "wider"}]},
                {"code": "aurochs", "target": [{"equivalence": "unmatched"}]},
            ],
            "unmapped": {"mode": "fixed", "code": "noise"},
        }
    ],
}


@pytest.fixture
def tx(fhir: Any) -> Any:
    for resource in (ANIMALS, MAMMALS, MAP):
        assert fhir.put(f"/{resource['resourceType']}/{resource['id']}", resource).status_code == 201
    return fhir


def parameters(**values: Any) -> dict[str, Any]:
    """A Parameters resource; `code=("valueCode", "cat")`, or text for valueString."""
    parts = []
    for name, value in values.items():
        key, content = value if isinstance(value, tuple) else ("valueString", value)
        parts.append({"name": name, key: content})
    return {"resourceType": "Parameters", "parameter": parts} if parts else {"resourceType": "Parameters"}


def value(answer: Any, name: str) -> Any:
    assert answer.status_code == 200, answer.text
    found = [part for part in answer.json()["parameter"] if part["name"] == name]
    return next((v for part in found for k, v in part.items() if k.startswith("value")), None)


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    out, waiting = [], list(answer.json()["expansion"].get("contains", []))
    while waiting:
        item = waiting.pop(0)
        out.append(item["code"])
        waiting = [*item.get("contains", []), *waiting]
    return out


def displays(answer: Any) -> dict[str, str | None]:
    assert answer.status_code == 200, answer.text
    return {item["code"]: item.get("display") for item in answer.json()["expansion"]["contains"]}


def test_expand_by_url_by_id_and_of_what_is_sent(tx: Any) -> None:
    expected = ["mammal", "cat", "whale", "aurochs"]
    assert codes(tx.get(f"/ValueSet/$expand?url={quote(SET)}")) == expected
    assert codes(tx.get("/ValueSet/mammals/$expand")) == expected
    assert codes(tx.post("/ValueSet/mammals/$expand", parameters())) == expected
    assert codes(tx.post("/ValueSet/$expand", parameters(url=("valueUri", SET)))) == expected
    assert codes(tx.post("/ValueSet/$expand", MAMMALS)) == expected
    assert codes(tx.post("/ValueSet/$expand", parameters(valueSet=("resource", MAMMALS)))) == expected
    tree = tx.get("/ValueSet/mammals/$expand").json()["expansion"]
    assert tree["total"] == 4 and tree["contains"][0]["abstract"] and len(tree["contains"]) == 1


def test_expand_in_part(tx: Any) -> None:
    assert codes(tx.get("/ValueSet/mammals/$expand?offset=1&count=2")) == ["cat", "whale"]
    nothing = tx.get("/ValueSet/mammals/$expand?count=0")
    assert codes(nothing) == [] and nothing.json()["expansion"]["total"] == 4
    assert codes(tx.get("/ValueSet/mammals/$expand?filter=ca")) == ["cat"]
    assert codes(tx.get("/ValueSet/mammals/$expand?filter=nynorsk%20katt")) == ["cat"]
    assert codes(tx.get("/ValueSet/mammals/$expand?activeOnly=true")) == ["mammal", "cat", "whale"]
    assert codes(tx.get(f"/ValueSet/mammals/$expand?exclude-system={quote(SYSTEM)}")) == []
    flat = tx.get("/ValueSet/mammals/$expand?excludeNested=true").json()["expansion"]["contains"]
    assert [item["code"] for item in flat] == ["mammal", "cat", "whale", "aurochs"]


def test_expand_says_more_when_asked(tx: Any) -> None:
    asked = "/ValueSet/mammals/$expand?excludeNested=true&includeDesignations=true&includeDefinition=true&property=legs"
    answer = tx.get(asked).json()
    cat = answer["expansion"]["contains"][1]
    assert {"language": "nn", "value": "Katt på nynorsk"} in cat["designation"]
    assert answer["compose"] == MAMMALS["compose"]
    (legs,) = cat["extension"]
    assert {"url": "code", "valueCode": "legs"} in legs["extension"]
    assert {"url": "value", "valueInteger": 4} in legs["extension"]
    said = {part["name"] for part in answer["expansion"]["parameter"]}
    assert {"excludeNested", "includeDesignations", "includeDefinition", "used-codesystem"} <= said


@pytest.mark.parametrize(
    "language,cat,whale",
    [
        ("nb", "Katt på bokmål", "Kval"),
        ("nn", "Katt på nynorsk", "Kval"),
        ("nb-NO", "Katt på bokmål", "Kval"),
        ("en", "Cat", "Whale"),
        ("de", "Cat", "Whale"),
        ("de, nn;q=0.5", "Katt på nynorsk", "Kval"),
        ("nb, *;q=0", "Katt på bokmål", None),
    ],
)
def test_languages_of_norway_stand_in_for_each_other(tx: Any, language: str, cat: str, whale: str) -> None:
    path = "/ValueSet/mammals/$expand?excludeNested=true"
    by_parameter = displays(tx.get(f"{path}&displayLanguage={quote(language)}"))
    by_header = displays(tx.get(path, accept_language=language))
    assert (by_parameter["cat"], by_parameter["whale"]) == (cat, whale)
    assert by_header == by_parameter


def test_a_language_that_is_none_is_refused_but_not_in_a_header(tx: Any) -> None:
    assert tx.get("/ValueSet/mammals/$expand?displayLanguage=-").status_code == 400
    assert tx.get("/ValueSet/mammals/$expand", accept_language="-").status_code == 200


def test_validate_code(tx: Any) -> None:
    path = f"/ValueSet/$validate-code?url={quote(SET)}&system={quote(SYSTEM)}"
    good = tx.get(f"{path}&code=cat&display=Cat")
    assert value(good, "result") is True and value(good, "display") == "Cat"
    wrong = tx.get(f"{path}&code=cat&display=Dog")
    assert value(wrong, "result") is False and "'Cat' (en)" in value(wrong, "message")
    lenient = tx.get(f"{path}&code=cat&display=Dog&lenient-display-validation=true")
    assert value(lenient, "result") is True
    assert value(tx.get(f"{path}&code=wren"), "result") is False
    assert value(tx.get(f"{path}&code=dragon"), "result") is False
    retired = tx.get(f"{path}&code=aurochs")
    assert value(retired, "result") is True and value(retired, "inactive") is True
    assert value(tx.get(f"{path}&code=aurochs&activeOnly=true"), "result") is False
    assert value(tx.get(f"{path}&code=mammal&abstract=false"), "result") is False
    inferred = tx.get("/ValueSet/mammals/$validate-code?code=whale&inferSystem=true")
    assert value(inferred, "result") is True and value(inferred, "system") == SYSTEM


def test_validate_a_coding_and_a_concept(tx: Any) -> None:
    coding = {"system": SYSTEM, "code": "cat"}
    answer = tx.post("/ValueSet/mammals/$validate-code", parameters(coding=("valueCoding", coding)))
    assert value(answer, "result") is True
    concept = {"coding": [{"system": SYSTEM, "code": "wren"}, coding]}
    answer = tx.post(
        "/ValueSet/mammals/$validate-code", parameters(codeableConcept=("valueCodeableConcept", concept))
    )
    assert value(answer, "result") is True and value(answer, "code") == "cat"
    concept = {"coding": [{"system": SYSTEM, "code": "wren"}]}
    answer = tx.post(
        "/ValueSet/mammals/$validate-code", parameters(codeableConcept=("valueCodeableConcept", concept))
    )
    assert value(answer, "result") is False
    assert tx.get("/ValueSet/mammals/$validate-code?code=cat").status_code == 400


def test_validate_in_a_code_system(tx: Any) -> None:
    for path in (f"/CodeSystem/$validate-code?url={quote(SYSTEM)}&", "/CodeSystem/animals/$validate-code?"):
        answer = (
            tx.get(f"{path}code=wren&display=Wren")
            if "url" in path
            else tx.get(f"{path}system={SYSTEM}&code=wren")
        )
        assert value(answer, "result") is True
    assert value(tx.get(f"/CodeSystem/$validate-code?url={quote(SYSTEM)}&code=dragon"), "result") is False
    unknown = tx.get("/CodeSystem/$validate-code?url=http://nowhere.test&code=x")
    assert value(unknown, "result") is False and value(unknown, "x-unknown-system") == "http://nowhere.test"


def test_many_codes_at_once(tx: Any) -> None:
    one = {"coding": ("valueCoding", {"system": SYSTEM, "code": "cat"})}
    other = {"coding": ("valueCoding", {"system": SYSTEM, "code": "wren"})}
    body = parameters(url=("valueUri", SET))
    given = (one, other, {"code": "x"})
    body["parameter"] += [{"name": "validation", "resource": parameters(**each)} for each in given]
    answers = tx.post("/ValueSet/$batch-validate-code", body).json()["parameter"]
    found = [part["resource"] for part in answers]
    results = [
        next((p["valueBoolean"] for p in each.get("parameter", []) if p["name"] == "result"), None)
        for each in found
    ]
    assert results == [True, False, None] and found[2]["resourceType"] == "OperationOutcome"


def test_lookup(tx: Any) -> None:
    answer = tx.get(f"/CodeSystem/$lookup?system={quote(SYSTEM)}&code=cat&displayLanguage=nn")
    assert value(answer, "display") == "Katt på nynorsk" and value(answer, "name") == "Animals"
    properties = [p["part"] for p in answer.json()["parameter"] if p["name"] == "property"]
    said = {part[0]["valueCode"]: part[1] for part in properties}
    assert said["parent"]["valueCode"] == "mammal" and said["legs"]["valueInteger"] == 4
    some = tx.get("/CodeSystem/animals/$lookup?code=cat&property=legs").json()["parameter"]
    assert [p["part"][0]["valueCode"] for p in some if p["name"] == "property"] == ["legs"]
    coding = parameters(coding=("valueCoding", {"system": SYSTEM, "code": "wren"}))
    assert value(tx.post("/CodeSystem/$lookup", coding), "display") == "Wren"
    assert tx.get(f"/CodeSystem/$lookup?system={quote(SYSTEM)}&code=dragon").status_code == 404
    assert tx.get("/CodeSystem/$lookup?system=http://nowhere.test&code=x").status_code == 404
    assert tx.get(f"/CodeSystem/$lookup?system={quote(SYSTEM)}").status_code == 400


@pytest.mark.parametrize(
    "a,b,outcome",
    [
        ("mammal", "cat", "subsumes"),
        ("cat", "mammal", "subsumed-by"),
        ("cat", "cat", "equivalent"),
        ("cat", "whale", "not-subsumed"),
    ],
)
def test_subsumes(tx: Any, a: str, b: str, outcome: str) -> None:
    assert (
        value(tx.get(f"/CodeSystem/$subsumes?system={quote(SYSTEM)}&codeA={a}&codeB={b}"), "outcome")
        == outcome
    )
    assert value(tx.get(f"/CodeSystem/animals/$subsumes?codeA={a}&codeB={b}"), "outcome") == outcome
    codings = {
        f"coding{x}": ("valueCoding", {"system": SYSTEM, "code": code}) for x, code in (("A", a), ("B", b))
    }
    assert value(tx.post("/CodeSystem/$subsumes", parameters(**codings)), "outcome") == outcome


def test_subsumes_refuses_what_it_does_not_know(tx: Any) -> None:
    assert tx.get(f"/CodeSystem/$subsumes?system={quote(SYSTEM)}&codeA=cat&codeB=dragon").status_code == 404
    assert tx.get(f"/CodeSystem/$subsumes?system={quote(SYSTEM)}&codeA=cat").status_code == 400


def matches(answer: Any) -> list[tuple[str, str | None]]:
    assert answer.status_code == 200, answer.text
    found = []
    for part in answer.json()["parameter"]:
        if part["name"] == "match":
            parts = {p["name"]: p for p in part["part"]}
            found.append(
                (
                    parts["equivalence"]["valueCode"],
                    parts.get("concept", {}).get("valueCoding", {}).get("code"),
                )
            )
    return found


def test_translate(tx: Any) -> None:
    path = f"/ConceptMap/$translate?system={quote(SYSTEM)}&targetsystem=http://varde.test/CodeSystem/sounds"
    assert matches(tx.get(f"{path}&code=cat")) == [("equivalent", "meow")]
    assert matches(tx.get(f"{path}&code=cat&url={quote(MAP['url'])}")) == [("equivalent", "meow")]
    assert matches(tx.get(f"/ConceptMap/sounds/$translate?system={quote(SYSTEM)}&code=whale")) == [
        ("wider", "song")
    ]
    assert matches(tx.get(f"{path}&code=wren")) == [("relatedto", "noise")]
    assert value(tx.get(f"{path}&code=aurochs"), "result") is False
    back = "/ConceptMap/sounds/$translate?system=http://varde.test/CodeSystem/sounds&code=meow&reverse=true"
    assert matches(tx.get(back)) == [("equivalent", "cat")]
    coding = parameters(coding=("valueCoding", {"system": SYSTEM, "code": "cat"}))
    assert matches(tx.post("/ConceptMap/$translate", coding)) == [("equivalent", "meow")]
    assert tx.get("/ConceptMap/$translate?url=http://nowhere.test&code=x&system=y").status_code == 404
    assert tx.get("/ConceptMap/$translate").status_code == 400


def test_closure(tx: Any) -> None:
    def add(*codes: str, **more: Any) -> Any:
        body = parameters(name="mine", **more)
        body["parameter"] += [
            {"name": "concept", "valueCoding": {"system": SYSTEM, "code": code}} for code in codes
        ]
        return tx.post("/$closure", body)

    assert add("cat").status_code == 404
    first = add().json()
    assert first["resourceType"] == "ConceptMap" and "group" not in first
    assert "group" not in add("cat").json()
    news = add("mammal", "whale").json()
    pairs = [(e["code"], t["code"]) for e in news["group"][0]["element"] for t in e["target"]]
    assert sorted(pairs) == [("cat", "mammal"), ("whale", "mammal")]
    assert "group" not in add("whale").json()
    again = add(version=first["version"]).json()
    assert {(e["code"], t["code"]) for e in again["group"][0]["element"] for t in e["target"]} == set(pairs)
    assert add("dragon").status_code == 422
    assert add(version="99").status_code == 404
    assert tx.get("/$closure?name=mine").status_code == 405


def test_operations_in_a_batch_and_in_a_transaction(tx: Any) -> None:
    for kind in ("batch", "transaction"):
        entries = [
            {"request": {"method": "GET", "url": f"ValueSet/$expand?url={quote(SET)}"}},
            {
                "request": {"method": "POST", "url": "ValueSet/mammals/$validate-code"},
                "resource": parameters(coding=("valueCoding", {"system": SYSTEM, "code": "wren"})),
            },
        ]
        answer = tx.post("", {"resourceType": "Bundle", "type": kind, "entry": entries}).json()["entry"]
        assert answer[0]["resource"]["expansion"]["total"] == 4
        assert answer[1]["resource"]["resourceType"] == "Parameters"
    bad = [{"request": {"method": "GET", "url": "ValueSet/$expand?url=http://nowhere.test"}}]
    answer = tx.post("", {"resourceType": "Bundle", "type": "batch", "entry": bad}).json()["entry"][0][
        "response"
    ]
    assert answer["status"].startswith("404") and answer["outcome"]["issue"][0]["code"] == "not-found"


def test_a_new_version_is_answered_from_at_once(tx: Any) -> None:
    more = {**ANIMALS, "concept": [*ANIMALS["concept"], {"code": "dog", "display": "Dog", "property": []}]}
    more["concept"][-1].pop("property")
    more["concept"][-1]["property"] = [{"code": "parent", "valueCode": "mammal"}]
    assert tx.put("/CodeSystem/animals", more).status_code == 200
    assert "dog" in codes(tx.get("/ValueSet/mammals/$expand"))


def test_capabilities(tx: Any) -> None:
    statement = tx.get("/metadata?mode=terminology").json()
    assert statement["resourceType"] == "TerminologyCapabilities"
    versions = {s["uri"]: [v.get("code") for v in s["version"]] for s in statement["codeSystem"]}
    assert versions[SYSTEM] == ["1"]
    operations = {
        resource["type"]: {operation["name"] for operation in resource.get("operation", [])}
        for resource in tx.get("/metadata").json()["rest"][0]["resource"]
    }
    assert {"expand", "validate-code"} <= operations["ValueSet"]
    assert {"lookup", "subsumes", "validate-code"} <= operations["CodeSystem"]


# What FHIR, UCUM and others define without a resource.


def test_code_systems_of_fhir_itself(tx: Any) -> None:
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert codes(tx.get(f"/ValueSet/$expand?url={gender}")) == ["male", "female", "other", "unknown"]
    assert (
        value(
            tx.get("/CodeSystem/$lookup?system=http://hl7.org/fhir/observation-status&code=final"), "display"
        )
        == "Final"
    )


def test_units(tx: Any) -> None:
    ucum = "http://unitsofmeasure.org"
    for unit, right in (
        ("mm[Hg]", True),
        ("{score}", True),
        ("kg/m2", True),
        ("[pH]", True),
        ("MMHG", False),
        ("kgg", False),
    ):
        answer = tx.get(f"/CodeSystem/$validate-code?url={ucum}&code={quote(unit, safe='')}")
        assert value(answer, "result") is right, unit
    forms = [
        next(
            p["part"][1]["valueString"]
            for p in answer["parameter"]
            if p["name"] == "property" and p["part"][0]["valueCode"] == "canonical"
        )
        for unit in ("kPa", "mm[Hg]")
        for answer in [tx.get(f"/CodeSystem/$lookup?system={ucum}&code={quote(unit)}").json()]
    ]
    assert forms[0] == forms[1]
    assert value(tx.get(f"/ValueSet/$validate-code?url={ucum}/vs&system={ucum}&code=kg"), "result") is True
    refused = tx.get(f"/ValueSet/$expand?url={ucum}/vs")
    assert refused.status_code == 422 and refused.json()["issue"][0]["code"] == "not-supported"
    listed = {
        "resourceType": "ValueSet",
        "status": "active",
        "compose": {
            "include": [{"system": ucum, "concept": [{"code": "kg", "display": "kilo"}, {"code": "nounit!"}]}]
        },
    }
    assert displays(tx.post("/ValueSet/$expand", listed)) == {"kg": "kilo"}


def test_implicit_value_sets(tx: Any) -> None:
    sct = "http://snomed.info/sct"
    concepts = [{"code": "1", "display": "top", "concept": [{"code": "2", "display": "below"}]}]
    system = {
        "resourceType": "CodeSystem",
        "url": sct,
        "status": "active",
        "content": "complete",
        "concept": concepts,
    }
    assert tx.post("/CodeSystem", system).status_code == 201
    assert codes(tx.get(f"/ValueSet/$expand?url={quote(sct + '?fhir_vs')}")) == ["1", "2"]
    assert codes(tx.get(f"/ValueSet/$expand?url={quote(sct + '?fhir_vs=isa/2')}")) == ["2"]
    refused = tx.get(f"/ValueSet/$expand?url={quote(sct + '?fhir_vs=ecl/<<1')}")
    assert refused.status_code == 400 and refused.json()["issue"][0]["code"] == "not-supported"
    assert codes(tx.get(f"/ValueSet/$expand?url={quote(SYSTEM + '?fhir_vs')}"))[0] == "mammal"
    in_refset = {"system": sct, "filter": [{"property": "concept", "op": "in", "value": "3"}]}
    assert tx.get(f"/ValueSet/$expand?url={quote(sct + '?fhir_vs=refset/3')}").status_code == 400
    unknown = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [in_refset]}}
    assert tx.post("/ValueSet/$expand", unknown).status_code == 400


def test_a_system_is_found_by_its_oid(tx: Any) -> None:
    naming = {
        "resourceType": "NamingSystem",
        "name": "Animals",
        "status": "active",
        "kind": "codesystem",
        "date": "2026-01-01",
        "uniqueId": [{"type": "oid", "value": "2.16.578.1.12"}, {"type": "uri", "value": SYSTEM}],
    }
    assert tx.post("/NamingSystem", naming).status_code == 201
    assert value(tx.get("/CodeSystem/$lookup?system=urn:oid:2.16.578.1.12&code=cat"), "display") == "Cat"


def test_a_list_needs_no_code_system(tx: Any) -> None:
    listed = {
        "resourceType": "ValueSet",
        "url": "http://varde.test/ValueSet/listed",
        "status": "active",
        "compose": {
            "include": [
                {"system": "http://loinc.org", "concept": [{"code": "8867-4", "display": "Heart rate"}]}
            ]
        },
    }
    assert tx.post("/ValueSet", listed).status_code == 201
    path = "/ValueSet/$validate-code?url=http://varde.test/ValueSet/listed&system=http://loinc.org&code="
    assert value(tx.get(f"{path}8867-4"), "result") is True
    assert value(tx.get(f"{path}8480-6"), "result") is False
    assert displays(tx.get("/ValueSet/$expand?url=http://varde.test/ValueSet/listed")) == {
        "8867-4": "Heart rate"
    }


# Bad input.


def _set(**compose: Any) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "url": "http://varde.test/ValueSet/x",
        "status": "active",
        "compose": compose,
    }


def _filter(property: str, op: str, value: str) -> dict[str, Any]:
    return {"system": SYSTEM, "filter": [{"property": property, "op": op, "value": value}]}


def test_circles_and_depth_end(tx: Any) -> None:
    itself = _set(include=[{"valueSet": ["http://varde.test/ValueSet/x"]}])
    assert tx.post("/ValueSet", itself).status_code == 201
    refused = tx.get("/ValueSet/$expand?url=http://varde.test/ValueSet/x")
    assert refused.status_code == 422 and "circularity" in refused.json()["issue"][0]["details"]["text"]
    body = parameters(
        url=("valueUri", "http://varde.test/ValueSet/x"),
        coding=("valueCoding", {"system": SYSTEM, "code": "cat"}),
    )
    assert tx.post("/ValueSet/$validate-code", body).status_code == 422
    for number in range(80):
        chained = {
            **_set(include=[{"valueSet": [f"http://varde.test/{number + 1}"]}]),
            "url": f"http://varde.test/{number}",
        }
        body = parameters(valueSet=("resource", chained))
        tx.post("/ValueSet", chained)
    assert tx.get("/ValueSet/$expand?url=http://varde.test/0").status_code == 422


@pytest.mark.parametrize("pattern", ["(a+)+$", "(" * 150, "[", "(a|a)*b", "a{1000000}", "(?=x)(a*)*"])
def test_expressions_that_never_end_do(tx: Any, pattern: str) -> None:
    answer = tx.post("/ValueSet/$expand", _set(include=[_filter("code", "regex", pattern)]))
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    "include",
    [
        _filter("colour", "=", "red"),
        _filter("legs", "exists", "perhaps"),
        _filter("legs", "is-a", "cat"),
        {"system": SYSTEM, "filter": [{"property": "concept", "op": "is-a"}]},
        {"system": "http://nowhere.test"},
        {"valueSet": ["http://nowhere.test"]},
    ],
)
def test_what_cannot_be_expanded_is_refused(tx: Any, include: dict[str, Any]) -> None:
    answer = tx.post("/ValueSet/$expand", _set(include=[include]))
    assert answer.status_code in (400, 422)


def test_an_expression_may_not_take_long_on_all_codes_together(
    tx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = _set(include=[_filter("code", "regex", "(.*a){20}")])
    assert tx.post("/ValueSet/$expand", slow).status_code == 200
    monkeypatch.setattr(vocabulary, "_MOST_STEPS", 10_000)
    refused = tx.post("/ValueSet/$expand", slow)
    assert refused.status_code == 400 and "so many codes" in refused.text
    simple = _set(include=[_filter("code", "regex", "c.t")])
    assert codes(tx.post("/ValueSet/$expand", simple)) == ["cat"]


def test_a_text_filter_has_so_many_words(tx: Any) -> None:
    words = " ".join(f"w{number}" for number in range(21))
    refused = tx.get(f"/ValueSet/mammals/$expand?filter={words}")
    assert refused.status_code == 400 and refused.json()["issue"][0]["code"] == "too-costly"
    assert codes(tx.get(f"/ValueSet/mammals/$expand?filter={' '.join(['ca'] * 100)}")) == ["cat"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_value_sets_that_take_in_each_other_in_a_circle(tx: Any, length: int) -> None:
    url = "http://varde.test/ValueSet/circle"
    for number in range(length):
        taken = f"{url}{(number + 1) % length}"
        circle = {**_set(include=[{"valueSet": [taken]}]), "url": f"{url}{number}"}
        assert tx.post("/ValueSet", circle).status_code == 201
    refused = tx.get(f"/ValueSet/$expand?url={url}0")
    assert refused.status_code == 422 and "circularity" in refused.text
    assert tx.get(f"/ValueSet/$validate-code?url={url}0&system={SYSTEM}&code=cat").status_code == 422
    assert tx.get(f"/Observation?code:in={url}0").status_code == 400


def test_a_version_of_a_value_set_may_take_in_another_but_not_in_a_circle(tx: Any) -> None:
    url = "http://varde.test/ValueSet/versions"

    def put(version: str, include: dict[str, Any]) -> None:
        resource = {**_set(include=[include]), "url": url, "version": version, "id": f"v{version}"}
        assert tx.put(f"/ValueSet/v{version}", resource).status_code in (200, 201)

    put("2", {"system": SYSTEM})
    put("1", {"valueSet": [f"{url}|2"]})
    assert "wren" in codes(tx.get(f"/ValueSet/$expand?url={url}|1"))
    put("2", {"valueSet": [f"{url}|1"]})
    assert tx.get(f"/ValueSet/$expand?url={url}|1").status_code == 422
    excluded = {"include": [{"system": SYSTEM}], "exclude": [{"valueSet": ["http://varde.test/ValueSet/x"]}]}
    assert tx.post("/ValueSet/$expand", _set(**excluded)).status_code == 422


def test_too_many_codes_are_given_by_the_page(tx: Any) -> None:
    many = [{"code": f"c{number}"} for number in range(10_001)]
    system = {
        "resourceType": "CodeSystem",
        "url": "http://varde.test/many",
        "status": "active",
        "content": "complete",
        "concept": many,
    }
    assert tx.post("/CodeSystem", system).status_code == 201
    everything = "/ValueSet/$expand?url=" + quote("http://varde.test/many?fhir_vs")
    refused = tx.get(everything)
    assert refused.status_code == 422 and refused.json()["issue"][0]["code"] == "too-costly"
    page = tx.get(f"{everything}&offset=10000&count=5")
    assert codes(page) == ["c10000"] and page.json()["expansion"]["total"] == 10_001


@pytest.mark.parametrize(
    "path",
    [
        "/ValueSet/$expand",
        "/ValueSet/$expand?url=http://nowhere.test",
        "/ValueSet/nobody/$expand",
        "/ValueSet/mammals/$expand?count=-1",
        "/ValueSet/mammals/$expand?count=many",
        "/ValueSet/mammals/$expand?activeOnly=perhaps",
        "/ValueSet/mammals/$expand?system-version=http://no.version",
        "/ValueSet/$validate-code?code=cat",
        "/CodeSystem/$validate-code",
        "/CodeSystem/$lookup",
        "/CodeSystem/$subsumes",
    ],
)
def test_what_makes_no_sense_is_refused(tx: Any, path: str) -> None:
    assert tx.get(path).status_code in (400, 404)


@pytest.mark.parametrize("body", [ANIMALS, {"resourceType": "Parameters", "parameter": "x"}, [], "x", {}])
def test_a_body_that_is_no_parameters_is_refused(tx: Any, body: Any) -> None:
    assert tx.post("/ValueSet/$validate-code", body).status_code in (400, 422)
    assert tx.post("/CodeSystem/$lookup", body).status_code in (400, 422)
