"""HL7's validator cases for R4 as this validator judges them: with the definitions that a case brings along.

https://github.com/FHIR/fhir-test-cases (validator); ../shared/suites/README.md says what is in the sample.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from fhir_server.resource_json import decode
from fhir_server.resource_xml import decode as decode_xml
from tests.profiles.judging import Known

SUITE = Path(os.environ.get("VARDE_SUITES", "../shared/suites")) / "validator-r4"
# What HL7's validator was asked besides for some of the cases, as their manifest has it and cases.json has not.
DEMANDS = json.loads(Path(__file__).with_name("validator_demands.json").read_text("utf-8"))
_NOTE = re.compile(r"/\*[^*]*\*/|\[url='[^']*'\]")


def cases() -> list[dict[str, Any]]:
    return json.loads((SUITE / "cases.json").read_text("utf-8"))


def read(file: str) -> Any:
    """A file of the suite; FhirError where it is no JSON."""
    body = (SUITE / "files" / file).read_bytes().removeprefix(b"\xef\xbb\xbf")
    return decode_xml(body) if file.endswith(".xml") else decode(body)


def judge(case: dict[str, Any], part: str, *imported: dict[str, Any]) -> list[Any]:
    """The findings of a case: `part` is "base" or "profile"; `imported` code systems are at hand as well."""
    asked = case[part]
    files = list(case["supporting"])
    if part == "profile":
        files += [asked["source"], *asked["supporting"]]
    known = Known([*map(read, files), *imported])
    document = read(case["file"])
    also = [url for type_, url in known.everywhere if type_ == document.get("resourceType")]
    also += [read(asked["source"])["url"]] if part == "profile" else []
    return known.judge(document, also, DEMANDS.get(case["name"], ()))


def near(found: str | None, expected: str | None) -> bool:
    """Whether two places are one, or one is the parent of the other: what is missing is told at either."""
    one, other = (_NOTE.sub("", place or "") for place in (found, expected))
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer == shorter or longer.startswith((shorter + ".", shorter + "["))
