"""The compiler against a plain interpreter: the same items, of the same types, or an error of both."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules import fhirpath
from rules.fhirpath import Element
from tests.fhirpath import reference

ENVIRONMENT = fhirpath.Environment(now="2026-11-21T10:00:00.000+01:00")
PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "active": True,
    "name": [
        {"family": "A", "given": ["B", None, "C"], "_given": [None, {"id": "x"}, None], "use": "official"},
        {"period": {"start": "2020", "end": "2021-02"}, "given": ["B"]},
        {"family": "D"},
    ],
    "telecom": [{"system": "phone", "value": "1", "rank": 1}, {"system": "email", "rank": 2}],
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "u", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "_gender": {"id": "g"},
    "multipleBirthInteger": 2,
    "contained": [{"resourceType": "Observation", "id": "o", "valueQuantity": {"value": 1.5, "code": "kg"}}],
    "extension": [
        {"url": "u", "valueQuantity": {"value": 3, "code": "mg"}},
        {"url": "v", "valueBoolean": False},
    ],
}
ATOMS = [
    *("{}", "true", "false", "1", "2", "'B'", "'x'", "1.5", "@1974", "@2020-06-01", "3 'mg'", "$this"),
    *(
        "active",
        "name",
        "name.given",
        "name.family",
        "name.use",
        "birthDate",
        "gender",
        "multipleBirth",
        "id",
    ),
    *("name.period.start", "telecom.rank", "telecom.value", "deceased", "contained", "contained.value"),
    *("extension.value", "extension('v').value", "%resource.name", "name[1]", "Patient.active", "%x", "link"),
]
CONDITIONS = [
    *(
        "active",
        "name.exists()",
        "deceased.empty()",
        "gender.exists()",
        "gender.hasValue()",
        "use = 'official'",
    ),
    *(
        "given.exists()",
        "family.exists()",
        "rank > 1",
        "value.exists()",
        "$this is HumanName",
        "name.family = 'A'",
    ),
    *("telecom.exists(rank = 1)", "name.all(given.exists())", "extension('v').value", "true", "false", "{}"),
    *(
        "period.start <= period.end",
        "birthDate < @1980",
        "name.given.count() > 2",
        "$index = 1",
        "rank in (1 | 5)",
    ),
]
LOGIC = ["and", "or", "xor", "implies"]
SIGNS = [
    "=",
    "!=",
    "~",
    "!~",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "&",
    "|",
    "in",
    "contains",
    "div",
    "mod",
]
PLAIN = [
    "first()",
    "last()",
    "tail()",
    "count()",
    "empty()",
    "exists()",
    "not()",
    "distinct()",
    "single()",
    "children()",
]
PLAIN += [
    "toString()",
    "hasValue()",
    "upper()",
    "take(1)",
    "skip(1)",
    "join('-')",
    "ofType(HumanName)",
    "ofType(Quantity)",
]
PLAIN += [
    "given",
    "family",
    "start",
    "value",
    "rank",
    "extension",
    "id",
    "descendants()",
    "as(string)",
    "length()",
]

conditions = st.recursive(
    st.sampled_from(CONDITIONS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(LOGIC), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        inner.map(lambda x: f"({x}).not()"),
        st.tuples(st.sampled_from(["name", "telecom", "%resource.name", "contained"]), inner).map(
            lambda x: f"{x[0]}.exists({x[1]})"
        ),
        st.tuples(st.sampled_from(["name", "telecom", "link"]), inner).map(lambda x: f"{x[0]}.all({x[1]})"),
        st.tuples(inner, inner, inner).map(lambda x: f"iif({x[0]}, {x[1]}, {x[2]})"),
    ),
    max_leaves=5,
)
expressions = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(SIGNS), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(inner, st.sampled_from(PLAIN)).map(lambda x: f"({x[0]}).{x[1]}"),
        st.tuples(inner, conditions).map(lambda x: f"({x[0]}).where({x[1]})"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}).select({x[1]})"),
        st.tuples(
            inner, st.sampled_from(["combine", "union", "intersect", "exclude", "subsetOf"]), inner
        ).map(lambda x: f"({x[0]}).{x[1]}({x[2]})"),
        st.tuples(conditions, inner, inner).map(lambda x: f"iif({x[0]}, {x[1]}, {x[2]})"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}).aggregate({x[1]} | $total)"),
        conditions,
    ),
    max_leaves=6,
)


def shown(items: list[Any]) -> list[Any]:
    return [(i.type, i.value, i.extra) if isinstance(i, Element) else (type(i), i) for i in items]


def compare(text: str) -> None:
    try:
        expression = fhirpath.compile(text)
    except fhirpath.CompileError:
        return  # what can only fail; the interpreter finds out when it runs
    try:
        expected = shown(reference.evaluate(text, PATIENT, ENVIRONMENT, x=[1, "B"]))
    except fhirpath.EvaluationError:
        expected = None
    try:
        found = shown(expression.typed(PATIENT, ENVIRONMENT, x=[1, "B"]))
    except fhirpath.EvaluationError as error:
        assert expected is None, (text, str(error))
        return
    if expected is None:
        assert found == [], text  # what cannot give anything is not evaluated
    else:
        assert found == expected, text
        if len(found) == 1 and found[0][0] is bool:
            assert expression.holds(PATIENT, ENVIRONMENT, x=[1, "B"]) is found[0][1], text


@settings(max_examples=250, deadline=None, derandomize=True)
@given(conditions)
def test_conditions(text: str) -> None:
    compare(text)


@settings(max_examples=350, deadline=None, derandomize=True)
@given(expressions)
def test_expressions(text: str) -> None:
    compare(text)
