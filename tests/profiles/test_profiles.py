"""Profiles compiled from StructureDefinitions: each facet of ElementDefinition, slicing, chains of profiles."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest

from profiles.conformance import Profiles
from profiles.context import Context
from profiles.tree import ProfileError
from profiles.validation import validate_thoroughly

URL = "https://example.org/fhir/StructureDefinition/"
HL7 = "http://hl7.org/fhir/StructureDefinition/"
GOLDEN = Path(__file__).parent / "golden"


def definition(elements, type_="Patient", name="p", base=None, **more):
    """A StructureDefinition whose differential has these elements, {path or id: facts}."""
    listed = [
        {"id": id_, "path": ".".join(part.partition(":")[0] for part in id_.split(".")), **facts}
        for id_, facts in elements.items()
    ]
    return {
        "resourceType": "StructureDefinition",
        "url": URL + name,
        "name": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or HL7 + type_,
        "derivation": "constraint",
        "differential": {"element": listed},
    } | more


def judge(resource, *definitions, member=lambda *_: None, known=lambda *_: None):
    """What is said of a resource that must be as the first definition says: (severity, code, expression)."""
    profiles = Profiles({d["url"]: d for d in definitions})
    context = Context(
        resource, check=profiles.check, definition=profiles.definition, member=member, known=known
    )
    found = validate_thoroughly(context, [definitions[0]["url"]])
    return [(p.severity, p.code, p.expression) for p in found]


def errors(*arguments, **more):
    return [(code, where) for severity, code, where in judge(*arguments, **more) if severity == "error"]


NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">A person</div>'}


def patient(**more):
    return {"resourceType": "Patient", "id": "a", "text": NARRATIVE} | more


OFFICIAL = {"use": "official", "family": "Berg"}

FACETS = {
    "min of an element that occurs once": (
        {"Patient.birthDate": {"min": 1}},
        patient(birthDate="1950-01-01"),
        patient(),
        ("required", "Patient.birthDate"),
    ),
    "min of a primitive is met by its extensions": (
        {"Patient.birthDate": {"min": 1}},
        patient(_birthDate={"extension": [{"url": "https://a.example/x", "valueCode": "unknown"}]}),
        patient(),
        ("required", "Patient.birthDate"),
    ),
    "min of a list": (
        {"Patient.name": {"min": 2}},
        patient(name=[OFFICIAL, OFFICIAL]),
        patient(name=[OFFICIAL]),
        ("structure", "Patient.name"),
    ),
    "max of a list": (
        {"Patient.name": {"max": "1"}},
        patient(name=[OFFICIAL]),
        patient(name=[OFFICIAL, OFFICIAL]),
        ("structure", "Patient.name"),
    ),
    "an element that may not be given": (
        {"Patient.photo": {"max": "0"}},
        patient(),
        patient(photo=[{"url": "http://a.example/b"}]),
        ("structure", "Patient.photo"),
    ),
    "a fixed value": (
        {"Patient.gender": {"fixedCode": "female"}},
        patient(gender="female"),
        patient(gender="male"),
        ("value", "Patient.gender"),
    ),
    "a fixed value says all there may be": (
        {"Patient.maritalStatus": {"fixedCodeableConcept": {"text": "gift"}}},
        patient(maritalStatus={"text": "gift"}),
        patient(maritalStatus={"text": "gift", "id": "x"}),
        ("value", "Patient.maritalStatus"),
    ),
    "a pattern says what there must be at least": (
        {"Patient.name": {"patternHumanName": {"use": "official", "given": ["Kari"]}}},
        patient(name=[{"use": "official", "given": ["Anne", "Kari"], "family": "Berg"}]),
        patient(name=[{"use": "official", "given": ["Anne"]}]),
        ("value", "Patient.name[0]"),
    ),
    "maxLength": (
        {"Patient.name.family": {"maxLength": 4}},
        patient(name=[{"family": "Berg"}]),
        patient(name=[{"family": "Berge"}]),
        ("too-long", "Patient.name[0].family"),
    ),
    "minValue of a date": (
        {"Patient.birthDate": {"minValueDate": "1900-01-01"}},
        patient(birthDate="1900-01-01"),
        patient(birthDate="1899-12-31"),
        ("invalid", "Patient.birthDate"),
    ),
    "maxValue of a number": (
        {"Patient.multipleBirth[x]": {"type": [{"code": "integer"}], "maxValueInteger": 3}},
        patient(multipleBirthInteger=3),
        patient(multipleBirthInteger=4),
        ("invalid", "Patient.multipleBirth.ofType(integer)"),
    ),
    "the types of a choice": (
        {"Patient.deceased[x]": {"type": [{"code": "boolean"}]}},
        patient(deceasedBoolean=False),
        patient(deceasedDateTime="2020"),
        ("structure", "Patient.deceased.ofType(dateTime)"),
    ),
    "a choice that must be there": (
        {"Patient.deceased[x]": {"min": 1}},
        patient(deceasedBoolean=False),
        patient(),
        ("required", "Patient.deceased"),
    ),
    "a type of a choice by its short name": (
        {"Patient.deceasedDateTime": {"fixedDateTime": "2020"}},
        patient(deceasedDateTime="2020"),
        patient(deceasedDateTime="2021"),
        ("value", "Patient.deceased.ofType(dateTime)"),
    ),
    "the targets of a reference": (
        {
            "Patient.generalPractitioner": {
                "type": [{"code": "Reference", "targetProfile": [HL7 + "Practitioner"]}]
            }
        },
        patient(generalPractitioner=[{"reference": "Practitioner/1"}]),
        patient(generalPractitioner=[{"reference": "Organization/1"}]),
        ("structure", "Patient.generalPractitioner[0]"),
    ),
    "aggregation: contained only": (
        {"Patient.managingOrganization": {"type": [{"code": "Reference", "aggregation": ["contained"]}]}},
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "name": "o"}],
            managingOrganization={"reference": "#o"},
        ),
        patient(managingOrganization={"reference": "Organization/o"}),
        ("structure", "Patient.managingOrganization"),
    ),
    "versioning: a version must be named": (
        {"Patient.managingOrganization": {"type": [{"code": "Reference", "versioning": "specific"}]}},
        patient(managingOrganization={"reference": "Organization/o/_history/1"}),
        patient(managingOrganization={"reference": "Organization/o"}),
        ("structure", "Patient.managingOrganization"),
    ),
    "versioning: no version may be named": (
        {"Patient.managingOrganization": {"type": [{"code": "Reference", "versioning": "independent"}]}},
        patient(managingOrganization={"reference": "Organization/o"}),
        patient(managingOrganization={"reference": "Organization/o/_history/1"}),
        ("structure", "Patient.managingOrganization"),
    ),
    "aggregation: referenced only": (
        {"Patient.managingOrganization": {"type": [{"code": "Reference", "aggregation": ["referenced"]}]}},
        patient(managingOrganization={"reference": "Organization/o"}),
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "name": "o", "text": NARRATIVE}],
            managingOrganization={"reference": "#o"},
        ),
        ("structure", "Patient.managingOrganization"),
    ),
    "an extension of a primitive": (
        {"Patient.birthDate.extension": {"min": 1}},
        patient(
            birthDate="1950-01-01",
            _birthDate={"extension": [{"url": "https://a.example/x", "valueCode": "b"}]},
        ),
        patient(birthDate="1950-01-01"),
        ("required", "Patient.birthDate.extension"),
    ),
}


@pytest.mark.parametrize("name", FACETS)
def test_a_facet_accepts_what_it_allows_and_refuses_the_rest(name):
    elements, good, bad, expected = FACETS[name]
    assert errors(good, definition(elements)) == []
    assert errors(bad, definition(elements)) == [expected]


WIDEST = {
    "extension": [{"url": HL7 + "elementdefinition-maxValueSet", "valueCanonical": URL + "widest"}],
    "strength": "preferred",
    "valueSet": URL + "usual",
}


@pytest.mark.parametrize(("code", "said"), [("a", None), ("b", "information"), ("c", "error"), (None, None)])
def test_no_code_leaves_the_widest_value_set(code, said):
    def member(value_set, system, code):
        return code in {URL + "usual": "a", URL + "widest": "ab"}.get(value_set, code)

    language = {"text": "norsk"} if code is None else {"coding": [{"system": "s:1", "code": code}]}
    resource = patient(communication=[{"language": language}])
    profile = definition({"Patient.communication.language": {"binding": WIDEST}})
    expected = [] if said is None else [(said, "code-invalid", "Patient.communication[0].language")]
    base = definition({"Patient.communication.language": {"binding": WIDEST}}, name="base")
    narrower = {"strength": "preferred", "valueSet": URL + "usual"}
    derived = definition({"Patient.communication.language": {"binding": narrower}}, base=URL + "base")
    assert judge(resource, profile, member=member) == expected
    assert judge(resource, derived, base, member=member) == expected  # what the base says stays


def test_each_type_of_a_choice_may_have_its_own_profile():
    exact = definition({"Quantity.comparator": {"max": "0"}}, "Quantity", "exact")
    types = [{"code": "Quantity", "profile": [exact["url"]]}, {"code": "string"}]
    profile = definition({"Observation.value[x]": {"type": types}}, "Observation")

    def found(**value):
        observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **value}
        return errors(observation, profile, exact)

    assert found(valueQuantity={"value": 1}) == []
    assert found(valueString="much") == []
    assert found(valueQuantity={"value": 1, "comparator": "<"}) == [
        ("structure", "Observation.value.ofType(Quantity).comparator")
    ]


def test_each_type_of_resource_may_have_its_own_profile():
    named = definition({"Patient.name": {"min": 1}}, name="named")
    types = [{"code": "Patient", "profile": [named["url"]]}, {"code": "Basic"}]
    profile = definition({"Bundle.entry.resource": {"type": types}}, "Bundle")

    def found(resource):
        return errors(
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]},
            profile,
            named,
        )

    assert found(patient(name=[OFFICIAL])) == []
    assert found({"resourceType": "Basic", "code": {"text": "x"}}) == []
    assert found(patient()) == [("required", "Bundle.entry[0].resource.name")]
    assert ("structure", "Bundle.entry[0].resource") in found({"resourceType": "Person", "id": "a"})


def test_a_section_may_be_like_that_of_another_profile():
    """R4's own example of elementdefinition-profile-element, https://hl7.org/fhir/R4/composition-profiles.html"""
    titles = {"29554-3": "Procedures Performed", "18776-5": "Discharge Treatment Plan"}

    def found(*sections):
        composition = {
            "resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2026", "title": "x",
            "author": [{"display": "A"}], "section": [
                {"title": title, "text": NARRATIVE, "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "Procedure Narrative" if code == "29554-3" else "Plan of treatment (narrative)"}]}}
                for code, title in sections
            ],
        }  # fmt: skip
        wanted = definition({}, "Composition", base=HL7 + "example-composition")
        return errors(composition, wanted)

    (procedure, plan) = titles.items()
    medications = ("29549-3", "Medications Administered")
    assert ("structure", "Composition") in found(procedure, plan)  # without medications
    assert ("value", "Composition.section[0].title") in found((procedure[0], "Other"), medications)
    assert ("structure", "Composition.section[1]") in found(procedure, ("1-8", "Other"))


def test_extensions_of_primitives_count_in_lists_and_choices_too():
    source = {"extension": [{"url": "https://a.example/x", "valueCode": "b"}]}
    of_list = definition({"Patient.name.given.extension": {"min": 1}})
    good = patient(name=[{"given": ["Anne", "Kari"], "_given": [source, source]}])
    half = patient(name=[{"given": ["Anne", "Kari"], "_given": [source, None]}])
    assert errors(good, of_list) == []
    assert errors(half, of_list) == [("required", "Patient.name[0].given[1].extension")]
    of_choice = definition({"Patient.deceased[x].extension": {"min": 1}})
    assert errors(patient(), of_choice) == []
    assert errors(patient(deceasedBoolean=True, _deceasedBoolean=source), of_choice) == []
    assert errors(patient(deceasedBoolean=True), of_choice) == [
        ("required", "Patient.deceased.ofType(boolean).extension")
    ]


BINDING = {"valueSet": "https://example.org/fhir/ValueSet/v"}


@pytest.mark.parametrize(
    ("strength", "severity"),
    [("required", "error"), ("extensible", "warning"), ("preferred", "information")],
)
def test_a_binding_is_as_severe_as_its_strength(strength, severity):
    profile = definition({"Patient.communication.language": {"binding": {"strength": strength, **BINDING}}})

    def member(value_set, system, code):
        return (system, code) == ("s:1", "a") if value_set == BINDING["valueSet"] else None

    good, bad = ({"coding": [{"system": "s:1", "code": code}]} for code in "ab")
    good, bad = (patient(communication=[{"language": language}]) for language in (good, bad))
    assert judge(good, profile, member=member) == []
    where = "Patient.communication[0].language"
    assert judge(bad, profile, member=member) == [(severity, "code-invalid", where)]
    assert judge(bad, profile) == []  # nobody knows the value set


# Slicing


def sliced(path, discriminator, slices, rules="open", **more):
    """Elements that slice `path`: slices {name: (facts, {child: facts})}."""
    elements = {path: {"slicing": {"discriminator": [discriminator], "rules": rules, **more}}}
    for name, (facts, children) in slices.items():
        elements[f"{path}:{name}"] = {"sliceName": name, **facts}
        elements |= {f"{path}:{name}.{child}": of_child for child, of_child in children.items()}
    return elements


BY_USE = {"type": "value", "path": "use"}
HOME = ({"min": 1, "max": "1"}, {"use": {"fixedCode": "home"}, "value": {"min": 1}})
WORK = ({"max": "1"}, {"use": {"fixedCode": "work"}})


def telecom(*uses):
    return patient(telecom=[{"use": use, "system": "phone", "value": "1"} for use in uses])


def test_slices_count_and_constrain_their_items():
    profile = definition(sliced("Patient.telecom", BY_USE, {"home": HOME, "work": WORK}))
    assert errors(telecom("home", "work", "mobile"), profile) == []
    assert errors(telecom("work"), profile) == [("structure", "Patient")]
    assert errors(telecom("home", "home"), profile) == [("structure", "Patient")]
    no_value = patient(telecom=[{"use": "home", "system": "phone"}])
    assert errors(no_value, profile) == [("required", "Patient.telecom[0].value")]


def test_closed_slicing_allows_no_others():
    profile = definition(sliced("Patient.telecom", BY_USE, {"home": HOME}, "closed"))
    assert errors(telecom("home"), profile) == []
    assert errors(telecom("home", "mobile"), profile) == [("structure", "Patient.telecom[1]")]


def test_open_at_end_wants_the_others_last():
    profile = definition(sliced("Patient.telecom", BY_USE, {"home": HOME, "work": WORK}, "openAtEnd"))
    assert errors(telecom("home", "work", "mobile"), profile) == []
    assert errors(telecom("home", "mobile", "work"), profile) == [("structure", "Patient.telecom[2]")]


def test_ordered_slices_come_in_their_order():
    profile = definition(sliced("Patient.telecom", BY_USE, {"home": HOME, "work": WORK}, ordered=True))
    assert errors(telecom("home", "work"), profile) == []
    assert errors(telecom("work", "home"), profile) == [("structure", "Patient.telecom[1]")]


def test_a_slice_may_be_sliced_again():
    elements = sliced("Patient.telecom", BY_USE, {"home": ({}, {"use": {"fixedCode": "home"}})})
    elements["Patient.telecom:home"]["slicing"] = {
        "discriminator": [{"type": "value", "path": "system"}],
        "rules": "closed",
    }
    elements["Patient.telecom:home/mail"] = {"sliceName": "home/mail", "min": 1}
    elements["Patient.telecom:home/mail.system"] = {"fixedCode": "email"}
    profile = definition(elements)
    mail, phone = ({"use": "home", "system": system, "value": "1"} for system in ("email", "phone"))
    assert errors(patient(telecom=[mail]), profile) == []
    assert errors(patient(telecom=[mail, phone]), profile) == [("structure", "Patient.telecom[1]")]
    assert errors(patient(telecom=[]) | {"telecom": [{**mail, "use": "work"}]}, profile) == [
        ("structure", "Patient")
    ]


DISCRIMINATED = {
    "a pattern": ({"type": "pattern", "path": "$this"}, ({"patternContactPoint": {"use": "home"}}, {})),
    "the fixed value of the whole": ({"type": "value", "path": "use"}, ({"patternContactPoint": {"use": "home"}}, {})),
    "that something is there": ({"type": "exists", "path": "rank"}, ({}, {"rank": {"min": 1}})),
    "that something is not there": ({"type": "exists", "path": "period"}, ({}, {"period": {"max": "0"}})),
    "a required value set": (
        {"type": "value", "path": "use"},
        ({}, {"use": {"binding": {"strength": "required", **BINDING}}}),
    ),
    "the place": ({"type": "position", "path": "$this"}, ({}, {})),
}  # fmt: skip


@pytest.mark.parametrize("name", DISCRIMINATED)
def test_an_item_is_told_by(name):
    discriminator, (facts, children) = DISCRIMINATED[name]
    profile = definition(sliced("Patient.telecom", discriminator, {"it": ({"max": "1", **facts}, children)}))

    def member(value_set, system, code):
        return code == "home" if value_set == BINDING["valueSet"] else None

    it = {"use": "home", "system": "phone", "value": "1", "rank": 1}
    other = {"use": "work", "system": "phone", "value": "1", "period": {"start": "2020"}}
    assert errors(patient(telecom=[it, other]), profile, member=member) == []
    found = errors(patient(telecom=[it, copy.deepcopy(it)]), profile, member=member)
    assert found == ([] if name == "the place" else [("structure", "Patient")])


def test_entries_are_told_by_the_type_of_their_resource():
    discriminator = {"type": "type", "path": "resource"}
    slices = {"patient": ({"min": 1, "max": "1"}, {"resource": {"type": [{"code": "Patient"}]}})}
    profile = definition(sliced("Bundle.entry", discriminator, slices), "Bundle")

    def bundle(*types):
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": {"resourceType": type_}} for type_ in types],
        }

    assert errors(bundle("Basic", "Patient"), profile)[-1:] != [("structure", "Bundle")]
    assert ("structure", "Bundle") in errors(bundle("Basic"), profile)
    assert ("structure", "Bundle") in errors(bundle("Patient", "Patient"), profile)


