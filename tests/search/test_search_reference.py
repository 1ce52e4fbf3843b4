"""Random resources and random queries find on both stores what the specification says: see reference.py."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from fhir_server.app import open_store
from fhir_server.resource_json import decode, encode
from fhir_server.search.extract import extract
from fhir_server.search.parse import parse
from fhir_server.search.run import run
from fhir_server.store.base import Version
from tests.search import reference

BASE = "https://varde.example/fhir"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOINC, UCUM = "http://loinc.org", reference.UCUM
IDS = ("1", "2", "3")
NAMES = ("Ådne", "Adne", "O'Brien", "Berg-Dal", "berg", "Ørn")
DATES = ("2026", "2026-03", "2026-03-04", "2026-03-04T10:00:00+01:00", "2026-03-04T09:00:00Z", "2026-02-28",
         "2026-03-04T23:30:00-02:00", "2026-03-05", "2026-03-04T09:00:00.500Z", "2025-12-31T23:59:59Z")  # fmt: skip
NUMBERS = ("5", "5.0", "5.4", "5.45", "4.95", "100", "99.5", "0.0054", "5400", "11.9", "12")
UNITS = (f"{UCUM}|g", f"{UCUM}|kg", f"{UCUM}|mg", f"{UCUM}|[lb_av]", "|kg", "|stone", "urn:x|kg")
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
CODES = ("a", "b", "c")


def one_of(*values):
    return st.sampled_from(values)


def maybe(**parts):
    return st.fixed_dictionaries({}, optional=parts)


def link(*types):
    return st.builds("{}/{}".format, one_of(*types), one_of(*IDS)).map(lambda text: {"reference": text})


concepts = st.builds(
    lambda codings: {"coding": codings},
    st.lists(
        st.builds(
            lambda system, code: {**({"system": system} if system else {}), "code": code},
            one_of(LOINC, "", "urn:x"),
            one_of(*CODES),
        ),
        min_size=1,
        max_size=2,
    ),
)
quantities = st.builds(
    lambda number, unit, comparator: {
        "value": Decimal(number),
        **({"comparator": comparator} if comparator else {}),
        **({"system": unit.partition("|")[0]} if unit.partition("|")[0] else {}),
        "code": unit.partition("|")[2],
        "unit": "stone",
    },
    one_of(*NUMBERS),
    one_of(*UNITS),
    one_of("", "", "", "<", ">", ">="),
)
effective = st.one_of(
    st.just({}),
    one_of(*DATES).map(lambda text: {"effectiveDateTime": text}),
    one_of(*(pair for pair in itertools.product(sorted(DATES[:6]), repeat=2) if pair[0][:7] < pair[1][:7]))
    .map(lambda pair: {"effectivePeriod": {"start": pair[0], "end": pair[1]}}),
    one_of("start", "end").flatmap(lambda end: one_of(*DATES).map(lambda text: {"effectivePeriod": {end: text}})),
)  # fmt: skip
patients = maybe(
    name=st.lists(maybe(family=one_of(*NAMES), given=st.lists(one_of(*NAMES), min_size=1, max_size=2)), min_size=1, max_size=2),
    birthDate=one_of("1950", "1950-03", "1950-03-04", "1949-12-31"),
    gender=one_of("male", "female"),
    active=st.booleans(),
    identifier=st.lists(st.builds(lambda s, v: {**({"system": s} if s else {}), "value": v}, one_of("", "urn:i"), one_of("1", "2")),
                        min_size=1, max_size=2),
    managingOrganization=link("Organization"),
)  # fmt: skip
organisations = maybe(name=one_of(*NAMES), partOf=link("Organization"))
observations = st.builds(
    lambda when, *parts: {**when, **{k: v for part in parts for k, v in part.items()}},
    effective,
    st.fixed_dictionaries({"status": one_of("final", "amended"), "code": concepts}),
    maybe(
        valueQuantity=quantities,
        subject=link("Patient", "Group"),
        performer=st.lists(link("Patient", "Organization"), min_size=1, max_size=2),
        hasMember=st.lists(link("Observation"), min_size=1, max_size=1),
        component=st.lists(
            st.builds(lambda code, value: {"code": code, **value}, concepts, maybe(valueQuantity=quantities)), min_size=1, max_size=2
        ),
    ),
)  # fmt: skip
KINDS = {"Patient": patients, "Organization": organisations, "Observation": observations}


@st.composite
def worlds(draw):
    found = []
    for type, id in itertools.product(KINDS, IDS):
        if draw(st.integers(0, 5)):
            found.append({"resourceType": type, "id": id, **draw(KINDS[type])})
    for id in ("4", "5", "6"):
        found.append({"resourceType": "Observation", "id": id, **draw(observations)})
    return found


@st.composite
def plain_filters(draw, type):
    code = draw(one_of(*reference.PARAMETERS[type]))
    kind = reference.PARAMETERS[type][code][0]
    if draw(st.integers(0, 7)) == 0:
        return f"{code}:missing", draw(one_of("true", "false"))
    many = draw(one_of(1, 1, 1, 2))
    if kind == "string":
        modifier = draw(one_of("", "", ":exact", ":contains"))
        return code + modifier, ",".join(
            draw(st.lists(one_of(*NAMES, "a", "erg", "brien"), min_size=many, max_size=many))
        )
    if kind == "date":
        return code, ",".join(
            draw(one_of(*PREFIXES)) + draw(one_of(*DATES, "1950", "1950-03-04")) for _ in range(many)
        )
    if kind == "quantity":
        return code, ",".join(draw(quantity_texts()) for _ in range(many))
    if kind == "token":
        values = [*CODES, f"{LOINC}|a", "|a", f"{LOINC}|", "urn:i|1", "1", "male", "true", "final", "|1",
                  "http://hl7.org/fhir/administrative-gender|male", "http://hl7.org/fhir/observation-status|final"]  # fmt: skip
        modifier = draw(one_of("", "", ":not"))
        return code + modifier, ",".join(draw(one_of(*values)) for _ in range(many))
    target = draw(one_of(*reference.TARGETS[code]))
    id = draw(one_of(*IDS))
    return draw(one_of((code, id), (code, f"{target}/{id}"), (f"{code}:{target}", id)))


@st.composite
def quantity_texts(draw):
    unit = draw(one_of("", "", *(f"|{unit}" for unit in UNITS)))
    return draw(one_of(*PREFIXES)) + draw(one_of(*NUMBERS)) + unit


@st.composite
def filters(draw, type, depth=0):
    """(name, value) of a filter of this type: plain, chained, or reverse chained."""
    kind = draw(st.integers(0, 9)) if depth < 3 else 0
    if kind == 9 and type == "Observation":
        code = draw(one_of("code-value-quantity", "component-code-value-quantity"))
        return code, draw(one_of(*CODES, f"{LOINC}|a")) + "$" + draw(quantity_texts())
    if kind in (6, 7):
        links = [code for code, (of, _) in reference.PARAMETERS[type].items() if of == "reference"]
        if links:
            code = draw(one_of(*links))
            target = draw(one_of(*(each for each in reference.TARGETS[code] if each in KINDS)))
            name, value = draw(filters(target, depth + 1))
            modifier = f":{target}" if draw(st.booleans()) or not untyped(code, name) else ""
            return f"{code}{modifier}.{name}", value
    if kind == 8:
        ways = [
            (s, c)
            for s, found in reference.PARAMETERS.items()
            for c in found
            if type in reference.TARGETS.get(c, ())
        ]
        if ways:
            source, code = draw(one_of(*ways))
            name, value = draw(filters(source, depth + 1))
            return f"_has:{source}:{code}:{name}", value
    return draw(plain_filters(type))


def untyped(code, name):
    """Whether a chain can leave out the type: in each type that has the parameter, the reference knows it."""
    return code in ("organization", "partof", "patient") or name.startswith("name")


@st.composite
def queries(draw):
    type = draw(one_of("Patient", "Observation", "Observation", "Organization"))
    asked = draw(st.lists(filters(type), max_size=2))
    sort = draw(
        one_of(
            "",
            *{"Patient": ("birthdate", "-birthdate", "family"), "Observation": ("date", "-date")}.get(
                type, ()
            ),
        )
    )
    return type, asked, sort


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


FEW = settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
TAGS = itertools.count()


@FEW
@given(world=worlds(), asked=st.lists(queries(), min_size=8, max_size=16))
def test_what_is_found_is_what_the_specification_says(store, loop, world, asked):
    refill(loop, store, world)
    for type, named, sort in asked:
        note(f"{type}?{named} {sort}")
        expected = reference.search(type, named, world)
        found, total = everything(loop, store, type, named, sort)
        assert sorted(each["id"] for each in found) == sorted(each["id"] for each in expected)
        assert total == len(expected)
        if sort:
            keys = [reference.ordered(type, [each], sort)[0] for each in found]
            assert keys == reference.ordered(type, expected, sort)


@pytest.fixture
def store(store_url, loop):
    opened = open_store(store_url)
    loop.run(opened.open())
    yield opened
    loop.run(opened.close())


def refill(loop, store, world):
    """Everything there is, as the next version of what was there; the rest deleted."""
    wanted = {(each["resourceType"], each["id"]): each for each in world}

    def work(tx):
        for type, id in itertools.product(KINDS, (*IDS, "4", "5", "6")):
            current, resource = tx.read(type, id), wanted.get((type, id))
            number = current.version + 1 if current else 1
            if resource is not None:
                body = encode(resource)
                values = extract(type, decode(body), BASE)
                tx.put(Version(type, id, number, number, "PUT", body), values)
            elif current is not None and not current.deleted:
                tx.put(Version(type, id, number, number, "DELETE", None), None)

    loop.run(store.transact(work))


def everything(loop, store, type, named, sort):
    """(the matches, page by page; the total)"""
    text = urlencode([*named, *([("_sort", sort)] if sort else []), ("_count", "3")])
    found = []
    while text:
        search = parse(
            type, parse_qsl(text, keep_blank_values=True), base=BASE, now=NOW, strict=True, key=b"k"
        )
        bundle = decode(loop.run(run(store, search, key=b"k")))
        found += [entry["resource"] for entry in bundle.get("entry", ())]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        text = links.get("next", "").partition("?")[2]
    return found, bundle["total"]
