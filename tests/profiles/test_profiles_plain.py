"""Compiled profiles and a slow, plain reading of the same StructureDefinitions agree on every resource."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.conformance import Profiles, conform
from profiles.context import Context
from profiles.findings import Findings
from profiles.tree import ProfileError
from tests.profiles.plain_profiles import World
from tests.profiles.test_profiles import EXTENSION, HL7, URL, definition

USES = st.sampled_from(["home", "work", "mobile"])
SYSTEMS = st.sampled_from(["phone", "email"])
FAMILIES = st.sampled_from(["Li", "Berg"])
LEAST, MOST = st.integers(0, 1), st.sampled_from(["1", "2", "*"])
CODES = {URL + "ab": frozenset("ab"), URL + "uses": frozenset({"home", "work"})}
NAMED = definition({"Practitioner.name": {"min": 1}}, "Practitioner", "doctor")
HAT = definition({"Extension.value[x]": {"min": 1, "type": [{"code": "string"}]}}, "Extension", "hat")
OTHERS = [NAMED, HAT, EXTENSION]


def maybe(**optional):
    return st.fixed_dictionaries({}, optional=optional).filter(bool)


# Patients

CONTAINED = [
    {"resourceType": "Practitioner", "id": "named", "name": [{"family": "Li"}]},
    {"resourceType": "Practitioner", "id": "nameless"},
    {"resourceType": "Organization", "id": "place", "name": "Byen"},
]
REFERENCES = st.sampled_from([{"reference": "#" + str(r["id"])} for r in CONTAINED])
CONTACT_POINTS = st.lists(
    maybe(use=USES, system=SYSTEMS, rank=st.just(1), period=st.just({"start": "2020"}), value=st.just("1")),
    min_size=1,
    max_size=4,
)
NAMES = st.lists(
    maybe(use=st.just("official"), family=FAMILIES, given=st.lists(FAMILIES, min_size=1, max_size=2)),
    min_size=1,
    max_size=2,
)
EXTENSIONS = st.lists(
    st.sampled_from(
        [
            {"url": URL + "shoe", "valueInteger": 42},
            {"url": URL + "shoe", "valueString": "42"},
            {"url": URL + "hat", "valueString": "L"},
            {"url": URL + "coat", "valueString": "M"},
        ]
    ),
    min_size=1,
    max_size=3,
)
PATIENTS = st.builds(
    lambda deceased, rest: {"resourceType": "Patient", "contained": CONTAINED, **deceased, **rest},
    st.sampled_from([{}, {"deceasedBoolean": True}, {"deceasedBoolean": False}, {"deceasedDateTime": "2020"}]),
    st.fixed_dictionaries(
        {},
        optional={
            "gender": st.sampled_from(["female", "male"]),
            "birthDate": st.just("1950"),
            "telecom": CONTACT_POINTS,
            "name": NAMES,
            "extension": EXTENSIONS,
            "generalPractitioner": st.lists(REFERENCES, min_size=1, max_size=3),
            "managingOrganization": REFERENCES,
            "maritalStatus": st.sampled_from([{"coding": [{"code": c} for c in cs]} for cs in ("a", "xb", "x")] + [{"text": "gift"}]),
        },
    ),
)  # fmt: skip

# Profiles

REQUIRED = {"strength": "required", "valueSet": URL + "ab"}
DOCTOR = [{"code": "Reference", "targetProfile": [URL + "doctor"]}]
# id of an element -> what a profile may say of it
FACETS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Patient.gender": maybe(min=st.just(1), fixedCode=st.just("female")),
    "Patient.birthDate": maybe(min=LEAST, max=st.sampled_from(["0", "1"])).filter(lambda f: f != {"min": 1, "max": "0"}),
    "Patient.name": maybe(min=LEAST, max=MOST, patternHumanName=st.sampled_from([{"use": "official"}, {"given": ["Li"]}])),
    "Patient.name.family": maybe(min=st.just(1), maxLength=st.sampled_from([2, 4])),
    "Patient.name.given": maybe(min=LEAST, max=MOST),
    "Patient.telecom.value": maybe(min=st.just(1)),
    "Patient.maritalStatus": maybe(min=st.just(1), binding=st.just(REQUIRED)),
    "Patient.managingOrganization": st.just({"min": 1}),
    "Patient.extension.value[x]": maybe(type=st.just([{"code": "string"}])),
}  # fmt: skip


def by(kind, path="$this"):
    return {"type": kind, "path": path}


# How telecoms are told apart: the discriminator, and what tells the slices: what is said of the slice itself,
# or of a child of it.
TOLD: list[tuple[dict[str, str], list[tuple[dict[str, Any], dict[str, Any]]]]] = [
    (by("value", "use"), [({}, {"use": {"fixedCode": use}}) for use in ("home", "work")]),
    (by("pattern", "use"), [({}, {"use": {"patternCode": use}}) for use in ("mobile", "home")]),
    (by("value", "use"), [({}, {"use": {"binding": {"strength": "required", "valueSet": URL + "uses"}}}), ({}, {"use": {"fixedCode": "mobile"}})]),
    (by("pattern"), [({"patternContactPoint": {"use": "home", "system": "phone"}}, {}), ({"patternContactPoint": {"system": "email"}}, {})]),
    (by("exists", "rank"), [({}, {"rank": {"min": 1}}), ({}, {"rank": {"max": "0"}})]),
    (by("exists", "period"), [({}, {"period": {"max": "0"}}), ({}, {"period": {"min": 1}})]),
    (by("position"), [({}, {}), ({}, {})]),
]  # fmt: skip
COUNTS = st.sampled_from([{}, {}, {"max": "1"}, {"max": "2"}, {"min": 1}, {"min": 1, "max": "1"}])
AGAIN = {"slicing": {"discriminator": [by("value", "system")], "rules": "closed"}}


@st.composite
def sliced_telecoms(draw, told):
    discriminator, slices = draw(told)
    slicing = {
        "discriminator": [discriminator],
        "rules": draw(st.sampled_from(["open", "closed", "openAtEnd"])),
    }
    if draw(st.booleans()):
        slicing["ordered"] = True
    elements: dict[str, dict[str, Any]] = {"Patient.telecom": {"slicing": slicing}}
    for name, (facts, inside) in zip("ab", draw(st.permutations(slices)), strict=False):
        at = f"Patient.telecom:{name}"
        elements[at] = {"sliceName": name, **facts, **draw(COUNTS)}
        elements |= {f"{at}.{child}": of_child for child, of_child in inside.items()}
        if draw(st.booleans()):
            elements.setdefault(f"{at}.value", {})["min"] = 1
        if draw(st.booleans()) and "patternContactPoint" not in facts:
            elements[at] |= AGAIN
            for inner in ("phone", "email"):
                elements[f"{at}/{inner}"] = {
                    "sliceName": f"{name}/{inner}",
                    **draw(COUNTS),
                }
                elements[f"{at}/{inner}.system"] = {"fixedCode": inner}
                if draw(st.booleans()):
                    elements[f"{at}/{inner}.rank"] = {"min": 1} if inside.get("rank") is None else {}
    return elements


@st.composite
def sliced_doctors(draw):
    kind = draw(st.sampled_from(["type", "profile"]))
    slicing = {"discriminator": [by(kind, "resolve()")], "rules": draw(st.sampled_from(["open", "closed"]))}
    at = "Patient.generalPractitioner"
    place = [{"code": "Reference", "targetProfile": [HL7 + "Organization"]}]
    return {
        at: {"slicing": slicing},
        f"{at}:doctor": {"sliceName": "doctor", "type": DOCTOR, **draw(COUNTS)},
        f"{at}:place": {"sliceName": "place", "type": place, **draw(COUNTS)},
    }


@st.composite
def sliced_extensions(draw):
    elements = {}
    for name in ("shoe", "hat"):
        type_ = [{"code": "Extension", "profile": [URL + name]}]
        facts = {"sliceName": name, "type": type_, **draw(COUNTS)}
        elements[f"Patient.extension:{name}"] = facts
    return elements


@st.composite
def sliced_deaths(draw):
    at = "Patient.deceased[x]"
    facts = draw(maybe(min=st.just(1), fixedBoolean=st.just(True)))
    slicing = {"discriminator": [by("type")], "rules": draw(st.sampled_from(["open", "closed"]))}
    of_slice = {"sliceName": "deceasedBoolean", "type": [{"code": "boolean"}], **facts}
    return {at: {"slicing": slicing}, f"{at}:deceasedBoolean": of_slice}


DEATHS = st.one_of(
    sliced_deaths(),
    maybe(min=st.just(1), type=st.sampled_from([[{"code": "boolean"}], [{"code": "dateTime"}]])).map(
        lambda facts: {"Patient.deceased[x]": facts}
    ),
)


FACETS_ALONE = [strategy.map(lambda facts, id_=id_: {id_: facts}) for id_, strategy in FACETS.items()]
SLICED = [sliced_telecoms(st.sampled_from(TOLD)), sliced_doctors(), sliced_extensions(), DEATHS]
ADDED = [
    st.just({"Patient.telecom:a": {"sliceName": "a", "min": 1}}),
    st.just({"Patient.telecom": {"max": "2"}}),
]


@st.composite
def differentials(draw, parts, most):
    """A few of the parts: where everything is asked at once, nobody is ever good."""
    chosen = draw(st.lists(st.integers(0, len(parts) - 1), max_size=most, unique=True))
    return {id_: element for n in chosen for id_, element in draw(parts[n]).items()}


BASES = differentials([*SLICED, *FACETS_ALONE], 2)
MORE = differentials([*ADDED, *FACETS_ALONE], 1)
judged: Counter[bool] = Counter()


def agree(base, derived, patients):
    """Hold the compiled form of two profiles, the second of the first, against the plain reading."""
    first, second = definition(base, name="base"), definition(derived, base=URL + "base")
    known = {d["url"]: d for d in (first, second, *OTHERS)}
    profiles = Profiles(known)
    try:
        assert profiles.check(URL + "p")
    except ProfileError:
        return  # a min above the max, or a derived profile that allows more than its base
    world = World(known, CODES, {"#" + str(resource["id"]): resource for resource in CONTAINED})
    for patient in patients:
        context = Context(
            patient,
            check=profiles.check,
            definition=profiles.definition,
            member=lambda value_set, _, code: code in CODES[value_set],
        )
        out = Findings(context)
        conform(patient, (URL + "p",), (0, None, "Patient"), out)
        assert out.failed is not world.keeps(patient, URL + "p"), (
            patient,
            [p.diagnostics for p in out.found],
        )
        judged[out.failed] += 1


def both_say_the_same(examples, *strategies):
    """Of so many profiles, and of good and bad resources."""

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(*strategies)
    def compare(base, derived, patients):
        if "Patient.telecom:a" not in base:
            derived = {id_: e for id_, e in derived.items() if id_ != "Patient.telecom:a"}
        agree(base, derived, patients)

    judged.clear()
    compare()
    assert min(judged[True], judged[False]) > examples / 3, judged


def test_of_facets_together():
    both_say_the_same(60, BASES, MORE, st.lists(PATIENTS, min_size=2, max_size=8))


def of_one(name, values):
    """Patients of whom only one element is told."""
    alone = values.map(lambda value: {"resourceType": "Patient", "contained": CONTAINED, name: value})
    return st.lists(alone, min_size=6, max_size=6)


TELECOM = st.fixed_dictionaries(
    {"use": USES, "system": SYSTEMS, "value": st.just("1")},
    optional={"rank": st.just(1), "period": st.just({"start": "2020"})},
)


@pytest.mark.parametrize("told", range(len(TOLD)), ids=[f"{d['type']} {d['path']}" for d, _ in TOLD])
def test_of_slices_told_by(told):
    telecoms = of_one("telecom", st.lists(TELECOM, min_size=2, max_size=4))
    both_say_the_same(25, sliced_telecoms(st.just(TOLD[told])), st.just({}), telecoms)


def test_of_slices_told_by_what_they_refer_to():
    doctors = of_one("generalPractitioner", st.lists(REFERENCES, min_size=1, max_size=4))
    both_say_the_same(25, sliced_doctors(), st.just({}), doctors)