def test_entries_are_told_by_a_profile():
    named = definition({"Patient.name": {"min": 1}}, name="named")
    discriminator = {"type": "profile", "path": "resource"}
    of_named = {"resource": {"type": [{"code": "Patient", "profile": [named["url"]]}]}}
    profile = definition(sliced("Bundle.entry", discriminator, {"n": ({"min": 1}, of_named)}), "Bundle")
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]}
    assert ("structure", "Bundle") in errors(bundle, profile, named)
    bundle["entry"][0]["resource"]["name"] = [OFFICIAL]
    assert errors(bundle, profile, named) == []


def test_items_are_told_by_what_they_refer_to():
    discriminator = {"type": "type", "path": "resolve()"}
    doctor = {"type": [{"code": "Reference", "targetProfile": [HL7 + "Practitioner"]}], "max": "1"}
    profile = definition(sliced("Patient.generalPractitioner", discriminator, {"doctor": (doctor, {})}))
    people = [{"resourceType": "Practitioner", "id": id_} for id_ in ("a", "b")]
    place = {"resourceType": "Organization", "id": "c", "name": "c"}
    good = patient(
        contained=[people[0], place], generalPractitioner=[{"reference": "#a"}, {"reference": "#c"}]
    )
    bad = patient(contained=people, generalPractitioner=[{"reference": "#a"}, {"reference": "#b"}])
    assert errors(good, profile) == []
    assert errors(bad, profile) == [("structure", "Patient")]


