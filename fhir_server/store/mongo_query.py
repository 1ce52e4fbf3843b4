"""Query -> MongoDB: an aggregation pipeline whose first stage finds by index, the others by testing.

https://www.mongodb.com/docs/manual/core/index-multikey/. The first $match has only equalities and one range
on the leading fields of an index (plain fields, and the plain arrays `keys` and `line`), so that any
MongoDB-compatible server finds the index; $elemMatch, $or and $not follow. MongoDB itself joins all $match
stages, and may choose one of the indexes on the arrays of rows instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from bson.decimal128 import Decimal128

from fhir_server.errors import FhirError
from fhir_server.search.query import MAX_TIME, MIN_TIME, Query, Sort, Test
from fhir_server.store.rows import CURRENT, DAY, TIMELINE
from fhir_server.store.tree import All, Join, Leaf, Regular, Tests, conjuncts, implied, kind, successor

FIELDS = {"id": 1, "version": 1, "updated": 1, "method": 1, "body": 1, "patient": 1}
LONGEST_PATTERN = 10_000
OPERATORS = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "in": "$in"}

# (table, column) -> the letter that its equality keys begin with
KEYED = {
    ("token", "code"): "t",
    ("string", "folded"): "f",
    ("string", "exact"): "e",
    ("reference", "id"): "r",
    ("reference", "url"): "u",
    ("reference", "value"): "i",
    ("uri", "value"): "v",
    ("composite", "code"): "c",
}
INDEXES = {
    "version": [("type", 1), ("id", 1), ("version", -1)],
    "seq": [("type", 1), ("_id", 1)],
    "moment": [("type", 1), ("moment", 1), ("_id", 1)],
    "updated": [("type", 1), ("updated", 1), ("_id", 1)],
    "changed": [("updated", 1)],
    "patient": [("type", 1), ("patient", 1), ("moment", 1), ("_id", 1)],
    "line": [("type", 1), ("patient", 1), ("line", 1), ("moment", 1), ("_id", 1)],
    "keys": [("type", 1), ("keys", 1), ("_id", 1)],
    "date_low": [("type", 1), ("date.p", 1), ("date.low", 1)],
    "date_high": [("type", 1), ("date.p", 1), ("date.high", 1)],
    "number_low": [("type", 1), ("number.p", 1), ("number.low", 1)],
    "quantity_low": [("type", 1), ("quantity.p", 1), ("quantity.low", 1)],
    "string_folded": [("type", 1), ("string.p", 1), ("string.folded", 1)],
    "string_exact": [("type", 1), ("string.p", 1), ("string.exact", 1)],
    "uri_value": [("type", 1), ("uri.p", 1), ("uri.value", 1)],
    "measure_unit": [("type", 1), ("measure.p", 1), ("measure.unit", 1), ("measure.low", 1)],
    "composite_code": [("type", 1), ("composite.p", 1), ("composite.code", 1), ("composite.low", 1)],
    "word_folded": [("type", 1), ("word.p", 1), ("word.folded", 1)],
}
_DECIMAL128 = Context(prec=34, Emin=-6143, Emax=6144, clamp=1, traps=[])


def decimal128(value: Decimal | int | str) -> Decimal128:
    """To 34 digits, which keeps the order; beyond 1e6144 infinite."""
    return Decimal128(_DECIMAL128.create_decimal(value))


def key(table: str, column: str, param: str, value: str) -> str:
    """What stands in `keys` for a row with this value."""
    return f"{KEYED[table, column]}{param}|{value}"


def _lead(query: Query, tree: Regular, extent: int) -> dict[str, Any]:
    """Conditions on plain fields that every match fulfils.

    `extent`: how long the patient's dates last at most, microseconds (see bounded).
    """
    leaves = [node for node in conjuncts(tree) if isinstance(node, Leaf) and not node.absent]
    lead: dict[str, Any] = {"type": query.type}
    if by_id := next((ids for leaf in leaves if (ids := _ids(leaf))), None):
        return lead | {"id": _one_of(by_id)}
    bounds = _moments(leaves, extent)
    if query.patient is not None:
        lead["patient"] = query.patient
        if lines := [keys for leaf in leaves if _is_line(leaf) and (keys := _keys(leaf))]:
            lead["line"] = _one_of(lines[0])
    elif keyed := [(_rank(leaf), n, keys) for n, leaf in enumerate(leaves) if (keys := _keys(leaf))]:
        lead["keys"] = _one_of(min(keyed)[2])
    elif sort_fields(query) in ([], ["updated"]):
        lead |= _updated(leaves)
    if query.patient is None:
        bounds.pop("$gte", None)  # nobody knows how long everybody's dates last
    return lead | {"moment": bounds} if bounds else lead


def _is_line(leaf: Leaf) -> bool:
    return leaf.table == "token" and leaf.param in TIMELINE


def bounded(query: Query, tree: Regular) -> bool:
    """Whether the search has a patient and dates bounded below: then it needs to know the longest extent."""
    leaves = [node for node in conjuncts(tree) if isinstance(node, Leaf) and not node.absent]
    return query.patient is not None and "$gte" in _moments(leaves, DAY)


def _moments(leaves: Sequence[Leaf], extent: int) -> dict[str, Any]:
    """The bounds that conditions on the date set for its least low, {} if none."""
    bounds: dict[str, Any] = {}
    for leaf in leaves:
        if (leaf.table, leaf.param) != ("date", "date") or len(leaf.any_of) != 1:
            continue
        for test in implied(leaf.any_of[0]):
            if test.op in ("<", "<=", "="):
                bounds = _tightened(bounds, "$lte", test.value)
            if test.op in (">", ">=", "="):
                bounds = _tightened(bounds, "$gte", max(MIN_TIME, test.value - extent))
    return bounds


def _updated(leaves: Sequence[Leaf]) -> dict[str, Any]:
    """The bounds that conditions on the version's own time set, {} if none."""
    bounds: dict[str, Any] = {}
    for leaf in leaves:
        if leaf.table == "resource" and len(leaf.any_of) == 1:
            for test in leaf.any_of[0]:
                if test.column == "updated" and test.op in ("<", "<=", ">", ">="):
                    bounds = _tightened(bounds, OPERATORS[test.op], test.value)
    return {"updated": bounds} if bounds else {}


