"""Profiles that mean harm: refused with a reason, or judged in bounded time, never a crash.

Times are bounds that only what grows without measure exceeds; see also test_profiles.py.
"""

from __future__ import annotations

import copy
import json
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.conformance import check_definition
from profiles import context
from profiles.conformance import Profiles
from profiles.definitions import load
from profiles.structure import validate
from profiles.tree import ProfileError
from tests.profiles.test_profiles import BY_USE, HL7, URL, definition, judge, patient, sliced

LONG = 60  # seconds


def refused(definition_):
    with pytest.raises(ProfileError) as error:
        Profiles({definition_["url"]: definition_}).check(definition_["url"])
    return str(error.value)


def test_a_chain_of_profiles_has_so_many_elements_together():
    """Each adds slices to its base: every one of them alone would be let through."""
    links = [
        definition(
            sliced("Patient.telecom", BY_USE, {f"s{n}-{m}": ({}, {"use": {"fixedCode": "home"}}) for m in range(500)}),
            name=f"n{n}",
            base=HL7 + "Patient" if n == 0 else f"{URL}n{n - 1}",
        )
        for n in range(12)
    ]  # fmt: skip
    profiles = Profiles({link["url"]: link for link in links})
    with pytest.raises(ProfileError, match="those it derives from may have 5000 elements together"):
        profiles.check(URL + "n11")


def test_slices_of_slices_of_slices_compile():
    """As deep as a path may be: each level is one more block in the loop."""
    elements = sliced("Patient.telecom", BY_USE, {"a": ({}, {"use": {"fixedCode": "home"}})})
    name = "a"
    for _ in range(50):
        elements[f"Patient.telecom:{name}"]["slicing"] = {"discriminator": [BY_USE], "rules": "open"}
        name += "/a"
        elements[f"Patient.telecom:{name}"] = {"sliceName": name, "min": 1}
        elements[f"Patient.telecom:{name}.use"] = {"fixedCode": "home"}
    found = judge(patient(telecom=[{"use": "home", "value": "1", "system": "phone"}]), definition(elements))
    assert found == []


def test_a_discriminator_through_a_profile_of_itself_doubles_nothing():
    """Each step leads to the element of the slice and to that of its profile, which is the same again."""
    again = {"type": [{"code": "Extension", "profile": [URL + "p"]}]}
    path = ".".join(["extension('u')"] * 50) + ".value"
    elements = {
        "Extension.extension": {"slicing": {"discriminator": [{"type": "value", "path": path}], "rules": "open"}},
        "Extension.extension:a": {"sliceName": "a", **again},
        "Extension.extension:a.url": {"fixedUri": "u"},
        "Extension.extension:b": {"sliceName": "b", **again},
        "Extension.extension:b.url": {"fixedUri": "u"},
    }  # fmt: skip
    started = time.perf_counter()
    hostile = definition(elements, "Extension")
    profiles = Profiles({hostile["url"]: hostile})
    with pytest.raises(ProfileError, match="No discriminator tells"):
        profiles.check(hostile["url"])
    assert time.perf_counter() - started < LONG


def test_discriminators_and_their_paths_are_counted():
    slices = {"a": ({}, {"use": {"fixedCode": "home"}})}
    long_path = {"type": "value", "path": ".".join(["use"] * 100)}
    assert "may have 60 steps" in refused(definition(sliced("Patient.telecom", long_path, slices)))
    elements = sliced("Patient.telecom", BY_USE, slices)
    elements["Patient.telecom"]["slicing"]["discriminator"] = [BY_USE] * 100
    assert "may have 30 discriminators" in refused(definition(elements))


def test_too_many_slices_for_too_many_items_are_given_up(monkeypatch):
    """Millions of tests are no answer within a request; that it was given up is an error, not silence."""
    monkeypatch.setattr(context, "MOST_STEPS", 1000)
    slices = {f"s{n}": ({}, {"value": {"fixedString": str(n)}}) for n in range(50)}
    profile = definition(sliced("Patient.telecom", {"type": "value", "path": "value"}, slices))
    few, many = ([{"system": "phone", "value": "x"} for _ in range(n)] for n in (10, 30))
    assert judge(patient(telecom=few), profile) == []
    assert judge(patient(telecom=many), profile) == [("error", "too-costly", "Patient")]


def test_what_fails_many_times_over_is_simply_of_no_slice():
    """A hundred problems in one entry ended the whole validation."""
    strict = definition({"Patient.name.family": {"maxLength": 1}}, name="strict")
    of_strict = {"resource": {"type": [{"code": "Patient", "profile": [strict["url"]]}]}}
    by_profile = {"type": "profile", "path": "resource"}
    profile = definition(sliced("Bundle.entry", by_profile, {"s": ({"min": 1}, of_strict)}), "Bundle", "b")
    wordy = patient(id="w", name=[{"family": "Berg"} for _ in range(150)])
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": wordy}, {"resource": patient(id="s", name=[{"family": "B"}])}],
    }
    assert judge(bundle, profile, strict) == []


# What a client may store as a StructureDefinition is made sense of, or refused: nothing else happens.

WORDS = st.sampled_from(
    ["", "Patient", "Patient.name", "Patient.deceased[x]", "a", "a/b", "*", "0", "1", "-1", "99999999999", "$this", "value", "closed", "required", HL7 + "Patient", URL + "p", "a:b", "Extension"]
)  # fmt: skip


def places(value, way=()):
    """Every place in a definition, by the way to it."""
    yield way
    for key, child in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(child, (*way, key))  # fmt: skip


@cache
def ours():
    return [
        json.loads(bytes(text)) for url, text in sorted(load().published.items()) if "explanation" not in url
    ]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_spoilt_definition_is_judged(data):
    spoilt = copy.deepcopy(data.draw(st.sampled_from(ours())))
    spoilt["url"] = URL + "p"
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([w for w in places(spoilt) if w]))
        holder = spoilt
        for key in way:
            holder = holder[key]
        if data.draw(st.booleans()) and isinstance(holder[last], str):
            holder[last] = data.draw(WORDS)
        elif isinstance(holder, dict):
            del holder[last]
        else:
            holder.append(copy.deepcopy(holder[last]))
    if not [p for p in validate(spoilt) if p.severity == "error"]:
        for issue in check_definition(spoilt):
            assert issue.severity == "error" and issue.diagnostics