def test_items_are_told_by_the_profile_of_what_they_refer_to():
    named = definition({"Practitioner.name": {"min": 1}}, "Practitioner", "named")
    doctor = {"type": [{"code": "Reference", "targetProfile": [named["url"]]}], "max": "1"}
    discriminator = {"type": "profile", "path": "resolve()"}
    profile = definition(sliced("Patient.generalPractitioner", discriminator, {"doctor": (doctor, {})}))
    people = [{"resourceType": "Practitioner", "id": id_, "name": [OFFICIAL]} for id_ in ("a", "b")]
    references = [{"reference": "#a"}, {"reference": "#b"}]
    both = patient(contained=people, generalPractitioner=references)
    assert errors(both, profile, named) == [("structure", "Patient")]
    del people[1]["name"]
    assert errors(both, profile, named) == []  # one of them is no such doctor, and need not be


# Extensions and other profiles


EXTENSION = definition(
    {
        "Extension.url": {"fixedUri": URL + "shoe"},
        "Extension.value[x]": {"min": 1, "type": [{"code": "integer"}]},
    },
    "Extension",
    "shoe",
    context=[{"type": "element", "expression": "Patient"}],
)


def test_an_extension_is_held_to_its_definition():
    profile = definition(
        {
            "Patient.extension:shoe": {
                "sliceName": "shoe",
                "min": 1,
                "type": [{"code": "Extension", "profile": [URL + "shoe"]}],
            }
        }
    )
    good = patient(extension=[{"url": URL + "shoe", "valueInteger": 42}])
    assert errors(good, profile, EXTENSION) == []
    assert errors(patient(), profile, EXTENSION) == [("structure", "Patient")]
    bad = patient(extension=[{"url": URL + "shoe", "valueString": "42"}])
    assert ("structure", "Patient.extension[0].value.ofType(string)") in errors(bad, profile, EXTENSION)


