"""Compiled profiles and a slow, plain reading of the same StructureDefinitions agree on every resource."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from profiles.conformance import Profiles, conform
from profiles.context import Context
from profiles.findings import Findings
from profiles.tree import ProfileError
from tests.profiles.plain_profiles import keeps
from tests.profiles.test_profiles import URL, definition

USES = st.sampled_from(["home", "work", "mobile"])
SYSTEMS = st.sampled_from(["phone", "email"])
FAMILIES = st.sampled_from(["Li", "Berg"])
LEAST, MOST = st.integers(0, 2), st.sampled_from(["0", "1", "2", "*"])


def maybe(**optional):
    return st.fixed_dictionaries({}, optional=optional).filter(bool)


CONTACT_POINTS = st.lists(maybe(use=USES, system=SYSTEMS, value=st.just("1")), min_size=1, max_size=3)
NAMES = st.lists(maybe(use=st.just("official"), family=FAMILIES, given=st.lists(FAMILIES, min_size=1, max_size=2)), min_size=1, max_size=2)  # fmt: skip
PATIENTS = st.builds(
    lambda deceased, rest: {"resourceType": "Patient", **deceased, **rest},
    st.sampled_from([{}, {"deceasedBoolean": True}, {"deceasedDateTime": "2020"}]),
    st.fixed_dictionaries(
        {},
        optional={
            "gender": st.sampled_from(["female", "male"]),
            "birthDate": st.just("1950"),
            "telecom": CONTACT_POINTS,
            "name": NAMES,
        },
    ),
)
# id of an element -> what a profile may say of it
FACETS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Patient.gender": maybe(min=st.just(1), fixedCode=st.just("female")),
    "Patient.birthDate": maybe(min=LEAST.filter(lambda n: n < 2), max=st.sampled_from(["0", "1"])),
    "Patient.name": maybe(min=LEAST, max=MOST, patternHumanName=st.sampled_from([{"use": "official"}, {"given": ["Li"]}])),
    "Patient.name.family": maybe(min=st.just(1), maxLength=st.sampled_from([2, 4])),
    "Patient.name.given": maybe(min=LEAST, max=MOST),
    "Patient.deceased[x]": maybe(min=st.just(1), type=st.sampled_from([[{"code": "boolean"}], [{"code": "dateTime"}]])),
    "Patient.telecom.value": maybe(min=st.just(1)),
}  # fmt: skip


@st.composite
def differentials(draw, sliced):
    elements = {}
    for id_, facets in FACETS.items():
        if draw(st.booleans()):
            elements[id_] = draw(facets)
    if sliced and draw(st.booleans()):
        rules = draw(st.sampled_from(["open", "closed"]))
        elements["Patient.telecom"] = {
            "slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": rules}
        }
        for name in draw(st.lists(st.sampled_from(["home", "work"]), unique=True)):
            elements[f"Patient.telecom:{name}"] = {"sliceName": name, **draw(maybe(min=LEAST, max=MOST))}
            elements[f"Patient.telecom:{name}.use"] = {"fixedCode": name}
            if draw(st.booleans()):
                elements[f"Patient.telecom:{name}.system"] = {"min": 1, "fixedCode": draw(SYSTEMS)}
    return elements


@settings(max_examples=80, deadline=None)
@given(
    base=differentials(True),
    derived=differentials(False),
    patients=st.lists(PATIENTS, min_size=1, max_size=6),
)
def test_both_say_the_same(base, derived, patients):
    first = definition(base, name="base")
    second = definition(derived, base=URL + "base")
    profiles = Profiles({d["url"]: d for d in (first, second)})
    try:
        assert profiles.check(URL + "p")
    except ProfileError:
        assume(False)  # a min above the max, or a derived profile that allows more than its base
    chain = [first["differential"]["element"], second["differential"]["element"]]
    for patient in patients:
        out = Findings(Context(patient, check=profiles.check, definition=profiles.definition))
        conform(patient, (URL + "p",), (0, None, "Patient"), out)
        assert (out.found == []) == keeps(patient, chain), [p.diagnostics for p in out.found]
