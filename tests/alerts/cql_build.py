"""Short ways to write Libraries, PlanDefinitions and ValueSets in tests."""

import base64
from typing import Any

from fhir_server.alerts.plan_definition import AUTO_RESOLVE_URL
from rules import cql
from tests.rules.build import LOINC, SPO2, ZONE

HEAD = """library Oxygen version '1.0.0'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
codesystem "LOINC": 'http://loinc.org'
code "SpO2": '59408-5' from "LOINC"
code "Weight": '29463-7' from "LOINC"
valueset "COPD": 'http://example.org/ValueSet/copd'
context Patient
define "Readings": [Observation: "SpO2"] O sort by (effective as FHIR.dateTime).value
define "Latest": Last("Readings").value as FHIR.Quantity
"""
LOW = (
    HEAD
    + """define "Low": "Latest" < 90 '%'
define "Very low": "Latest" < 85 '%'
"""
)
URL = "http://example.org"


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def library(text: str = LOW, id: str = "oxygen", name: str | None = "Oxygen", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Library",
        "id": id,
        "url": f"{URL}/Library/{id}",
        "version": "1.0.0",
        "name": name,
        "status": "active",
        "type": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/library-type", "code": "logic-library"}
            ]
        },
        "content": [{"contentType": "text/cql", "data": encoded(text)}],
    }
    return {key: value for key, value in (found | more).items() if value is not None}


def elm(text: str) -> dict[str, str]:
    """The content of a Library that carries the ELM of a text."""
    from fhir_server.resource_json import encode

    return {"contentType": "application/elm+json", "data": encoded(encode(cql.compile(text).to_elm()))}


def condition(expression: str, language: str = "text/cql-identifier") -> dict[str, Any]:
    return {"kind": "applicability", "expression": {"language": language, "expression": expression}}


def action(*conditions: str | dict[str, Any], zone: str | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if conditions:
        found["condition"] = [condition(c) if isinstance(c, str) else c for c in conditions]
    extensions = [{"url": ZONE, "valueCode": zone}] if zone else []
    if "auto_resolve" in more:
        extensions.append({"url": AUTO_RESOLVE_URL, "valueUnsignedInt": more.pop("auto_resolve")})
    if extensions:
        found["extension"] = extensions
    return found | more


def trigger(*codes: str, kind: str = "data-added", **filters: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "Observation"}
    if codes or filters:
        coded = {"code": [{"system": LOINC, "code": code} for code in codes]} if codes else {}
        data["codeFilter"] = [{"path": "code", **coded, **filters}]
    return {"type": kind, "data": [data]}


def definition(
    *actions: dict[str, Any], id: str = "rule", kind: str = "eca-rule", **more: Any
) -> dict[str, Any]:
    """An active PlanDefinition; an eca-rule of readings of SpO2 unless it is said otherwise."""
    actions = actions or (action("Low", title="Lavt oksygen"),)
    triggers = more.pop("triggers", [trigger(SPO2)] if kind == "eca-rule" else [])
    if triggers:
        actions = tuple({**action, "trigger": triggers} for action in actions)
    found: dict[str, Any] = {
        "resourceType": "PlanDefinition",
        "id": id,
        "url": f"{URL}/PlanDefinition/{id}",
        "status": "active",
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/plan-definition-type", "code": kind}]
        },
        "library": [f"{URL}/Library/oxygen"],
        "action": list(actions),
    }
    return {key: value for key, value in (found | more).items() if value is not None}


def value_set(*codes: str, id: str = "copd", **more: Any) -> dict[str, Any]:
    listed = {"system": "http://snomed.info/sct", "concept": [{"code": code} for code in codes]}
    found = {"resourceType": "ValueSet", "id": id, "url": f"{URL}/ValueSet/{id}", "status": "active"}
    return {**found, **({"compose": {"include": [listed]}} if codes else {}), **more}