def test_an_extension_stands_where_its_context_allows():
    shoe = {"url": URL + "shoe", "valueInteger": 42}
    assert errors(patient(extension=[shoe]), definition({}), EXTENSION) == []
    found = errors(patient(name=[{"family": "Berg", "extension": [shoe]}]), definition({}), EXTENSION)
    assert found == [("structure", "Patient.name[0].extension[0]")]
    found = errors(patient(modifierExtension=[shoe]), definition({}), EXTENSION)
    assert found == [("structure", "Patient.modifierExtension[0]")]


def test_a_target_that_can_be_looked_at_is_held_to_its_profile():
    named = definition({"Organization.name": {"min": 1}}, "Organization", "named")
    target = {"type": [{"code": "Reference", "targetProfile": [named["url"]]}]}
    profile = definition({"Patient.managingOrganization": target})
    organization = {
        "resourceType": "Organization",
        "id": "o",
        "alias": ["Legen"],
        "partOf": {"display": "Byen"},
    }
    organization["identifier"] = [{"value": "1"}]
    resource = patient(contained=[organization], managingOrganization={"reference": "#o"})
    assert errors(resource, profile, named) == [("structure", "Patient.managingOrganization")]
    organization["name"] = "Legekontoret"
    assert errors(resource, profile, named) == []


