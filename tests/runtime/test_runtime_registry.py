"""The registry: complete, found by type, and no operator fails on null."""

from __future__ import annotations

import pytest

from rules.runtime import arithmetic, comparison, lists, ordering, relations
from rules.runtime.errors import EvaluationError
from rules.runtime.registry import OPERATORS, find

ELM = [
    "Abs",
    "Add",
    "After",
    "AllTrue",
    "And",
    "AnyInCodeSystem",
    "AnyInValueSet",
    "AnyTrue",
    "As",
    "Avg",
    "Before",
    "CalculateAge",
    "CalculateAgeAt",
    "CanConvertQuantity",
    "Ceiling",
    "Children",
    "Coalesce",
    "Collapse",
    "Combine",
    "Concatenate",
    "Contains",
    "ConvertQuantity",
    "ConvertsToBoolean",
    "ConvertsToDate",
    "ConvertsToDateTime",
    "ConvertsToDecimal",
    "ConvertsToInteger",
    "ConvertsToLong",
    "ConvertsToQuantity",
    "ConvertsToRatio",
    "ConvertsToString",
    "ConvertsToTime",
    "Count",
    "Date",
    "DateFrom",
    "DateTime",
    "DateTimeComponentFrom",
    "Descendents",
    "DifferenceBetween",
    "Distinct",
    "Divide",
    "DurationBetween",
    "End",
    "Ends",
    "EndsWith",
    "Equal",
    "Equivalent",
    "Except",
    "Exists",
    "Exp",
    "Expand",
    "ExpandValueSet",
    "First",
    "Flatten",
    "Floor",
    "GeometricMean",
    "Greater",
    "GreaterOrEqual",
    "HighBoundary",
    "Implies",
    "In",
    "InCodeSystem",
    "InValueSet",
    "IncludedIn",
    "Includes",
    "IndexOf",
    "Indexer",
    "Intersect",
    "Interval",
    "Is",
    "IsFalse",
    "IsNull",
    "IsTrue",
    "Last",
    "LastPositionOf",
    "Length",
    "Less",
    "LessOrEqual",
    "Ln",
    "Log",
    "LowBoundary",
    "Lower",
    "Matches",
    "Max",
    "MaxValue",
    "Median",
    "Meets",
    "MeetsAfter",
    "MeetsBefore",
    "Message",
    "Min",
    "MinValue",
    "Mode",
    "Modulo",
    "Multiply",
    "Negate",
    "Not",
    "NotEqual",
    "Now",
    "Or",
    "Overlaps",
    "OverlapsAfter",
    "OverlapsBefore",
    "PointFrom",
    "PopulationStdDev",
    "PopulationVariance",
    "PositionOf",
    "Power",
    "Precision",
    "Predecessor",
    "Product",
    "ProperContains",
    "ProperIn",
    "ProperIncludedIn",
    "ProperIncludes",
    "Property",
    "ReplaceMatches",
    "Round",
    "SameAs",
    "SameOrAfter",
    "SameOrBefore",
    "SingletonFrom",
    "Size",
    "Slice",
    "Sort",
    "Split",
    "SplitOnMatches",
    "Start",
    "Starts",
    "StartsWith",
    "StdDev",
    "Substring",
    "Subtract",
    "Successor",
    "Sum",
    "Time",
    "TimeFrom",
    "TimeOfDay",
    "TimezoneOffsetFrom",
    "ToBoolean",
    "ToChars",
    "ToConcept",
    "ToDate",
    "ToDateTime",
    "ToDecimal",
    "ToInteger",
    "ToList",
    "ToLong",
    "ToQuantity",
    "ToRatio",
    "ToString",
    "ToTime",
    "Today",
    "Truncate",
    "TruncatedDivide",
    "Union",
    "Upper",
    "Variance",
    "Width",
    "Xor",
]
PRECISE = {"DurationBetween", "DifferenceBetween", "DateTimeComponentFrom", "CalculateAge", "CalculateAgeAt"}
FAILS_ON_NULL = {"MinValue", "MaxValue"}


@pytest.mark.parametrize("name", ELM)
def test_every_operator_of_elm_is_there(name):
    assert any(name == operator for operator, _ in OPERATORS)


@pytest.mark.parametrize(("name", "operands"), OPERATORS, ids=lambda part: str(part))
def test_no_operator_fails_on_null(name, operands):
    if name not in FAILS_ON_NULL:
        OPERATORS[name, operands](*[None] * len(operands), *(("day",) if name in PRECISE else ()))


def test_the_most_exact_function_is_found():
    assert find("Add", ["Integer", "Integer"]) is arithmetic.add_integer
    assert find("Less", ["Decimal", "Decimal"]) is comparison.less
    assert find("Less", ["Date", "Date"]) is comparison.less_ordered
    assert find("Equal", ["List<Integer>", "List<Integer>"]) is comparison.equal_list
    assert find("Equal", ["Patient", "Patient"]) is comparison.equal
    assert find("Contains", ["Interval<Date>", "Date"]) is relations.contains
    assert find("Contains", ["List<Date>", "Date"]) is lists.contains
    assert find("Includes", ["List<Date>", "List<Date>"]) is lists.includes
    assert find("Add", ["Boolean", "Boolean"]) is None
    assert find("Nothing", []) is None


def test_an_uncertainty_knows_what_is_not_defined():
    for undefined in (
        abs,
        int,
        float,
        lambda value: value // 2,
        lambda value: 2 % value,
        lambda value: value**2,
    ):
        with pytest.raises(EvaluationError):
            undefined(ordering.Uncertainty(1, 2))
    assert hash(ordering.Uncertainty(1, 2)) == hash(ordering.Uncertainty(1, 2))
