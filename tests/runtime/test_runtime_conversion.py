"""Conversions, types, terminology and messages."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import clinical, types
from rules.runtime import conversion as v
from rules.runtime.context import Context, evaluation
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.messages import message
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet

RATIO = Ratio(Quantity(D("1.0"), "mg"), Quantity(D("2.0"), "mL"))
CODE = Code("8480-6", "http://loinc.org", None, "Systolic")


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        *((v.to_boolean, word, True) for word in ("true", "T", "Yes", "y", "1")),
        *((v.to_boolean, word, False) for word in ("false", "F", "NO", "n", "0")),
        (v.to_boolean, "falsetto", None),
        (v.to_boolean, 1, True),
        (v.to_boolean, Long(0), False),
        (v.to_boolean, D("1.0"), True),
        (v.to_boolean, 2, None),
        (v.to_boolean, True, True),
        (v.to_integer, "-25", -25),
        (v.to_integer, "+7", 7),
        (v.to_integer, "2147483648", None),
        (v.to_integer, "1.0", None),
        (v.to_integer, "one", None),
        (v.to_integer, "٣", None),
        (v.to_integer, "9" * 5000, None),
        (v.to_integer, Long(5), 5),
        (v.to_integer, Long(2**40), None),
        (v.to_integer, True, 1),
        (v.to_integer, D(1), None),
        (v.to_long, "5", Long(5)),
        (v.to_long, 5, Long(5)),
        (v.to_long, str(2**63), None),
        (v.to_decimal, "+25.5", D("25.5")),
        (v.to_decimal, "-0.1", D("-0.1")),
        (v.to_decimal, "+-0.1", None),
        (v.to_decimal, ".1", None),
        (v.to_decimal, "1e5", None),
        (v.to_decimal, "0.123456789", D("0.12345679")),
        (v.to_decimal, "1" * 40, None),
        (v.to_decimal, 5, D(5)),
        (v.to_decimal, Long(5), D(5)),
        (v.to_decimal, True, D("1.0")),
        (v.to_string, True, "true"),
        (v.to_string, -5, "-5"),
        (v.to_string, Long(10000), "10000"),
        (v.to_string, D("18.55"), "18.55"),
        (v.to_string, D(1), "1.0"),
        (v.to_string, D("1E+3"), "1000.0"),
        (v.to_string, Quantity(D(125), "cm"), "125 'cm'"),
        (v.to_string, Quantity(D(4), "days"), "4 days"),
        (v.to_string, RATIO, "1.0 'mg':2.0 'mL'"),
        (v.to_string, parse_date("2014-01"), "2014-01"),
        (v.to_string, parse_datetime("2000-01-01T08:25:25.300-07:00"), "2000-01-01T08:25:25.300-07:00"),
        (v.to_string, parse_datetime("2000-01-01"), "2000-01-01"),
        (v.to_string, parse_time("09:30:01.003"), "09:30:01.003"),
        (v.to_string, [1], None),
        (v.to_quantity, "5.5 'cm'", Quantity(D("5.5"), "cm")),
        (v.to_quantity, "5.5'cm'", Quantity(D("5.5"), "cm")),
        (v.to_quantity, "-0.1 'mg'", Quantity(D("-0.1"), "mg")),
        (v.to_quantity, "4 days", Quantity(D(4), "days")),
        (v.to_quantity, "444 'cm", None),
        (v.to_quantity, "4 parsecs", None),
        (v.to_quantity, "13", Quantity(D(13))),
        (v.to_quantity, 13, Quantity(D(13))),
        (v.to_quantity, D("0.1"), Quantity(D("0.1"))),
        (v.to_quantity, RATIO, Quantity(D("0.5"), "mg/mL")),
        (v.to_quantity, True, None),
        (v.to_ratio, "1.0 'mg':2.0 'mL'", RATIO),
        (v.to_ratio, "1 '{a:b}':2 'mL'", Ratio(Quantity(D(1), "{a:b}"), Quantity(D(2), "mL"))),
        (v.to_ratio, "1.0 'mg';2.0 'mg'", None),
        (v.to_date, "2014-01", parse_date("2014-01")),
        (v.to_date, "2014-01-01T12:30:00", parse_date("2014-01-01")),
        (v.to_date, parse_datetime("2014-01-01T12:30"), parse_date("2014-01-01")),
        (v.to_date, "2014-13", None),
        (v.to_date_time, "2014-01-01", parse_datetime("2014-01-01")),
        (v.to_date_time, "2014-01-01T12:05:05.955+01:30", parse_datetime("2014-01-01T12:05:05.955+01:30")),
        (v.to_date_time, "2014/01/01T12:05", None),
        (v.to_date_time, parse_date("2014-01"), parse_datetime("2014-01")),
        (v.to_time, "T14:30:00.0Z", parse_time("14:30:00.000")),
        (v.to_time, "14:30", parse_time("T14:30")),
        (v.to_time, "T14-30", None),
        (v.to_time, parse_datetime("2014-01-01T14:30:00.000+01:00"), parse_time("14:30:00.000")),
        (v.to_concept, CODE, Concept((CODE,), "Systolic")),
        (v.to_concept, [CODE, None], Concept((CODE,))),
    ],
)
def test_conversions(function, value, expected):
    found = function(value)
    assert found == expected
    assert type(found) is type(expected)
    assert function(None) is None


def test_converts_to():
    assert v.converts_to_integer("5") is True
    assert v.converts_to_integer("five") is False
    assert v.converts_to_date(parse_date("2014")) is True
    assert v.converts_to_string([1]) is False
    assert v.converts_to_quantity(None) is None


def test_uncertain_integers_become_uncertain_decimals():
    assert v.to_decimal(Uncertainty(1, 3)).bounds == (D(1), D(3))
    assert v.to_long(Uncertainty(1, 3)).bounds == (Long(1), Long(3))
    assert v.to_integer(Uncertainty(1, 3)).bounds == (1, 3)


@settings(deadline=None, max_examples=100)
@given(st.decimals(-(10**12), 10**12, places=8), st.sampled_from(["mg", "days", "1", "{a}"]))
def test_what_is_written_reads_back(number, unit):
    assert v.to_decimal(v.to_string(number)) == number
    assert v.to_quantity(v.to_string(Quantity(number, unit))) == Quantity(number, unit)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (5, "Integer", True),
        (True, "Integer", False),
        (Long(5), "Integer", False),
        (Long(5), "Long", True),
        (5, "Any", True),
        (None, "Integer", False),
        (None, "Any", False),
        (ValueSet("http://a"), "Vocabulary", True),
        (Tuple(a=1), "Tuple", True),
        ({"resourceType": "Patient"}, "Tuple", False),
        (5, "Nothing", False),
    ],
)
def test_is_as_and_cast(value, name, expected):
    assert types.is_(value, name) is expected
    assert types.as_(value, name) == (value if expected else None)
    if expected or value is None:
        assert types.cast(value, name) is value
    else:
        with pytest.raises(EvaluationError):
            types.cast(value, name)


def test_properties():
    assert types.property_(Quantity(D(1), "mg"), "unit") == "mg"
    assert types.property_(Interval(1, 2, True, False), "highClosed") is False
    assert types.property_(Concept((CODE,)), "codes") == [CODE]
    assert types.property_(Tuple(a=1), "b") is None
    assert types.property_(None, "a") is None
    assert types.property_(5, "nothing") is None


def test_children_and_descendants():
    value = Tuple(a=[1, None, Tuple(b=2)], c=Quantity(D(3), "mg"), d=None)
    assert types.children(value) == [1, Tuple(b=2), Quantity(D(3), "mg")]
    assert types.descendants(value) == [1, Tuple(b=2), Quantity(D(3), "mg"), 2, D(3), "mg"]
    assert types.children([value, None]) == types.children(value)
    assert types.children(Interval(1, 2)) == [1, 2, True, True]
    assert types.children(5) == []
    assert types.children(None) is None
    assert types.descendants(None) is None
    deep = value
    for _ in range(5000):
        deep = [deep]
    nested = Tuple(x=Tuple())
    for _ in range(5000):
        nested = Tuple(x=nested)
    assert len(types.descendants(nested)) == 5001


SYSTOLIC = ValueSet("http://example.org/systolic")
LOINC = CodeSystem("http://loinc.org")


@pytest.fixture
def terminology():
    asked = []

    def expand(valueset):
        asked.append(valueset)
        two = [Code("1", "a"), Code("1", "b"), CODE]
        return two if valueset == SYSTOLIC else None

    def known(code, system):
        return code == "8480-6" if system == LOINC else None

    with evaluation(Context(valueset=expand, in_codesystem=known)):
        yield asked


def test_value_sets(terminology):
    assert clinical.in_value_set(Code("8480-6", "http://loinc.org"), SYSTOLIC) is True
    assert clinical.in_value_set(Code("8480-6", "http://other"), SYSTOLIC) is False
    assert clinical.in_value_set("8480-6", SYSTOLIC) is True
    assert clinical.in_value_set("2", SYSTOLIC) is False
    assert clinical.in_value_set(Concept((Code("9", "x"), CODE)), SYSTOLIC) is True
    assert clinical.in_value_set([None, CODE], SYSTOLIC) is True
    assert clinical.in_value_set([], SYSTOLIC) is False
    assert clinical.in_value_set(None, SYSTOLIC) is False
    assert clinical.in_value_set(CODE, None) is None
    assert terminology == [SYSTOLIC]  # asked for once in an evaluation
    assert clinical.expand_value_set(SYSTOLIC)[-1] == CODE
    assert clinical.expand_value_set(None) is None
    with pytest.raises(EvaluationError, match="more than one"):
        clinical.in_value_set("1", SYSTOLIC)
    with pytest.raises(EvaluationError, match="not known"):
        clinical.in_value_set(CODE, ValueSet("http://unknown"))


def test_code_systems(terminology):
    assert clinical.in_code_system("8480-6", LOINC) is True
    assert clinical.in_code_system(Code("8480-6", "http://loinc.org"), LOINC) is True
    assert clinical.in_code_system(Code("8480-6", "http://other"), LOINC) is False
    assert clinical.in_code_system(Concept((Code("1", "x"), CODE)), LOINC) is True
    assert clinical.in_code_system(["1", None], LOINC) is False
    assert clinical.in_code_system(None, LOINC) is False
    assert clinical.in_code_system(CODE, None) is None
    with pytest.raises(EvaluationError):
        clinical.in_code_system("1", CodeSystem("http://unknown"))


def test_without_terminology():
    with pytest.raises(EvaluationError):
        clinical.in_value_set(CODE, SYSTOLIC)


def test_messages():
    received = []
    with evaluation(Context(message=received.append)):
        assert message(1, True, "100", "Warning", "careful") == 1
        assert message(2, False, "100", "Error", "not shown") == 2
        assert message([3], None, "100", "Error", "not shown") == [3]
        assert message(4, True, "200", None, "shown") == 4
        with pytest.raises(EvaluationError, match="400: stop"):
            message(5, True, "400", "Error", "stop")
    assert [(one.code, one.severity, one.text, one.source) for one in received] == [
        ("100", "Warning", "careful", 1),
        ("200", "Message", "shown", 4),
    ]
    assert message(6, True, "100", "Trace", "nobody listens") == 6