def test_aggregation_may_ask_for_what_is_in_the_same_bundle():
    bundled = {"type": [{"code": "Reference", "aggregation": ["bundled"]}]}
    profile = definition({"Patient.managingOrganization": bundled})
    place = {"resourceType": "Organization", "id": "o", "name": "o", "text": NARRATIVE}

    def found(reference):
        resource = patient(managingOrganization={"reference": reference}, meta={"profile": [profile["url"]]})
        entries = [("Patient/a", resource), ("Organization/o", place)]
        entry = [{"fullUrl": f"https://a.example/{url}", "resource": r} for url, r in entries]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entry}
        return errors(bundle, definition({}, "Bundle", "b"), profile)

    assert found("Organization/o") == []
    assert found("https://a.example/Organization/o") == []
    assert found("Organization/other") == [("structure", "Bundle.entry[0].resource.managingOrganization")]


def test_a_profile_adds_to_its_base_and_its_slices():
    base = definition(sliced("Patient.telecom", BY_USE, {"home": HOME}), name="base")
    derived = definition(
        {"Patient.telecom:home.rank": {"min": 1}, "Patient.gender": {"min": 1}}, base=URL + "base"
    )
    found = errors(telecom("home"), derived, base)
    assert found == [("required", "Patient.telecom[0].rank"), ("required", "Patient.gender")]
    assert errors(telecom("home"), base) == []


