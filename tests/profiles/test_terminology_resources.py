"""CodeSystems, ValueSets and ConceptMaps as $validate judges them: against each other."""

from __future__ import annotations

import pytest

from tests.profiles.judging import errors, warnings

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
URL = "http://example.org/colours"


def code_system(**facts):
    concepts = [
        {"code": "warm", "display": "Warm", "concept": [{"code": "r", "display": "Red"}]},
        {"code": "g", "display": "Green"},
    ]
    plain = {"resourceType": "CodeSystem", "url": URL, "status": "active", "content": "complete"}
    return plain | {"concept": concepts} | facts


def value_set(*include, **facts):
    plain = {"resourceType": "ValueSet", "url": "http://example.org/vs", "status": "active"}
    return plain | {"compose": {"include": list(include)}} | facts


def concept_map(*elements, **facts):
    group = {"source": URL, "target": "http://example.org/other", "element": list(elements)}
    return {"resourceType": "ConceptMap", "status": "active", "group": [group | facts]}


INCLUDE = "ValueSet.compose.include[0]"
FILTER = [("invalid", f"{INCLUDE}.filter[0]")]


# CodeSystem


def test_a_count_is_that_of_all_concepts():
    assert errors(code_system(count=3)) == []
    assert errors(code_system(count=2)) == [("invalid", "CodeSystem.count")]


def test_a_part_has_no_more_than_the_whole():
    assert errors(code_system(content="fragment", count=100)) == []
    assert errors(code_system(content="fragment", count=2)) == [("invalid", "CodeSystem.count")]


def test_a_supplement_adds_no_codes():
    supplement = {"url": "http://example.org/norsk", "content": "supplement", "supplements": URL}
    good = code_system(**supplement, concept=[{"code": "warm", "concept": [{"code": "r"}]}])
    bad = code_system(**supplement, concept=[{"code": "warm", "concept": [{"code": "x"}]}])
    assert errors(good, code_system()) == []
    assert errors(bad) == []
    assert errors(bad, code_system()) == [("business-rule", "CodeSystem.concept[0].concept[0]")]


def test_what_cannot_be_a_code_of_loinc_cannot_be_supplemented():
    codes = [{"code": "8867-4"}, {"code": "pulse"}]
    supplement = code_system(content="supplement", supplements=LOINC, concept=codes)
    assert errors(supplement) == [("business-rule", "CodeSystem.concept[1]")]


def test_a_supplement_says_that_it_is_one_and_of_what():
    assert errors(code_system(supplements="http://example.org/x")) == [
        ("business-rule", "CodeSystem.content")
    ]
    assert errors(code_system(content="supplement")) == [("business-rule", "CodeSystem.supplements")]


def test_a_property_has_the_type_that_is_declared():
    def with_property(**value):
        concept = {"code": "r", "property": [{"code": "hue", **value}]}
        return code_system(property=[{"code": "hue", "type": "integer"}], concept=[concept])

    assert errors(with_property(valueInteger=0)) == []
    assert errors(with_property(valueString="0")) == [("invalid", "CodeSystem.concept[0].property[0]")]


# ValueSet


def test_listed_codes_are_of_their_system():
    listed = {"system": URL, "concept": [{"code": "r"}, {"code": "x"}]}
    assert errors(value_set(listed), code_system()) == [("code-invalid", f"{INCLUDE}.concept[1]")]
    assert errors(value_set(listed)) == []


def test_of_another_version_nothing_is_known():
    listed = {"system": URL, "version": "2", "concept": [{"code": "x"}]}
    assert errors(value_set(listed), code_system(version="1")) == []
    assert errors(value_set(listed), code_system(version="2")) != []


def test_a_listed_display_that_is_not_the_concepts_deserves_a_remark():
    listed = {"system": URL, "concept": [{"code": "r", "display": "Green"}]}
    assert errors(value_set(listed), code_system()) == []
    assert ("invalid", f"{INCLUDE}.concept[0].display") in warnings(value_set(listed), code_system())


def test_what_is_excluded_is_judged_too():
    compose = {"include": [{"system": URL}], "exclude": [{"system": URL, "concept": [{"code": "x"}]}]}
    expected = [("code-invalid", "ValueSet.compose.exclude[0].concept[0]")]
    assert errors(value_set(compose=compose), code_system()) == expected


@pytest.mark.parametrize("system", ["#c1", "colours", "CodeSystem/colours"])
def test_a_system_is_absolute(system):
    assert errors(value_set({"system": system})) == [("invalid", INCLUDE)]


def test_a_value_set_is_no_system():
    include = {"system": "http://hl7.org/fhir/ValueSet/measure-type"}
    assert errors(value_set(include)) == [("invalid", f"{INCLUDE}.system")]


TYPED = code_system(
    property=[
        {"code": "like", "type": "Coding"},
        {"code": "bright", "type": "boolean"},
        {"code": "parent", "uri": "http://hl7.org/fhir/concept-properties#parent", "type": "code"},
    ]
)


