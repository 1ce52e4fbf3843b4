"""The engine over HTTP against the reference model, on random plans and random histories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.app import create_app, open_store
from fhir_server.resource_json import decode, encode
from fhir_server.settings import Settings
from tests.alerts.conftest import Ward, details_of, zone_of
from tests.alerts.reference import SEVERITY, Stream, Taken, Zone, order_matters, verdict
from tests.http.conftest import Clock, Fhir
from tests.rules.build import WEIGHT, care_plan, observation, quantity, target

EXAMPLES = int(os.environ.get("VARDE_REFERENCE_EXAMPLES", "35"))
FIRST = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
KINDS = ("absolute", "relative", "change", "persistence")

values = st.integers(140, 220).map(lambda half: Decimal(half) / 2)  # 70 to 110
flags = st.booleans()


def bounds(draw: Any, low: tuple[int, int], high: tuple[int, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    side = draw(st.sampled_from(("low", "high", "both")))
    if side != "high":
        found |= {"low": Decimal(draw(st.integers(*low))), "low_inclusive": draw(flags)}
    if side != "low":
        found |= {"high": Decimal(draw(st.integers(*high))), "high_inclusive": draw(flags)}
    return found


@st.composite
def zones(draw: Any, kind: str, color: str) -> Zone:
    window = draw(st.sampled_from((6, 24, 72, 240)))
    more: dict[str, Any] = {"auto_resolve": draw(st.sampled_from((0, 1, 2, 3)))}
    if kind == "absolute":
        return Zone(color, kind, **bounds(draw, (75, 88), (92, 105)), **more)
    if kind == "persistence":
        m = draw(st.integers(1, 5))
        more |= {"m": m, "n": draw(st.integers(1, m)), "window": draw(st.sampled_from((None, window)))}
        return Zone(color, kind, **bounds(draw, (80, 90), (90, 100)), **more)
    more |= {"percent": draw(flags), "window": window}
    names: tuple[str | None, ...] = ("goal", "min", "max", "median", "mean", "first", "previous")
    more["baseline"] = draw(st.sampled_from(names if kind == "relative" else (*names, None, None, None)))
    if more["baseline"] == "goal":
        more |= {"baseline_value": Decimal(90), "window": None}
    elif more["baseline"] == "previous":
        more["window"] = draw(st.sampled_from((None, window)))
    return Zone(color, kind, **bounds(draw, (-15, -3), (3, 15)), **more)


@st.composite
def plans(draw: Any) -> dict[str, list[Zone]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True))
    return {
        kind: [
            draw(zones(kind, color))
            for color in draw(st.sampled_from((("yellow",), ("red",), ("yellow", "red"))))
        ]
        for kind in kinds
    }


def as_target(zone: Zone) -> dict[str, Any]:
    parts: dict[str, Any] = {"zone": zone.color, "kind": zone.kind, "autoResolve": zone.auto_resolve}
    parts |= {"lowInclusive": zone.low_inclusive, "highInclusive": zone.high_inclusive}
    if zone.baseline:
        parts["baseline"] = zone.baseline
    if zone.baseline_value is not None:
        parts["baselineValue"] = quantity(zone.baseline_value, "kg")
    if zone.percent:
        parts["percent"] = True
    if zone.window:
        parts["window"] = f"{zone.window} h"
    if zone.n:
        parts |= {"n": zone.n, "m": zone.m}
    return target(WEIGHT, low=zone.low, high=zone.high, unit="%" if zone.percent else "kg", **parts)


slots = st.integers(0, 30)
which = st.integers(0, 100)
news = st.tuples(st.just("new"), slots, values)
events = st.one_of(
    news,
    news,
    news,
    st.tuples(st.just("bundle"), st.lists(st.tuples(slots, values), min_size=2, max_size=6)),
    st.tuples(st.just("repeat"), which),
    st.tuples(st.just("value"), which, values),
    st.tuples(st.just("time"), which, slots),
    st.tuples(st.just("both"), which, slots, values),
    st.tuples(
        st.just("status"), which, st.sampled_from(("entered-in-error", "corrected", "preliminary", "final"))
    ),
    st.tuples(st.just("delete"), which),
    st.tuples(st.just("close flag"), which),
    st.tuples(st.just("close task"), which),
)
in_order = st.one_of(
    *[st.tuples(st.just("new"), st.integers(1, 4), values)] * 5,
    st.tuples(st.just("repeat"), which),
    st.tuples(st.just("close flag"), which),
    st.tuples(st.just("close task"), which),
)


class History:
    """What happened to one patient, and what is on record of it."""

    def __init__(self, ward: Ward, patient: str, plan: dict[str, list[Zone]]) -> None:
        self.ward, self.patient, self.plan = ward, patient, plan
        self.known: dict[str, dict[str, Any]] = {}  # every reading that ever was, as last sent
        self.closed_by_hand: set[str] = set()  # kinds
        ward.patient(id=patient)
        targets = [as_target(zone) for zones in plan.values() for zone in zones]
        more = {"id": f"plan-{patient}", "careTeam": [{"reference": "CareTeam/team"}]}
        ward.put(care_plan(*targets, patient=patient, **more))

    def on_record(self) -> list[Taken]:
        return [
            Taken(id, datetime.fromisoformat(o["effectiveDateTime"]), Decimal(o["valueQuantity"]["value"]))
            for id, o in self.known.items()
            if o and o["status"] != "entered-in-error"
        ]

    def post(self, time: datetime, value: Decimal) -> str:
        resource = observation(WEIGHT, value, time, patient=self.patient)
        answer = self.ward.fhir.post("/Observation", encode(resource))
        assert answer.status_code == 201, answer.text
        return self.keep(decode(answer.content))

    def keep(self, stored: dict[str, Any]) -> str:
        self.known[stored["id"]] = stored
        return str(stored["id"])

    def bundle(self, readings: list[tuple[datetime, Decimal]]) -> None:
        resources = [observation(WEIGHT, value, time, patient=self.patient) for time, value in readings]
        entries = [{"resource": r, "request": {"method": "POST", "url": "Observation"}} for r in resources]
        body = encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        answer = self.ward.fhir.post("/", body, prefer="return=representation")
        assert answer.status_code == 200, answer.text
        for entry in decode(answer.content)["entry"]:
            self.keep(entry["resource"])

    def change(self, id: str, **changes: Any) -> None:
        self.keep(self.ward.put({**self.known[id], **changes}))

    def delete(self, id: str) -> None:
        assert self.ward.fhir.delete(f"/Observation/{id}").status_code == 204
        self.known[id] = {}

    def flags(self) -> list[dict[str, Any]]:
        found = self.ward.found("Flag", patient=self.patient)
        return [flag for flag in found if zone_of(flag) != "technical"]

    def messages(self) -> list[dict[str, Any]]:
        """What the care team was told."""
        found = self.ward.found("Communication", patient=self.patient)
        return [m for m in found if {"reference": "CareTeam/team"} in m["recipient"]]

    def close(self, index: int, by: str) -> str | None:
        """A person ends an active Flag, or its Task; gives the kind of the rule."""
        active = sorted((flag for flag in self.flags() if flag["status"] == "active"), key=kind_of)
        if not active:
            return None
        flag = active[index % len(active)]
        if by == "close flag":
            self.ward.put({**flag, "status": "inactive"})
        else:
            (task,) = self.ward.found("Task", focus=f"Flag/{flag['id']}")
            self.ward.put({**task, "status": "completed"})
        self.closed_by_hand.add(kind_of(flag))
        return kind_of(flag)

    def happen(self, event: tuple[Any, ...]) -> None:
        name, *rest = event
        there = [id for id, o in self.known.items() if o]
        if name == "new":
            self.post(at(rest[0]), rest[1])
        elif name == "bundle":
            self.bundle([(at(slot), value) for slot, value in rest[0]])
        elif name in ("close flag", "close task"):
            self.close(rest[0], name)
        elif there:
            self.happen_to(there[rest[0] % len(there)], name, rest[1:])

    def happen_to(self, id: str, name: str, rest: list[Any]) -> None:
        if name == "repeat":
            o = self.known[id]
            self.post(datetime.fromisoformat(o["effectiveDateTime"]), o["valueQuantity"]["value"])
        elif name == "value":
            self.change(id, valueQuantity=quantity(rest[0], "kg"))
        elif name == "time":
            self.change(id, effectiveDateTime=at(rest[0]).isoformat())
        elif name == "both":
            time, value = at(rest[0]).isoformat(), quantity(rest[1], "kg")
            self.change(id, effectiveDateTime=time, valueQuantity=value)
        elif name == "status":
            self.change(id, status=rest[0])
        else:
            self.delete(id)


def at(slot: int) -> datetime:
    return FIRST + timedelta(hours=6 * slot)


def kind_of(flag: dict[str, Any]) -> str:
    return str(flag["identifier"][0]["value"].split(".")[0])


def explained(flag: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the Flag's explanations by name, the first of each."""
    found = []
    for extension in flag["extension"]:
        if extension["url"].endswith("/dho-explanation"):
            parts = reversed(extension["extension"])
            found.append({p["url"]: next(v for k, v in p.items() if k != "url") for p in parts})
    return found