def test_elements_without_ids_go_by_their_order():
    profile = definition(sliced("Patient.telecom", BY_USE, {"home": HOME}))
    for element in profile["differential"]["element"]:
        del element["id"]
    assert errors(telecom("work"), profile) == [("structure", "Patient")]


# What R4 itself publishes


def test_all_profiles_of_r4_compile():
    """Some with a defect of theirs mended (profiles/defects.py)."""
    profiles = Profiles()
    for url in profiles.definitions.profiles:
        assert profiles.check(url), url


def test_vital_signs_are_held_to_their_profile(sample):
    reading = {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
        "subject": {"reference": "Patient/a"},
        "effectiveDateTime": "2026-11-21",
        "valueQuantity": {"value": 37, "unit": "C", "system": "http://unitsofmeasure.org", "code": "Cel"},
    }
    plain = definition({}, "Observation")
    assert errors(reading, plain) == []
    del reading["subject"]
    reading["valueQuantity"]["system"] = "http://example.org"
    assert errors(reading, plain) == [
        ("required", "Observation.subject"),
        ("value", "Observation.value.ofType(Quantity).system"),
    ]


# Profiles that make no sense, and those that mean harm

SENSELESS = {
    "no such element": ({"Patient.shoeSize": {"min": 1}}, "shoeSize is not an element of Patient"),
    "another type's path": ({"Person.name": {"min": 1}}, "must start with Patient"),
    "less than the base": (
        {"Patient.contact.gender": {"max": "*"}},
        "max * is more than the 1 of the base",
    ),
    "a type the element cannot have": (
        {"Patient.deceased[x]": {"type": [{"code": "Quantity"}]}},
        "The type Quantity is none of the base",
    ),
    "a weaker binding": (
        {"Patient.gender": {"binding": {"strength": "preferred", **BINDING}}},
        "The binding is preferred, and required in the base",
    ),
    "more slices than items": (
        sliced("Patient.contact", {"type": "value", "path": "gender"}, {"a": ({"min": 2}, {}), "b": ({"min": 2}, {})})
        | {"Patient.contact": {"max": "3"}},
        "The slices need 4 together",
    ),
    "min above max": ({"Patient.name": {"min": 2, "max": "1"}}, "min 2 is more than max 1"),
    "a slice that nothing tells": (
        sliced("Patient.telecom", BY_USE, {"a": ({"max": "1"}, {})}),
        "No discriminator tells what is in this slice",
    ),
    "a path that is none": (
        sliced("Patient.telecom", {"type": "value", "path": "where(a=b)"}, {"a": ({}, {})}),
        "is not a path that a discriminator may have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SENSELESS)
def test_a_profile_without_sense_says_why(name):
    elements, reason = SENSELESS[name]
    senseless = definition(elements)
    with pytest.raises(ProfileError) as error:
        Profiles({senseless["url"]: senseless}).check(senseless["url"])
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "elements",
    [
        {"Patient" + ".extension" * 3000: {"min": 0}},
        {"Patient.telecom:" + "/".join("a" * 3000): {"sliceName": "a"}},
        {f"Patient.name{'.extension' * n}": {"min": 0} for n in range(200)},
        {f"Patient.telecom:s{n}": {"sliceName": f"s{n}"} for n in range(6000)},
    ],
    ids=["a long path", "slices of slices", "deeper and deeper", "many slices"],
)
def test_a_profile_without_measure_is_refused(elements):
    hostile = definition(elements)
    with pytest.raises(ProfileError, match="may have"):
        Profiles({hostile["url"]: hostile}).check(hostile["url"])


def test_a_profile_that_asks_for_itself_inside_itself_ends():
    again = {"type": [{"code": "Patient", "profile": [URL + "p"]}]}
    profile = definition({"Patient.contained": again, "Patient.name": {"min": 1}})
    resource = patient(
        name=[OFFICIAL], contained=[patient(id="b")], link=[{"other": {"reference": "#b"}, "type": "refer"}]
    )
    assert errors(resource, profile) == [("required", "Patient.contained[0].name")]


@pytest.mark.parametrize(
    "expression", ["name.family.matches('(a+)+$')", "descendants().descendants().count() > 0"]
)
def test_an_expensive_invariant_does_not_hold_the_server_up(expression):
    rule = {"key": "x-1", "severity": "error", "human": "x", "expression": expression}
    profile = definition({"Patient": {"constraint": [rule]}})
    names = [{"family": "a" * 40 + "!", "given": ["a"] * 40} for _ in range(40)]
    started = time.perf_counter()
    judge(patient(name=names), profile)
    assert time.perf_counter() - started < 5


def test_a_chain_of_profiles_may_not_be_a_circle():
    a, b = definition({}, name="a", base=URL + "b"), definition({}, name="b", base=URL + "a")
    with pytest.raises(ProfileError, match="derives from itself"):
        Profiles({a["url"]: a, b["url"]: b}).check(a["url"])


def test_references_in_a_circle_end():
    link = {"type": [{"code": "Reference", "targetProfile": [URL + "p"]}]}
    profile = definition({"Patient.link.other": link})
    entry = [
        {"fullUrl": f"urn:uuid:{n}", "resource": patient(id=str(n), link=[_link(m)])}
        for n, m in ((1, 2), (2, 1))
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    everyone = definition(
        {"Bundle.entry.resource": {"type": [{"code": "Patient", "profile": [URL + "p"]}]}}, "Bundle", "b"
    )
    assert errors(bundle, everyone, profile) == []


def _link(target):
    return {"other": {"reference": f"urn:uuid:{target}"}, "type": "seealso"}


def test_slices_by_profiles_inside_profiles_end_soon():
    """Each level asks two profiles of the same value: without a memory that is 2 to the power of 60."""
    depth = 60
    definitions = [
        definition(
            {"Patient.name.extension": {"max": "0"}}
            if n == depth
            else {"Patient": {"type": []}, "Patient.contained": {"type": [_either(n + 1)]}},
            name=f"n{n}",
        )
        for n in range(depth + 1)
    ]
    resource = patient(contained=[patient(id=str(n)) for n in range(30)])
    assert len(judge(resource, *definitions)) <= 101


def _either(n):
    return {"code": "Patient", "profile": [f"{URL}n{n}", f"{URL}n{min(n + 1, 60)}"]}


def test_the_compiled_form_of_a_profile_is_the_golden_one():
    """After a deliberate change: write the source to the file, and read the difference."""
    elements = sliced("Patient.telecom", BY_USE, {"home": HOME}, "closed", ordered=True) | {
        "Patient.deceased[x]": {"min": 1, "type": [{"code": "boolean"}]},
        "Patient.gender": {"fixedCode": "female"},
        "Patient.name": {"max": "1", "patternHumanName": {"use": "official"}},
    }
    profiles = Profiles({URL + "p": definition(elements)})
    source = profiles.emit(profiles.profile(URL + "p")).source
    assert source + "\n" == (GOLDEN / "profile.txt").read_text("utf-8")


def test_a_slash_in_a_slices_name_says_reslicing_only_where_there_is_such_a_slice():
    """As in Norway's vkp-Observation, which has a slice NPU/NLK and no slice NPU."""
    npu = "urn:oid:2.16.578.1.12.4.1.1.7280"
    elements = {
        "Observation.code.coding": {
            "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}
        },
        "Observation.code.coding:NPU/NLK": {"sliceName": "NPU/NLK", "min": 1},
        "Observation.code.coding:NPU/NLK.system": {"min": 1, "fixedUri": npu},
    }
    for system, problems in ((npu, []), ("http://example.org/x", [("structure", "Observation.code")])):
        reading = {
            "resourceType": "Observation",
            "text": NARRATIVE,
            "status": "final",
            "code": {"coding": [{"system": system, "code": "x"}]},
        }
        assert errors(reading, definition(elements, "Observation")) == problems


def test_a_slice_of_what_follows_a_profile_is_the_slice_of_that_profile():
    """As in Norway's no-basis-Patient, which narrows a part of an extension without saying again what tells it."""
    citizenship = HL7 + "patient-citizenship"
    of_slice = "Patient.extension:citizenship"
    narrowed = definition(
        {
            of_slice: {
                "sliceName": "citizenship",
                "type": [{"code": "Extension", "profile": [citizenship]}],
            },
            f"{of_slice}.extension": {
                "slicing": {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}
            },
            f"{of_slice}.extension:code": {"sliceName": "code", "min": 1},
        }
    )

    def of(*parts):
        return patient(extension=[{"url": citizenship, "extension": list(parts)}])

    code = {"url": "code", "valueCodeableConcept": {"text": "norsk"}}
    period = {"url": "period", "valuePeriod": {"start": "1950"}}
    assert errors(of(code, period), narrowed) == []
    assert ("structure", "Patient.extension[0]") in errors(of(period), narrowed)
