"""https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html: the grammar, and what is granted."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.access.grant import ResourceScope, Role
from fhir_server.smart import scopes

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("patient/Observation.rs", ("patient", "Observation", "rs")),
        ("user/*.cruds", ("user", "*", "cruds")),
        ("system/Patient.d", ("system", "Patient", "d")),
        ("patient/Observation.read", ("patient", "Observation", "rs")),
        ("patient/Observation.write", ("patient", "Observation", "cud")),
        ("user/*.*", ("user", "*", "cruds")),
        (f"patient/Observation.rs?category={LAB}", ("patient", "Observation", "rs", (("category", LAB),))),
        (
            "patient/Observation.r?code=a%26b%2Bc&status=final",
            ("patient", "Observation", "r", (("code", "a&b+c"), ("status", "final"))),
        ),
        (
            "user/Observation.rs?patient.birthdate=1990",
            ("user", "Observation", "rs", (("patient.birthdate", "1990"),)),
        ),
        ("patient/*.rs?_tag=http://x.no|a", ("patient", "*", "rs", (("_tag", "http://x.no|a"),))),
    ],
)
def test_a_scope_means(text: str, meaning: tuple[object, ...]) -> None:
    scope = scopes.read(text)
    assert scope is not None and scope.resource == ResourceScope(*meaning)  # type: ignore[arg-type]
    again = scopes.read(scopes.written(scope.resource))
    assert again is not None and again.resource == scope.resource


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.",
        "patient/Observation.dus",
        "patient/Observation.rr",
        "patient/Observation.rd.read",
        "patient/Observation.reads",
        "patient/Observation",
        "patient/observation.rs",
        "patient/Nothing.rs",
        "patient/Observation.RS",
        "Patient/Observation.rs",
        "group/Observation.rs",
        "patient/Observation.read?code=a",  # version 1 knows no restrictions
        "patient/Observation.rs?",
        "patient/Observation.rs?code",
        "patient/Observation.rs?code=",
        "patient/Observation.rs?nothing=a",
        "patient/Observation.rs?code:nothing=a",
        "patient/Observation.rs?code:in=http://x.no/vs",  # what it gives would change with the value set
        "patient/Observation.rs?date=yesterday",
        "patient/Observation.rs?code=a&nothing=a",
        "patient/Observation.rs?_sort=date",
        "patient/Observation.rs?_count=1",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?code=%ff",
        "patient/*.rs?code=a",
        "launch/nothing",
        "offline",
        "",
    ],
)
def test_what_is_no_scope_is_left_out_and_never_widened(text: str) -> None:
    assert scopes.read(text) is None
    assert scopes.parse(f"openid {text} user/Patient.r") == scopes.parse("openid user/Patient.r")
    assert scopes.granted(text, "patient/*.cruds user/*.cruds system/*.cruds launch", "practitioner") == ()


@pytest.mark.parametrize(
    "asked, registered, role, granted",
    [
        ("patient/*.rs", "patient/*.cruds", "patient", "patient/*.rs"),
        ("patient/*.cruds", "patient/*.rs", "patient", "patient/*.rs"),
        ("patient/*.rs", "patient/Observation.rs patient/Patient.r", "patient", "patient/Observation.rs patient/Patient.r"),
        ("patient/Observation.cruds", "patient/*.rs", "patient", "patient/Observation.rs"),
        ("patient/*.read", "patient/*.cruds", "patient", "patient/*.read"),
        ("patient/*.*", "patient/*.rs", "patient", "patient/*.read"),
        ("patient/*.*", "patient/*.cud", "patient", "patient/*.write"),
        ("patient/*.*", "patient/*.r", "patient", "patient/*.r"),
        ("patient/*.*", "patient/*.rs?_tag=a", "patient", "patient/*.rs?_tag=a"),
        ("user/*.rs", "patient/*.rs", "practitioner", ""),
        ("system/*.rs user/*.rs", "system/*.rs user/*.rs", "administrator", "user/*.rs"),
        ("system/*.rs user/*.rs", "system/*.rs user/*.rs", "system", "system/*.rs"),
        ("openid launch offline_access", "openid launch/patient", "patient", "openid"),
        (
            "patient/Observation.rs?code=a",
            "patient/Observation.rs?status=final",
            "patient",
            "patient/Observation.rs?code=a&status=final",
        ),
        ("patient/Observation.rs", "patient/Observation.r patient/Observation.s", "patient",
         "patient/Observation.r patient/Observation.s"),
        ("patient/Observation.rs patient/Observation.rs", "patient/*.rs", "patient", "patient/Observation.rs"),
    ],
)  # fmt: skip
def test_an_app_gets_what_was_asked_and_is_allowed(
    asked: str, registered: str, role: Role, granted: str
) -> None:
    assert scopes.printed(scopes.granted(asked, registered, role)) == granted


def test_a_request_of_endless_scopes_is_cut() -> None:
    assert (
        len(scopes.parse(" ".join(f"patient/Observation.rs?_id={n}" for n in range(10_000)))) == scopes.MOST
    )


# -- against a slow reference: a scope as the set of everything that it allows ---------------------

LEVELS, TYPES, LETTERS = ("patient", "user", "system"), ("Patient", "Observation"), "cruds"
CRITERIA = (("_id", "a"), ("_tag", "b"))
Atom = tuple[str, str, str, frozenset[tuple[str, str]]]

SCOPE = st.builds(
    lambda level, type_, may, criteria: ResourceScope(level, type_, "".join(x for x in LETTERS if x in may), criteria),
    st.sampled_from(LEVELS),
    st.sampled_from(("*", *TYPES)),
    st.sets(st.sampled_from(LETTERS), min_size=1),
    st.lists(st.sampled_from(CRITERIA), unique=True).map(tuple),
)  # fmt: skip
MANY = st.lists(SCOPE, min_size=1, max_size=4)


def atoms(scope: ResourceScope) -> set[Atom]:
    """(level, type, letter, what the resource fulfils) for everything that is allowed."""
    types = TYPES if scope.type == "*" else (scope.type,)
    worlds = [
        frozenset(c for c, there in zip(CRITERIA, bits, strict=True) if there)
        for bits in product((0, 1), repeat=2)
    ]
    return {
        (scope.level, type_, letter, world)
        for type_ in types
        for letter in scope.may
        for world in worlds
        if set(scope.criteria) <= world
    }


def allowed(many: list[ResourceScope]) -> set[Atom]:
    return set().union(*map(atoms, many))


def text(many: list[ResourceScope]) -> str:
    return " ".join(map(scopes.written, many))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(SCOPE, SCOPE)
def test_meet_allows_what_both_allow_and_covers_is_inclusion(
    one: ResourceScope, other: ResourceScope
) -> None:
    both = scopes.meet(one, other)
    assert (atoms(both) if both else set()) == atoms(one) & atoms(other)
    assert scopes.covers(one, other) == (atoms(other) <= atoms(one))


@settings(derandomize=True, max_examples=80, deadline=None)
@given(MANY, MANY, st.sampled_from(("patient", "practitioner", "system")))
def test_what_is_granted_is_asked_registered_and_allowed_and_nothing_of_it_is_lost(
    asked: list[ResourceScope], registered: list[ResourceScope], role: Role
) -> None:
    granted = scopes.granted(text(asked), text(registered), role)
    levels = scopes.LEVELS[role]
    expected = {atom for atom in allowed(asked) & allowed(registered) if atom[0] in levels}
    assert allowed(list(scopes.resources(granted))) == expected
    assert scopes.parse(scopes.printed(granted)) == granted  # the token says it, and means it


@settings(derandomize=True, max_examples=80, deadline=None)
@given(MANY, MANY)
def test_a_refresh_narrows_and_never_widens(asked: list[ResourceScope], held: list[ResourceScope]) -> None:
    chosen = scopes.narrowed(text(asked), text(held))
    if chosen is not None:
        assert allowed(list(scopes.resources(chosen))) == allowed(asked) <= allowed(held)
    elif len(held) == 1:
        assert not allowed(asked) <= allowed(held)
