"""What must be true of a server's whole history, whatever was killed when: nothing lost, doubled or torn.

It knows the thresholds of load.py and FHIR, but nothing of the engine: it works out anew which readings are
outside and what should have followed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.promises.load import KEY_SYSTEM, TRANSACTION_SYSTEM, Journal
from tests.promises.serving import Client
from tests.rules.build import PULSE, SPO2, UNITS, WEIGHT

Resource = dict[str, Any]

SEVERITY = {"technical": 0, "yellow": 1, "red": 2}
LINKS = ("evidence", "reasonReference")  # of the parts of a transaction, to each other
OPEN = {"active": {"requested"}, "inactive": {"completed"}, "entered-in-error": {"cancelled", "completed"}}


@dataclass(frozen=True, slots=True)
class Put:
    """One version in the order of commits; `resource` None where it is a deletion."""

    type: str
    id: str
    version: int
    resource: Resource | None

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(slots=True)
class Findings:
    """What is wrong, a line each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.torn)

    def __str__(self) -> str:
        lines = [f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.torn)} torn"]
        for found in (self.lost, self.doubled, self.torn):
            lines += found[:5]
        return "\n  ".join(lines)


def history_of(client: Client) -> list[Put]:
    """Every version of everything, oldest first."""
    found: list[Put] = []
    for bundle in client.pages("/fhir/_history?_count=1000"):
        for entry in bundle.get("entry", ()):
            type, id = entry["fullUrl"].split("/")[-2:]
            version = int(entry["response"]["etag"].removeprefix('W/"').rstrip('"'))
            found.append(Put(type, id, version, entry.get("resource")))
    return found[::-1]


def audit(history: Sequence[Put], journal: Journal) -> Findings:
    """Hold a history against what clients were told and what the plans call for."""
    findings = Findings()
    _versions(history, findings)
    _acknowledged(history, journal, findings)
    current = {put.name: put.resource for put in history if put.resource is not None}
    _keys(current.values(), findings)
    _transactions(current, findings)
    _readings(current, findings)
    _flags(history, current, findings)
    _same_commit(history, findings)
    return findings


def _versions(history: Sequence[Put], findings: Findings) -> None:
    """Each resource has versions 1, 2, ... in this order."""
    last: Counter[str] = Counter()
    for put in history:
        if put.version <= last[put.name]:
            findings.doubled.append(f"{put.name} version {put.version} after {last[put.name]}")
        elif put.version > last[put.name] + 1:
            findings.lost.append(f"{put.name} version {last[put.name] + 1}")
        last[put.name] = put.version


def _acknowledged(history: Sequence[Put], journal: Journal, findings: Findings) -> None:
    stored = {f"{put.name}/_history/{put.version}": put.resource for put in history}
    for location, content in journal.acknowledged.items():
        if location not in stored:
            findings.lost.append(f"{location} was acknowledged")
        elif stored[location] != content:
            findings.lost.append(f"{location} was acknowledged with other content")
    for key, parts in journal.transactions.items():
        for location, sent in parts:
            there = stored.get(location) or {}
            if any(there.get(name) != value for name, value in sent.items() if name not in LINKS):
                findings.lost.append(f"{location} of transaction {key} was acknowledged")


def _keys(resources: Iterable[Resource], findings: Findings) -> None:
    """What clients identify is there once."""
    times = Counter(
        (resource["resourceType"], identifier["system"], identifier["value"])
        for resource in resources
        for identifier in resource.get("identifier", ())
        if identifier.get("system") in (KEY_SYSTEM, TRANSACTION_SYSTEM)
    )
    findings.doubled += [f"{key} is there {n} times" for key, n in times.items() if n > 1]