def _one_of(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else {"$in": list(values)}


def _keys(leaf: Leaf) -> list[str]:
    """Keys one of which every match has, [] if its tests name none."""
    found: dict[str, None] = {}
    for tests in leaf.any_of:
        named = next(
            (
                test
                for test in tests
                if test.op in ("=", "in") and (leaf.table, test.column) in KEYED and test.value != ""
            ),
            None,
        )
        if named is None or (named.op == "in" and "" in named.value):
            return []
        values = named.value if named.op == "in" else (named.value,)
        found.update((key(leaf.table, named.column, leaf.param, value), None) for value in values)
    return list(found)


def _ids(leaf: Leaf) -> list[str]:
    found: dict[str, None] = {}
    for tests in leaf.any_of:
        test = next((t for t in tests if t.column == "id" and t.op in ("=", "in")), None)
        if leaf.table != "resource" or test is None:
            return []
        found.update(dict.fromkeys(test.value if test.op == "in" else (test.value,)))
    return list(found)


def _rank(leaf: Leaf) -> int:
    """How selective a condition is likely to be, the most so first."""
    if leaf.table != "token" or leaf.param == "identifier":
        return 0
    return 1 if _is_line(leaf) else 2


def condition(node: Regular) -> dict[str, Any]:
    """The exact condition on a version's document, of a tree without joins (see mongo_search)."""
    if isinstance(node, Leaf):
        return _leaf(node)
    assert not isinstance(node, Join)
    if not node.children:
        return {} if isinstance(node, All) else {"_id": {"$lt": 0}}
    return {"$and" if isinstance(node, All) else "$or": [condition(child) for child in node.children]}


def _leaf(leaf: Leaf) -> dict[str, Any]:
    if leaf.table == "resource":
        ways = [_tests(leaf.table, tests) for tests in leaf.any_of]
        if leaf.absent:
            return {"$nor": ways}
        return ways[0] if len(ways) == 1 else {"$or": ways}
    row: dict[str, Any] = {"p": leaf.param}
    if len(leaf.any_of) == 1:
        row |= _tests(leaf.table, leaf.any_of[0])
    elif () not in leaf.any_of:
        row |= {"$or": [_tests(leaf.table, tests) for tests in leaf.any_of]}
    element = {"$elemMatch": row}
    return {leaf.table: {"$not": element} if leaf.absent else element}


def _tests(table: str, tests: Tests) -> dict[str, Any]:
    columns: dict[str, dict[str, Any]] = {}
    more: list[dict[str, Any]] = []
    for test in tests:
        for operator, value in _operators(table, test).items():
            if operator in columns.setdefault(test.column, {}):
                more.append({test.column: {operator: value}})
            else:
                columns[test.column][operator] = value
    return {**columns, "$and": more} if more else columns


def _operators(table: str, test: Test) -> Mapping[str, Any]:
    if test.op == "prefix":
        bound = successor(test.value)
        return {"$gte": test.value} | ({} if bound is None else {"$lt": bound})
    if test.op == "contains":
        if len(test.value) > LONGEST_PATTERN:
            raise FhirError("invalid", "The text to search for is too long")
        return {"$regex": re.escape(test.value).replace("\\\0", "\\x00").replace("\0", "\\x00")}
    value = test.value
    if kind(table, test.column) == "number":
        value = [decimal128(v) for v in value] if test.op == "in" else decimal128(value)
    elif test.op == "in":
        value = list(value)
    return {OPERATORS[test.op]: value}


def sort_fields(query: Query) -> list[str] | None:
    """The fields of the document that the search is ordered by before _id; None if they must be computed."""
    if not query.sort:
        return []
    sort = query.sort[0]
    if len(query.sort) > 1:
        return None
    if sort.table == "resource":
        return [sort.column]
    return ["moment"] if (sort.table, sort.param, sort.column) == ("date", "date", "low") else None


def page(
    query: Query, tree: Regular, snapshot: int, extent: int, limit: int, *, missing: bool = False
) -> list[dict[str, Any]]:
    """The pipeline for a page: documents with FIELDS and the sort keys k0, k1, ...

    `missing`: of a search ordered by date, only what has none.
    """
    lead, then = _lead(query, tree, extent), [_seen(snapshot), condition(tree)]
    fields = sort_fields(query)
    if fields is None:
        return [*_matched(lead, *then), *_computed(query, limit)]
    down = bool(query.sort) and query.sort[0].descending
    beyond = "$lt" if down else "$gt"
    if fields == ["moment"]:
        lead["moment"] = None if missing else lead.get("moment", {"$gte": MIN_TIME})
    if missing:
        fields = []
    after = query.after
    if after is not None and fields:
        (field,), (value, seq) = fields, after
        if isinstance(lead.get(field, {}), dict):
            lead[field] = _tightened(lead.get(field, {}), f"{beyond}e", value)
        then.append({"$or": [{field: {beyond: value}}, {field: value, "_id": {beyond: seq}}]})
    elif after is not None and (not query.sort or after[0] is None):
        lead["_id"] = {beyond: after[-1]}
    way = -1 if down else 1
    return [
        *_matched(lead, *then),
        {"$sort": {**dict.fromkeys(fields, way), "_id": way}},
        {"$limit": limit},
        {"$project": {**FIELDS, **{f"k{i}": f"${field}" for i, field in enumerate(fields)}}},
    ]


def _seen(snapshot: int) -> dict[str, Any]:
    """What was current at the snapshot."""
    return {"_id": {"$lte": snapshot}, "until": {"$gt": snapshot}}


def _matched(lead: dict[str, Any], *then: dict[str, Any]) -> list[dict[str, Any]]:
    """The $match stages: first what leads an index (equalities, and one range at most), then the rest."""
    rest = dict(lead)
    stage: dict[str, Any] = {}
    for field, _ in INDEXES[_index(lead)]:
        if field not in rest:
            break
        stage[field] = rest.pop(field)
        if isinstance(stage[field], dict):
            break
    return [{"$match": each} for each in (stage, rest, *then) if each]


def _index(lead: dict[str, Any]) -> str:
    """The index for these conditions, the most selective first."""
    named = lead.get("id")
    if isinstance(named, str) or (named and "$in" in named):
        return "version"
    if field := next((field for field in ("line", "patient", "keys") if field in lead), None):
        return field
    if named:
        return "version"
    return next((field for field in ("moment", "updated") if field in lead), "seq")


def _tightened(bounds: dict[str, Any], operator: str, value: Any) -> dict[str, Any]:
    """A range with a further bound.

    "At most" becomes "less than the next": SecantusDB leaves out the end of a closed range.
    """
    if operator == "$lte":
        operator, value = "$lt", value + 1 if isinstance(value, int) else value + "\0"
    if operator not in bounds:
        return {**bounds, operator: value}
    best = max if operator in ("$gt", "$gte") else min
    return {**bounds, operator: best(bounds[operator], value)}


def count(
    query: Query, tree: Regular, snapshot: int, extent: int, at_most: int | None
) -> list[dict[str, Any]]:
    """The pipeline that counts the matches into `n`."""
    stages = _matched(_lead(query, tree, extent), _seen(snapshot), condition(tree))
    limit: list[dict[str, Any]] = [] if at_most is None else [{"$limit": at_most}]
    return [*stages, *limit, {"$count": "n"}]


def timeline(
    patient: str, codes: Sequence[str], since: int | None, until: int | None, newest: bool, limit: int | None
) -> list[dict[str, Any]]:
    """The pipeline for Transaction.timeline: current Observations of a patient by code and moment."""
    lead = {
        "type": "Observation",
        "patient": patient,
        "line": _one_of([key("token", "code", "combo-code", code) for code in codes]),
        "moment": {
            "$gte": MIN_TIME if since is None else since,
            "$lt": MAX_TIME if until is None else until + 1,
        },
    }
    way = -1 if newest else 1
    ends: list[dict[str, Any]] = (
        [] if limit is None else [{"$sort": {"moment": way, "_id": way}}, {"$limit": limit}]
    )
    return [*_matched(lead, {"until": CURRENT}), *ends, {"$project": FIELDS}]


def _computed(query: Query, limit: int) -> list[dict[str, Any]]:
    """Sorted by the least value among a parameter's rows; versions without one come last whichever way."""
    keys = {f"k{i}": _key(sort) for i, sort in enumerate(query.sort)}
    none = {f"n{i}": {"$eq": [f"$k{i}", None]} for i in range(len(query.sort))}
    order: dict[str, int] = {}
    for i, sort in enumerate(query.sort):
        order |= {f"n{i}": 1, f"k{i}": -1 if sort.descending else 1}
    order["_id"] = -1 if query.sort[0].descending else 1
    behind: list[dict[str, Any]] = [] if query.after is None else [{"$match": _behind(query)}]
    return [
        {"$project": {**FIELDS, **keys}},
        {"$addFields": none},
        *behind,
        {"$sort": order},
        {"$limit": limit},
    ]


def _key(sort: Sort) -> Any:
    if sort.table == "resource":
        return f"${sort.column}"
    rows = {"$ifNull": [f"${sort.table}", []]}
    mine = {"$filter": {"input": rows, "as": "row", "cond": {"$eq": ["$$row.p", sort.param]}}}
    return {"$min": {"$map": {"input": mine, "as": "row", "in": f"$$row.{sort.column}"}}}


def _behind(query: Query) -> dict[str, Any]:
    """What comes after query.after in the order of _computed."""
    assert query.after is not None
    *values, seq = query.after
    ways: list[dict[str, Any]] = []
    same: list[dict[str, Any]] = []
    for i, (sort, value) in enumerate(zip(query.sort, values, strict=True)):
        if value is None:
            same.append({f"n{i}": True})
            continue
        bound = decimal128(value) if kind(sort.table, sort.column) == "number" else value
        beyond = {f"k{i}": {"$lt" if sort.descending else "$gt": bound}, f"n{i}": False}
        ways += [{"$and": [*same, beyond]}, {"$and": [*same, {f"n{i}": True}]}]
        same.append({f"k{i}": bound})
    ways.append({"$and": [*same, {"_id": {"$lt" if query.sort[0].descending else "$gt": seq}}]})
    return {"$or": ways}