def entry_zones(flag: dict[str, Any]) -> dict[str, str]:
    """Observation id -> zone, as the Flag explains it."""
    return {e["observation"]["reference"].split("/")[1]: e["zone"] for e in explained(flag)}


def content_zones(flag: dict[str, Any]) -> dict[tuple[datetime, Decimal], str]:
    """The same by what was measured when: an amended reading stays in a closed Flag as it was then."""
    return {(datetime.fromisoformat(e["time"]), e["value"]["value"]): e["zone"] for e in explained(flag)}


def check_end(history: History) -> None:
    """What must hold at the end, however it came about."""
    record = history.on_record()
    everything = history.flags()
    for kind, zones in history.plan.items():
        if order_matters(zones, record):
            continue
        of_rule = [flag for flag in everything if kind_of(flag) == kind]
        verdicts = {reading: verdict(zones, reading, record) for reading in record}
        check_rule(verdicts, of_rule, kind in history.closed_by_hand)


def check_rule(verdicts: dict[Taken, str], of_rule: list[dict[str, Any]], by_hand: bool) -> None:
    active = [flag for flag in of_rule if flag["status"] == "active"]
    assert len(active) <= 1, "one active Flag per rule"
    for flag in of_rule:
        assert sorted(details_of(flag)) == sorted(entry_zones(flag))
    colors = {reading.id: color for reading, color in verdicts.items()}
    for flag in active:
        said = entry_zones(flag)
        assert said == {id: colors.get(id) for id in said}, "an active Flag says what is so now"
        assert zone_of(flag) == max(said.values(), key=SEVERITY.__getitem__)
    kept = [entry_zones(flag) for flag in of_rule if flag["status"] != "entered-in-error"]
    for said in kept:
        assert all(SEVERITY[colors.get(id, "green")] for id in said), "no Flag is of a normal reading"
    closed = [content_zones(flag) for flag in of_rule if flag["status"] == "inactive"]
    for reading, color in verdicts.items():
        if SEVERITY[color]:
            copies = {r.id for r in verdicts if (r.time, r.value) == (reading.time, reading.value)}
            worst = max((SEVERITY[said[id]] for said in kept for id in copies & set(said)), default=0)
            for said in closed:
                worst = max(worst, SEVERITY[said.get((reading.time, reading.value), "green")])
            assert worst >= SEVERITY[color], f"{color} reading without its alert"
            if color == "red" and not by_hand:
                assert any(copies & set(entry_zones(flag)) for flag in active), "red waits for a person"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One application for all examples, a new patient for each."""
    ids = count(1)
    clock = Clock()
    clock.now = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('reference')}/varde.db")
    fhir = Fhir(create_app(Settings(auth=False), store, clock, lambda: f"n{next(ids)}"), store)
    yield Ward(fhir, clock)
    fhir.close()


_patients = count(1)
_settings = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@_settings
@given(plan=plans(), script=st.lists(events, min_size=1, max_size=14))
def test_any_history_ends_with_the_flags_that_its_readings_deserve(
    shared: Ward, plan: dict[str, list[Zone]], script: list[tuple[Any, ...]]
) -> None:
    history = History(shared, f"p{next(_patients)}", plan)
    for event in script:
        history.happen(event)
    check_end(history)


@_settings
@given(plan=plans(), script=st.lists(in_order, min_size=1, max_size=16))
def test_readings_in_order_are_told_once_and_resolve_themselves(
    shared: Ward, plan: dict[str, list[Zone]], script: list[tuple[Any, ...]]
) -> None:
    history = History(shared, f"p{next(_patients)}", plan)
    streams = {kind: Stream(zones) for kind, zones in plan.items()}
    slot = 0
    for name, *rest in script:
        record = history.on_record()
        if name == "new":
            slot += rest[0]
            reading = Taken("", at(slot), rest[1])
            history.happen(("new", slot, rest[1]))
        elif name == "repeat":
            if not record:
                continue
            reading = record[rest[0] % len(record)]
            history.happen(("repeat", rest[0]))
        else:
            if closed := history.close(rest[0], name):
                streams[closed].closed_by_a_person()
            continue
        for stream in streams.values():
            stream.take(reading, record)
    check_end(history)
    flags = history.flags()
    for kind, stream in streams.items():
        of_rule = {flag["id"]: flag for flag in flags if kind_of(flag) == kind}
        active = [zone_of(flag) for flag in of_rule.values() if flag["status"] == "active"]
        assert active == ([stream.active] if stream.active else []), kind
        assert len(of_rule) == stream.flags, kind
        told = [m for m in history.messages() if any(about_flag(m, id) for id in of_rule)]
        assert len(told) == stream.messages, kind


def about_flag(message: dict[str, Any], id: str) -> bool:
    return {"reference": f"Flag/{id}"} in message["about"]