def _transactions(current: dict[str, Resource], findings: Findings) -> None:
    """All three or none, and linked to each other."""
    parts: dict[str, dict[str, Resource]] = defaultdict(dict)
    for resource in current.values():
        for identifier in resource.get("identifier", ()):
            if identifier.get("system") == TRANSACTION_SYSTEM:
                parts[identifier["value"]][resource["resourceType"]] = resource
    for key, made in parts.items():
        if made.keys() != {"Observation", "Condition", "ServiceRequest"}:
            findings.torn.append(f"transaction {key} left {', '.join(made)}")
            continue
        reading, condition = (f"{type}/{made[type]['id']}" for type in ("Observation", "Condition"))
        evidence = made["Condition"]["evidence"][0]["detail"]
        reasons = made["ServiceRequest"]["reasonReference"]
        if [each["reference"] for each in (*evidence, *reasons)] != [reading, reading, condition]:
            findings.torn.append(f"transaction {key} has links that lead elsewhere")


def expected_zone(reading: Resource) -> str:
    """red, yellow, green, or technical for what cannot be compared; by the thresholds of load.py."""
    code, quantity = code_of(reading), reading["valueQuantity"]
    value = Decimal(str(quantity["value"]))
    if quantity["code"] != UNITS[code]:
        return "technical"
    if code == SPO2:
        return "yellow" if value < 90 else "green"
    if code == WEIGHT:
        return "red" if value > 100 else "green"
    assert code == PULSE
    return "red" if value > 130 else "yellow" if value > 110 else "green"


def code_of(reading: Resource) -> str:
    return str(reading["code"]["coding"][0]["code"])


def category_of(flag: Resource) -> str:
    return str(flag["category"][0]["coding"][0]["code"])


def zone_of(flag: Resource) -> str:
    if category_of(flag) == "technical":
        return "technical"
    return next(c["code"] for c in flag["code"]["coding"] if c["system"].endswith("/dho-zone"))


def details_of(flag: Resource) -> list[str]:
    """The Observations concerned, as relative references."""
    return [
        extension["valueReference"]["reference"]
        for extension in flag["extension"]
        if extension["url"].endswith("/flag-detail")
    ]


def _of(current: dict[str, Resource], type: str) -> Iterator[Resource]:
    return (resource for resource in current.values() if resource["resourceType"] == type)


def _readings(current: dict[str, Resource], findings: Findings) -> None:
    """Whatever is outside is in a Flag of its patient and kind, whatever is not is in none."""
    named: dict[str, list[Resource]] = defaultdict(list)
    for flag in _of(current, "Flag"):
        for reference in details_of(flag) if flag["status"] != "entered-in-error" else ():
            named[reference].append(flag)
    for reading in _of(current, "Observation"):
        reference, zone = f"Observation/{reading['id']}", expected_zone(reading)
        flags = named.pop(reference, [])
        category = "technical" if zone == "technical" else "reading"
        right = [f for f in flags if f["subject"] == reading["subject"] and category_of(f) == category]
        if zone != "green" and not any(SEVERITY[zone_of(f)] >= SEVERITY[zone] for f in right):
            findings.lost.append(f"the alert of {reference}, {zone}: {len(flags)} Flags name it")
        if (zone == "green" and flags) or len(right) != len(flags):
            findings.doubled.append(f"{reference}, {zone}, is in Flags that are not about it")
        if sum(flag["status"] == "active" for flag in flags) > 1:
            findings.doubled.append(f"{reference} is in several active Flags")
    findings.torn += [f"a Flag without its {reference}" for reference in named]


def _flags(history: Sequence[Put], current: dict[str, Resource], findings: Findings) -> None:
    """One active Flag for each rule; as many messages as it became more severe; one Task, open as long."""
    for rule, flags in _active_rules(history):
        findings.doubled.append(f"{rule} had {flags} active Flags at once")
    messages, tasks = _about(current)
    for name, (raised, advised) in _raised(history).items():
        flag = current[name]
        for category, wanted in (("alert", raised), ("instruction", advised)):
            _count(f"{category} about {name}", messages[name, category], wanted, findings)
        own = tasks[name]
        _count(f"Task of {name}", len(own), min(raised, 1), findings)
        findings.torn += [
            f"{name} is {flag['status']}, its Task {task['status']}"
            for task in own
            if task["status"] not in OPEN[flag["status"]]
        ]