@pytest.mark.parametrize(
    ("property_", "op", "good", "bad"),
    [
        ("concept", "is-a", "warm", "cold"),
        ("code", "in", "r, g", "r,x"),
        ("parent", "=", "warm", "cold"),
        ("like", "=", f"{URL}#r", "r"),
        ("like", "in", f"{URL}#r,{URL}|1#x", f"{URL}#r,{URL}#x"),
        ("bright", "=", "true", "yes"),
        ("bright", "exists", "false", "no"),
    ],
)
def test_a_filter_has_a_value_of_its_property(property_, op, good, bad):
    def filtered(value):
        return value_set({"system": URL, "filter": [{"property": property_, "op": op, "value": value}]})

    known = TYPED | {"version": "2"}
    assert errors(filtered(good), known) == []
    assert errors(filtered(bad), known) == FILTER


def test_of_an_unknown_system_a_filter_is_not_judged():
    assert errors(value_set({"system": URL, "filter": [{"property": "p", "op": "=", "value": "x"}]})) == []


def test_a_constraint_is_ecl():
    def constrained(value):
        return value_set(
            {"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": value}]}
        )

    assert errors(constrained("<< 404684003 |Clinical finding|")) == []
    assert errors(constrained("404684003 << 404684003")) == FILTER


def test_a_filter_on_snomed_ct_has_an_identifier():
    def is_a(value):
        return value_set(
            {"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": value}]}
        )

    assert errors(is_a("404684003")) == []
    assert errors(is_a("404684004")) == FILTER


def expressed(expression, language="text/fhirpath"):
    url = "http://hl7.org/fhir/StructureDefinition/cqf-expression"
    value = {"language": language, "expression": expression}
    filter_ = {"property": "p", "op": "=", "_value": {"extension": [{"url": url, "valueExpression": value}]}}
    parameter = {
        "url": "http://hl7.org/fhir/tools/StructureDefinition/valueset-parameter",
        "extension": [{"url": "name", "valueCode": "p-inactive"}],
    }
    return value_set({"system": URL, "filter": [filter_]}, extension=[parameter])


@pytest.mark.parametrize("expression", ["%p-inactive", "%`p-inactive`.not()", "%p-inactive-1"])
def test_an_expression_over_the_value_sets_parameters(expression):
    assert errors(expressed(expression)) == []


@pytest.mark.parametrize("expression", ["%p-active", "%p", "true and %other"])
def test_an_expression_over_something_else(expression):
    assert errors(expressed(expression)) == [("not-found", f"{INCLUDE}.filter[0]")]


def test_an_expression_in_another_language():
    assert errors(expressed("%p-inactive", "text/cql")) == FILTER


# ConceptMap


ELEMENT = "ConceptMap.group[0].element[0]"
EQUAL = [{"code": "rot", "equivalence": "equal"}]


def test_codes_are_of_the_systems_that_are_mapped():
    good = concept_map({"code": "r", "target": EQUAL})
    bad = concept_map({"code": "x", "target": EQUAL})
    assert errors(good, code_system()) == []
    assert errors(bad, code_system()) == [("code-invalid", f"{ELEMENT}.code")]
    assert errors(bad, code_system(version="1")) != []
    assert errors(bad | {"group": [bad["group"][0] | {"sourceVersion": "2"}]}, code_system(version="1")) == []


def test_a_target_too():
    other = code_system(url="http://example.org/other")
    found = errors(concept_map({"code": "r", "target": EQUAL}), other)
    assert found == [("code-invalid", f"{ELEMENT}.target[0].code")]


def test_codes_are_of_the_value_sets_that_are_mapped():
    reds = value_set({"system": URL, "concept": [{"code": "r"}]})
    source = {"sourceCanonical": reds["url"]}
    good = concept_map({"code": "r", "target": EQUAL}) | source
    bad = concept_map({"code": "g", "target": EQUAL}) | source
    assert errors(good, reds, code_system()) == []
    assert errors(bad, reds, code_system()) == [("code-invalid", f"{ELEMENT}.code")]
    assert errors(bad) == []


def test_a_display_that_is_not_the_concepts_deserves_a_remark_in_a_map():
    map_ = concept_map({"code": "r", "display": "Blue", "target": EQUAL})
    assert errors(map_, code_system()) == []
    assert ("invalid", f"{ELEMENT}.display") in warnings(map_, code_system())


@pytest.mark.parametrize(
    "nonsense",
    [
        {"resourceType": "ValueSet", "compose": {"include": [None, "x", {"filter": [1], "concept": 2}]}},
        {"resourceType": "ValueSet", "compose": [], "extension": [{"url": 1}]},
        {"resourceType": "CodeSystem", "concept": [{"concept": "x", "property": [[]]}], "count": "1"},
        {"resourceType": "CodeSystem", "property": [{"code": {}}], "concept": [{"property": [{"code": []}]}]},
        {"resourceType": "QuestionnaireResponse", "status": [{}], "questionnaire": "http://example.org/none"},
        {"resourceType": "ConceptMap", "group": [{"source": 1, "element": [{"code": [], "target": {}}]}]},
    ],
)
def test_nonsense_is_only_said_to_be_nonsense(nonsense):
    assert errors(nonsense) != []
