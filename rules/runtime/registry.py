"""The one list of the operators there are, by ELM's name and the types of the operands.

https://cql.hl7.org/elm.html. Times take the precision, where ELM's node has one, as a last argument
(`precision="day"`); DurationBetween, DifferenceBetween, CalculateAge and CalculateAgeAt always have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Final, TypeAlias

from rules.runtime import (
    aggregates,
    arithmetic,
    bounds,
    calendar,
    clinical,
    comparison,
    conversion,
    interval,
    interval_sets,
    lists,
    logic,
    matching,
    messages,
    nullology,
    quantities,
    relations,
    strings,
    timing,
    types,
)

Operator: TypeAlias = Callable[..., Any]
Signature: TypeAlias = tuple[str, ...]

TIMES: Final = ("Date", "DateTime", "Time")
_SIMPLE: Final = ("Boolean", "Integer", "Long", "Decimal", "String")


def _both(name: str, functions: dict[str, Operator]) -> Iterable[tuple[tuple[str, Signature], Operator]]:
    """An operator of two operands of one type."""
    return (((name, (kind, kind)), function) for kind, function in functions.items())


def _each(name: str, functions: dict[str, Operator]) -> Iterable[tuple[tuple[str, Signature], Operator]]:
    """An operator of one operand."""
    return (((name, (kind,)), function) for kind, function in functions.items())


def _pairs(functions: dict[str, Operator], *kinds: str) -> Iterable[tuple[tuple[str, Signature], Operator]]:
    """Several operators over the same operands."""
    return (((name, kinds), function) for name, function in functions.items())


def _comparisons(name: str, plain: Operator, ordered: Operator) -> dict[tuple[str, Signature], Operator]:
    kinds = {"Any": ordered, **dict.fromkeys(("Integer", "Long", "Decimal", "String"), plain)}
    return dict(_both(name, kinds))


_LOGIC: Final[dict[tuple[str, Signature], Operator]] = {
    ("And", ("Boolean", "Boolean")): logic.and_,
    ("Or", ("Boolean", "Boolean")): logic.or_,
    ("Xor", ("Boolean", "Boolean")): logic.xor,
    ("Implies", ("Boolean", "Boolean")): logic.implies,
    ("Not", ("Boolean",)): logic.not_,
    ("IsNull", ("Any",)): nullology.is_null,
    ("IsTrue", ("Boolean",)): nullology.is_true,
    ("IsFalse", ("Boolean",)): nullology.is_false,
    ("Message", ("Any", "Boolean", "String", "String", "String")): messages.message,
}
_COMPARISON: Final[dict[tuple[str, Signature], Operator]] = {
    **dict(_both("Equal", dict.fromkeys(_SIMPLE, comparison.equal_simple))),
    **dict(_both("Equal", dict.fromkeys(TIMES, comparison.equal_times))),
    **dict(
        _both(
            "Equal",
            {
                "Quantity": comparison.equal_quantity,
                "Ratio": comparison.equal_ratio,
                "Interval": comparison.equal_interval,
                "List": comparison.equal_list,
                "Tuple": comparison.equal_tuple,
                "Code": comparison.equal_code,
                "Concept": comparison.equal_concept,
                "Any": comparison.equal,
            },
        )
    ),
    **dict(_both("NotEqual", dict.fromkeys(_SIMPLE, comparison.not_equal_simple))),
    ("NotEqual", ("Any", "Any")): comparison.not_equal,
    **dict(_both("Equivalent", dict.fromkeys(("Boolean", "Integer", "Long"), comparison.equivalent_simple))),
    **dict(_both("Equivalent", dict.fromkeys(TIMES, comparison.equivalent_times))),
    **dict(_both("Equivalent", dict.fromkeys(("Code", "Concept"), comparison.equivalent_concept))),
    ("Equivalent", ("Code", "Concept")): comparison.equivalent_concept,
    ("Equivalent", ("Concept", "Code")): comparison.equivalent_concept,
    **dict(
        _both(
            "Equivalent",
            {
                "String": comparison.equivalent_string,
                "Decimal": comparison.equivalent_decimal,
                "Quantity": comparison.equivalent_quantity,
                "Ratio": comparison.equivalent_ratio,
                "Interval": comparison.equivalent_interval,
                "List": comparison.equivalent_list,
                "Tuple": comparison.equivalent_tuple,
                "Any": comparison.equivalent,
            },
        )
    ),
    ("NotEquivalent", ("Any", "Any")): comparison.not_equivalent,
    **_comparisons("Less", comparison.less, comparison.less_ordered),
    **_comparisons("LessOrEqual", comparison.less_or_equal, comparison.less_or_equal_ordered),
    **_comparisons("Greater", comparison.greater, comparison.greater_ordered),
    **_comparisons("GreaterOrEqual", comparison.greater_or_equal, comparison.greater_or_equal_ordered),
}
_ARITHMETIC: Final[dict[tuple[str, Signature], Operator]] = {
    **{
        (name, (kind, kind)): getattr(arithmetic, f"{function}_{kind.lower()}")
        for name, function in {
            "Add": "add",
            "Subtract": "subtract",
            "Multiply": "multiply",
            "TruncatedDivide": "truncated_divide",
            "Modulo": "modulo",
            "Power": "power",
        }.items()
        for kind in ("Integer", "Long", "Decimal")
    },
    **{
        (name, (kind,)): getattr(arithmetic, f"{name.lower()}_{kind.lower()}")
        for name in ("Abs", "Negate")
        for kind in ("Integer", "Long", "Decimal")
    },
    ("Divide", ("Decimal", "Decimal")): arithmetic.divide_decimal,
    ("Log", ("Decimal", "Decimal")): arithmetic.log,
    **dict(
        _pairs(
            {
                "Ceiling": arithmetic.ceiling,
                "Floor": arithmetic.floor,
                "Truncate": arithmetic.truncate,
                "Round": arithmetic.round_,
                "Ln": arithmetic.ln,
                "Exp": arithmetic.exp,
                "Precision": bounds.precision_decimal,
                "LowBoundary": bounds.low_boundary_decimal,
                "HighBoundary": bounds.high_boundary_decimal,
            },
            "Decimal",
        )
    ),
    ("Round", ("Decimal", "Integer")): arithmetic.round_,
    ("LowBoundary", ("Decimal", "Integer")): bounds.low_boundary_decimal,
    ("HighBoundary", ("Decimal", "Integer")): bounds.high_boundary_decimal,
    ("Successor", ("Any",)): bounds.successor,
    ("Predecessor", ("Any",)): bounds.predecessor,
    ("MinValue", ("String",)): bounds.minimum,
    ("MaxValue", ("String",)): bounds.maximum,
}
_QUANTITIES: Final[dict[tuple[str, Signature], Operator]] = {
    **dict(
        _pairs(
            {
                "Add": quantities.add_quantity,
                "Subtract": quantities.subtract_quantity,
                "Multiply": quantities.multiply_quantity,
                "Divide": quantities.divide_quantity,
                "TruncatedDivide": quantities.truncated_divide_quantity,
                "Modulo": quantities.modulo_quantity,
                "Comparable": quantities.comparable,
            },
            "Quantity",
            "Quantity",
        )
    ),
    ("Multiply", ("Quantity", "Decimal")): quantities.scale_quantity,
    ("Multiply", ("Decimal", "Quantity")): quantities.scaled_quantity,
    ("Divide", ("Quantity", "Decimal")): quantities.share_quantity,
    ("Abs", ("Quantity",)): quantities.abs_quantity,
    ("Negate", ("Quantity",)): quantities.negate_quantity,
    ("Round", ("Quantity",)): quantities.round_quantity,
    ("Round", ("Quantity", "Integer")): quantities.round_quantity,
    ("ConvertQuantity", ("Quantity", "String")): quantities.convert_quantity,
    ("CanConvertQuantity", ("Quantity", "String")): quantities.can_convert_quantity,
}
_STRINGS: Final[dict[tuple[str, Signature], Operator]] = {
    ("Combine", ("List",)): strings.combine,
    ("Combine", ("List", "String")): strings.combine,
    ("Indexer", ("String", "Integer")): strings.indexer_string,
    ("Substring", ("String", "Integer")): strings.substring,
    ("Substring", ("String", "Integer", "Integer")): strings.substring,
    ("ReplaceMatches", ("String", "String", "String")): matching.replace_matches,
    **dict(
        _pairs(
            {
                "Length": strings.length_string,
                "Lower": strings.lower,
                "Upper": strings.upper,
                "ToChars": strings.to_chars,
            },
            "String",
        )
    ),
    **dict(
        _pairs(
            {
                "Add": strings.concatenate,
                "Concatenate": strings.concatenate,
                "ConcatenateOrEmpty": strings.concatenate_or_empty,
                "StartsWith": strings.starts_with,
                "EndsWith": strings.ends_with,
                "PositionOf": strings.position_of,
                "LastPositionOf": strings.last_position_of,
                "Split": strings.split,
                "SplitOnMatches": matching.split_on_matches,
                "Matches": matching.matches,
                "MatchesFull": matching.matches_full,
            },
            "String",
            "String",
        )
    ),
}
_OF_A_TIME: Final[dict[str, Operator]] = {
    "DateTimeComponentFrom": timing.component_from,
    "Precision": bounds.precision_times,
    "LowBoundary": bounds.low_boundary_times,
    "HighBoundary": bounds.high_boundary_times,
}
_TIMES: Final[dict[tuple[str, Signature], Operator]] = {
    ("Now", ()): timing.now,
    ("Today", ()): timing.today,
    ("TimeOfDay", ()): timing.time_of_day,
    **{("Date", ("Integer",) * count): timing.date for count in (1, 2, 3)},
    **{("DateTime", ("Integer",) * count): timing.date_time for count in range(1, 8)},
    ("DateTime", (*("Integer",) * 7, "Decimal")): timing.date_time,
    **{("Time", ("Integer",) * count): timing.time for count in range(1, 5)},
    ("DateFrom", ("DateTime",)): timing.date_from,
    ("TimeFrom", ("DateTime",)): timing.time_from,
    ("TimezoneOffsetFrom", ("DateTime",)): timing.timezone_offset_from,
    ("TimezoneFrom", ("DateTime",)): timing.timezone_offset_from,
    **{
        (name, (kind, kind)): function
        for name, function in {
            "SameAs": timing.same_as,
            "SameOrBefore": timing.same_or_before,
            "SameOrAfter": timing.same_or_after,
            "Before": timing.before,
            "After": timing.after,
            "DurationBetween": timing.duration_between,
            "DifferenceBetween": timing.difference_between,
        }.items()
        for kind in TIMES
    },
    **{(name, (kind,)): function for name, function in _OF_A_TIME.items() for kind in TIMES},
    **{("LowBoundary", (kind, "Integer")): bounds.low_boundary_times for kind in TIMES},
    **{("HighBoundary", (kind, "Integer")): bounds.high_boundary_times for kind in TIMES},
    **{("Add", (kind, "Quantity")): calendar.add for kind in TIMES},
    **{("Subtract", (kind, "Quantity")): calendar.subtract for kind in TIMES},
}
_INTERVALS: Final[dict[tuple[str, Signature], Operator]] = {
    ("Interval", ("Any", "Any", "Boolean", "Boolean")): interval.interval,
    **dict(
        _pairs(
            {
                "Start": interval.start,
                "End": interval.end,
                "Width": interval_sets.width,
                "Size": interval_sets.size,
                "PointFrom": interval_sets.point_from,
                "Expand": interval_sets.expand_interval,
            },
            "Interval",
        )
    ),
    ("Expand", ("Interval", "Quantity")): interval_sets.expand_interval,
    ("Expand", ("List",)): interval_sets.expand_list,
    ("Expand", ("List", "Quantity")): interval_sets.expand_list,
    ("Collapse", ("List",)): interval_sets.collapse,
    ("Collapse", ("List", "Quantity")): interval_sets.collapse,
    **dict(
        _pairs(
            {
                "Overlaps": relations.overlaps,
                "OverlapsBefore": relations.overlaps_before,
                "OverlapsAfter": relations.overlaps_after,
                "Meets": relations.meets,
                "MeetsBefore": relations.meets_before,
                "MeetsAfter": relations.meets_after,
                "Starts": relations.starts,
                "Ends": relations.ends,
                "Includes": relations.includes,
                "IncludedIn": relations.included_in,
                "ProperIncludes": relations.proper_includes,
                "ProperIncludedIn": relations.proper_included_in,
                "Union": interval_sets.union,
                "Intersect": interval_sets.intersect,
                "Except": interval_sets.except_,
            },
            "Interval",
            "Interval",
        )
    ),
    **{
        (name, kinds): function
        for name, function in {
            "SameAs": relations.same_as,
            "SameOrBefore": relations.same_or_before,
            "SameOrAfter": relations.same_or_after,
            "Before": relations.before,
            "After": relations.after,
        }.items()
        for kinds in (("Interval", "Interval"), ("Interval", "Any"), ("Any", "Interval"))
    },
    ("Contains", ("Interval", "Any")): relations.contains,
    ("Includes", ("Interval", "Any")): relations.includes,
    ("ProperContains", ("Interval", "Any")): relations.proper_contains,
    ("ProperIncludes", ("Interval", "Any")): relations.proper_includes,
    ("In", ("Any", "Interval")): relations.in_,
    ("IncludedIn", ("Any", "Interval")): relations.included_in,
    ("ProperIn", ("Any", "Interval")): relations.proper_in,
    ("ProperIncludedIn", ("Any", "Interval")): relations.proper_included_in,
}
_LISTS: Final[dict[tuple[str, Signature], Operator]] = {
    **dict(
        _pairs(
            {
                "Coalesce": nullology.coalesce,
                "Exists": lists.exists,
                "First": lists.first,
                "Last": lists.last,
                "Length": lists.length_list,
                "SingletonFrom": lists.singleton_from,
                "Slice": lists.slice_,
                "Tail": lists.tail,
                "Flatten": lists.flatten,
                "Distinct": lists.distinct,
                "Sort": lists.sort,
            },
            "List",
        )
    ),
    ("ToList", ("Any",)): lists.to_list,
    ("Indexer", ("List", "Integer")): lists.indexer_list,
    ("IndexOf", ("List", "Any")): lists.index_of,
    ("Slice", ("List", "Integer")): lists.slice_,
    ("Slice", ("List", "Integer", "Integer")): lists.slice_,
    ("Skip", ("List", "Integer")): lists.skip,
    ("Take", ("List", "Integer")): lists.take,
    **dict(
        _pairs(
            {
                "Includes": lists.includes,
                "IncludedIn": lists.included_in,
                "ProperIncludes": lists.proper_includes,
                "ProperIncludedIn": lists.proper_included_in,
                "Union": lists.union,
                "Intersect": lists.intersect,
                "Except": lists.except_,
            },
            "List",
            "List",
        )
    ),
    ("Contains", ("List", "Any")): lists.contains,
    ("EquivalentContains", ("List", "Any")): lists.equivalent_contains,
    ("Includes", ("List", "Any")): lists.includes_element,
    ("ProperContains", ("List", "Any")): lists.proper_contains,
    ("ProperIncludes", ("List", "Any")): lists.proper_contains,
    ("In", ("Any", "List")): lists.in_,
    ("EquivalentIn", ("Any", "List")): lists.equivalent_in,
    ("IncludedIn", ("Any", "List")): lists.included_in_element,
    ("ProperIn", ("Any", "List")): lists.proper_in,
    ("ProperIncludedIn", ("Any", "List")): lists.proper_in,
}
_AGGREGATES: Final[dict[tuple[str, Signature], Operator]] = dict(
    _pairs(
        {
            "AllTrue": aggregates.all_true,
            "AnyTrue": aggregates.any_true,
            "Avg": aggregates.avg,
            "Count": aggregates.count,
            "GeometricMean": aggregates.geometric_mean,
            "Max": aggregates.max_,
            "Median": aggregates.median,
            "Min": aggregates.min_,
            "Mode": aggregates.mode,
            "PopulationStdDev": aggregates.population_std_dev,
            "PopulationVariance": aggregates.population_variance,
            "Product": aggregates.product,
            "StdDev": aggregates.std_dev,
            "Sum": aggregates.sum_,
            "Variance": aggregates.variance,
        },
        "List",
    )
)
_TYPES: Final[dict[tuple[str, Signature], Operator]] = {
    ("Is", ("Any", "String")): types.is_,
    ("As", ("Any", "String")): types.as_,
    ("Cast", ("Any", "String")): types.cast,
    ("Property", ("Any", "String")): types.property_,
    **dict(
        _pairs(
            {
                "Children": types.children,
                "Descendents": types.descendants,
                "Descendants": types.descendants,
                "ToBoolean": conversion.to_boolean,
                "ToConcept": conversion.to_concept,
                "ToDate": conversion.to_date,
                "ToDateTime": conversion.to_date_time,
                "ToDecimal": conversion.to_decimal,
                "ToInteger": conversion.to_integer,
                "ToLong": conversion.to_long,
                "ToQuantity": conversion.to_quantity,
                "ToRatio": conversion.to_ratio,
                "ToString": conversion.to_string,
                "ToTime": conversion.to_time,
                "ConvertsToBoolean": conversion.converts_to_boolean,
                "ConvertsToDate": conversion.converts_to_date,
                "ConvertsToDateTime": conversion.converts_to_date_time,
                "ConvertsToDecimal": conversion.converts_to_decimal,
                "ConvertsToInteger": conversion.converts_to_integer,
                "ConvertsToLong": conversion.converts_to_long,
                "ConvertsToQuantity": conversion.converts_to_quantity,
                "ConvertsToRatio": conversion.converts_to_ratio,
                "ConvertsToString": conversion.converts_to_string,
                "ConvertsToTime": conversion.converts_to_time,
            },
            "Any",
        )
    ),
}
_CLINICAL: Final[dict[tuple[str, Signature], Operator]] = {
    **{("CalculateAge", (kind,)): clinical.calculate_age for kind in ("Date", "DateTime")},
    **{
        ("CalculateAgeAt", kinds): clinical.calculate_age_at
        for kinds in product(("Date", "DateTime"), repeat=2)
    },
    ("InValueSet", ("Any", "ValueSet")): clinical.in_value_set,
    ("AnyInValueSet", ("List", "ValueSet")): clinical.in_value_set,
    ("Subsumes", ("Code", "Code")): clinical.subsumes,
    ("Subsumes", ("Concept", "Concept")): clinical.subsumes_concept,
    ("SubsumedBy", ("Code", "Code")): clinical.subsumed_by,
    ("SubsumedBy", ("Concept", "Concept")): clinical.subsumed_by,
    ("InCodeSystem", ("Any", "CodeSystem")): clinical.in_code_system,
    ("AnyInCodeSystem", ("List", "CodeSystem")): clinical.in_code_system,
    ("ExpandValueSet", ("ValueSet",)): clinical.expand_value_set,
}

OPERATORS: Final[dict[tuple[str, Signature], Operator]] = {
    **_LOGIC,
    **_COMPARISON,
    **_ARITHMETIC,
    **_QUANTITIES,
    **_STRINGS,
    **_TIMES,
    **_INTERVALS,
    **_LISTS,
    **_AGGREGATES,
    **_TYPES,
    **_CLINICAL,
}


def find(name: str, operands: Iterable[str]) -> Operator | None:
    """The function of an operator for operands of these types, or None where there is none.

    "Interval<Date>" may be found as such, as "Interval" and as "Any", the most exact first.
    """
    choices = [dict.fromkeys((kind, kind.partition("<")[0], "Any")) for kind in operands]
    signatures = sorted(product(*choices), key=lambda signature: signature.count("Any"))
    return next((OPERATORS[name, found] for found in signatures if (name, found) in OPERATORS), None)