def _count(what: str, there: int, wanted: int, findings: Findings) -> None:
    if there < wanted:
        findings.lost.append(f"{what}: {there} of {wanted}")
    elif there > wanted:
        findings.doubled.append(f"{what}: {there} of {wanted}")


def _active_rules(history: Sequence[Put]) -> Iterator[tuple[str, int]]:
    """Rules of a patient that had more than one active Flag at some time, with how many."""
    active: dict[tuple[str, str], set[str]] = defaultdict(set)
    worst: Counter[str] = Counter()
    codes = {put.name: code_of(put.resource) for put in history if put.type == "Observation" and put.resource}
    measures: dict[str, str] = {}  # a Flag that was taken back names no readings any more
    for put in history:
        if put.type == "Flag" and put.resource:
            patient, category = put.resource["subject"]["reference"], category_of(put.resource)
            for reference in details_of(put.resource):
                measures.setdefault(put.id, codes.get(reference, ""))
            for rule in (put.resource["identifier"][0]["value"], f"{category} of {measures.get(put.id)}"):
                change = set.add if put.resource["status"] == "active" else set.discard
                change(active[patient, rule], put.id)
                worst[f"{rule} of {patient}"] = max(worst[f"{rule} of {patient}"], len(active[patient, rule]))
    return ((rule, flags) for rule, flags in worst.items() if flags > 1)


def _raised(history: Sequence[Put]) -> dict[str, tuple[int, int]]:
    """How often each Flag became more severe: of that the team is told, and while it is active the patient.

    One that was over when it was raised, by normal readings that had come before a late one, is told to the
    team alone; a technical one that was is told to nobody.
    """
    severity: dict[str, int] = {}
    raised: dict[str, tuple[int, int]] = {}
    for put in history:
        if put.type == "Flag" and put.resource:
            now, active = SEVERITY[zone_of(put.resource)], put.resource["status"] == "active"
            reading = category_of(put.resource) == "reading"
            team, patient = raised.setdefault(put.name, (0, 0))
            if now > severity.get(put.name, -1) and (active or (reading and put.name not in severity)):
                raised[put.name] = team + 1, patient + (active and reading)
            severity[put.name] = now
    return raised


def _about(current: dict[str, Resource]) -> tuple[Counter[tuple[str, str]], dict[str, list[Resource]]]:
    """Communications by Flag and category, and Tasks by Flag."""
    messages: Counter[tuple[str, str]] = Counter()
    for message in _of(current, "Communication"):
        flag = message["about"][0]["reference"]
        messages[flag, message["category"][0]["coding"][0]["code"]] += 1
    tasks: dict[str, list[Resource]] = defaultdict(list)
    for task in _of(current, "Task"):
        tasks[task["focus"]["reference"]].append(task)
    return messages, tasks


def _same_commit(history: Sequence[Put], findings: Findings) -> None:
    """Between a reading and the Flag that takes it in comes nothing but what is of the same commit."""
    written: dict[str, int] = {}  # Observation -> where its last version is
    named: set[tuple[str, str]] = set()
    for place, put in enumerate(history):
        if put.type == "Observation":
            written[put.name] = place
        elif put.type == "Flag" and put.resource:
            for reference in details_of(put.resource):
                if (put.name, reference) not in named:
                    named.add((put.name, reference))
                    start = written.get(reference)
                    if start is None or _foreign(history[start:place]):
                        findings.torn.append(f"{put.name} took in {reference} in another commit")


def _foreign(between: Sequence[Put]) -> bool:
    """Whether these, of which the first is a reading, hold what was written for another."""
    of = _transaction_of(between[0])
    others = [put for put in between[1:] if put.type not in ("Flag", "Task", "Communication")]
    return any(of is None or _transaction_of(put) != of for put in others)


def _transaction_of(put: Put) -> str | None:
    identifiers = (put.resource or {}).get("identifier", ())
    return next((i["value"] for i in identifiers if i.get("system") == TRANSACTION_SYSTEM), None)
