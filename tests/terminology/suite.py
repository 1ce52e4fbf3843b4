"""The HL7 terminology ecosystem's test cases: their files, their templates, and R5 as R4 says it and back.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/testcases.html (which says what the `$...$` mean)
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(os.environ.get("VARDE_SUITES", ROOT.parent / "shared" / "suites")) / "terminology"

_KINDS = {
    "$$": r".*",
    "$id$": r"[A-Za-z0-9\-.]{1,64}",
    "$uuid$": r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "$url$": r"[a-z]+:\S+",
    "$token$": r"\S+",
    "$string$": r"\S(.*\S)?",
    "$date$": r"\d{4}-\d\d-\d\d(T.*)?",
    "$instant$": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "$version$": r"4\.0\.1",
}
# R5's ConceptMap relationship (of the source to the target) as R4's equivalence (of the target to the source).
_EQUIVALENCE = {
    "related-to": "relatedto",
    "equivalent": "equivalent",
    "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower",
    "not-related-to": "unmatched",
}
_PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion"


class Client:
    """HTTP to an application in this process."""

    def __init__(self, app: Any) -> None:
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        self._runner.run(self._lifespan.__aenter__())
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://varde.test/fhir/")

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def send(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        if body is None:
            return self._runner.run(self._http.get(path, headers=headers))
        headers = {"content-type": "application/fhir+json", **headers}
        return self._runner.run(self._http.post(path, content=json.dumps(body), headers=headers))


@cache
def read(name: str) -> dict[str, Any]:
    return json.loads((SUITE / name).read_text(encoding="utf-8-sig"))


def cases() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, suite, test) of all test cases; none where the suite is not there."""
    if not (SUITE / "test-cases.json").exists():
        return []
    found, seen = [], set()
    for suite in read("test-cases.json")["suites"]:
        for test in suite["tests"]:
            name = f"{suite['name']}/{test['name']}"
            while name in seen:
                name += "'"
            seen.add(name)
            found.append((name, suite, test))
    return found


def as_r4(value: Any) -> Any:
    """A resource of the suite, which is in R5, as an R4 server is sent it."""
    if isinstance(value, list):
        return [as_r4(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: as_r4(item) for key, item in value.items() if ":" not in key and key != "caSensitive"}
    if "relationship" in out:
        out["equivalence"] = _EQUIVALENCE[out.pop("relationship")]
        if "mode" in out:  # ConceptMap.group.unmapped
            del out["equivalence"]
    for old, new in (("sourceScopeUri", "sourceUri"), ("targetScopeUri", "targetUri")):
        if old in out:
            out[new] = out.pop(old)
    if out.get("valueBoolean") in ("true", "false"):
        out["valueBoolean"] = out["valueBoolean"] == "true"
    return out


def as_r5(value: Any) -> Any:
    """An answer of an R4 server, as the suite has it."""
    if isinstance(value, list):
        return [as_r5(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: as_r5(item) for key, item in value.items()}
    moved = [e for e in value.get("extension", []) if e.get("url", "").startswith(_PROPERTY)]
    if moved:
        out["extension"] = [e for e in out["extension"] if not e.get("url", "").startswith(_PROPERTY)]
        if not out["extension"]:
            del out["extension"]
        out["property"] = [_property(extension) for extension in moved]
    return out


def _property(extension: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in extension["extension"]:
        key, value = next((key, value) for key, value in part.items() if key.startswith("value"))
        out[key if part["url"] == "value" else part["url"]] = value
    return out


def lacking(expected: Any, actual: Any, where: str = "") -> str | None:
    """The first thing of a statement that is the least a server must say, and that is not there."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = (lacking(value, actual.get(key), f"{where}.{key}") for key, value in expected.items())
        return next((problem for problem in found if problem), None)
    if isinstance(expected, list) and isinstance(actual, list):
        missing = [item for item in expected if all(lacking(item, other) for other in actual)]
        return f"{where}: missing {missing}" if missing else None
    return difference(expected, actual, where)


def difference(expected: Any, actual: Any, where: str = "") -> str | None:
    """The first difference, None where the answer is as the template wants it."""
    if isinstance(expected, dict):
        return _of_objects(expected, actual, where) if isinstance(actual, dict) else f"{where}: no object"
    if isinstance(expected, list):
        return _of_arrays(expected, actual, where) if isinstance(actual, list) else f"{where}: no array"
    if isinstance(expected, str) and isinstance(actual, str):
        return None if _fits(expected, actual) else f"{where}: {actual!r} is not {expected!r}"
    same = expected == actual and isinstance(expected, bool) is isinstance(actual, bool)
    return None if same else f"{where}: {actual!r} is not {expected!r}"


def _of_objects(expected: dict[str, Any], actual: dict[str, Any], where: str) -> str | None:
    optional = set(expected.get("$optional-properties$", ()))
    if isinstance(expected.get("$optional"), list):
        optional |= set(expected["$optional"])
    counted = set(expected.get("$count-arrays$", ()))
    # `location` is deprecated, the same as `expression`, and sometimes there and sometimes not.
    wanted = {k: v for k, v in expected.items() if not k.startswith("$") and k != "location"}
    for key in actual:
        if key not in wanted:
            return f"{where}.{key}: not expected ({json.dumps(actual[key])[:300]})"
    for key, value in wanted.items():
        if key not in actual:
            if key in optional or _only_optional(value):
                continue
            return f"{where}.{key}: missing ({json.dumps(value)[:300]})"
        if key in counted:
            if len(value) != len(actual[key]):
                return f"{where}.{key}: {len(actual[key])} instead of {len(value)}"
            continue
        found = difference(value, actual[key], f"{where}.{key}")
        if found:
            return found
    return None


def _of_arrays(expected: list[Any], actual: list[Any], where: str) -> str | None:
    left = list(actual)
    for item in sorted(expected, key=_optional):
        match = next((other for other in left if difference(item, other) is None), None)
        if match is not None:
            left.remove(match)
        elif not _optional(item):
            near = [difference(item, other, where) for other in left]
            return f"{where}: not found {json.dumps(item)[:600]}; differences: {near[:4]}"
    return f"{where}: not expected {json.dumps(left)[:600]}" if left else None


def _optional(item: Any) -> bool:
    """Whether an R4 server with a tree in its expansions, and not tx.fhir.org, may leave it out."""
    said = item.get("$optional$", item.get("$optional", False)) if isinstance(item, dict) else False
    if isinstance(said, bool):
        return said
    if isinstance(said, list):  # "$optional" with the names of properties, meant as "$optional-properties$"
        return False
    return said.startswith(("!tx.fhir.org", "warning:", "version:4")) or said == "tx.fhir.org"


def _only_optional(value: Any) -> bool:
    if isinstance(value, list):
        return all(_optional(item) for item in value)
    return _optional(value)


def _fits(expected: str, actual: str) -> bool:
    if "|$version$" in expected:
        return expected.replace("$version$", "4.0.1") == actual
    if expected in _KINDS:
        return re.fullmatch(_KINDS[expected], actual, re.DOTALL) is not None
    match = re.fullmatch(r"\$(choice|fragments|external)(?::(.*))?\$", expected, re.DOTALL)
    if match is None:
        return expected == actual
    kind, rest = match[1], match[2] or ""
    if kind == "choice":
        return actual in rest.split("|")
    if kind == "external":
        rest = rest.partition(":")[2]
    return all(part.lower() in actual.lower() for part in rest.split("|"))
