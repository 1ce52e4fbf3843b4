"""Value sets that no resource defines, as their code systems say that their URLs mean them.

https://hl7.org/fhir/R4/snomedct.html#implicit, https://hl7.org/fhir/R4/loinc.html#alias,
https://hl7.org/fhir/R4/ucum.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from terminology.findings import refuse

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def implicit_value_set(url: str) -> dict[str, Any] | None:
    """The ValueSet that such a URL means, None for a URL that is none.

    TerminologyError for one that asks what cannot be answered: all reference sets, an ECL expression.
    """
    base, mark, asked = url.partition("?fhir_vs")
    if mark and base.startswith(SNOMED):
        return _of_snomed(url, base, asked.removeprefix("="))
    if mark and not asked and base:
        return _value_set(url, {"system": base})
    if url == f"{UCUM}/vs":
        return _value_set(url, {"system": UCUM})
    if url == f"{LOINC}/vs":
        return _value_set(url, {"system": LOINC})
    if url.startswith(f"{LOINC}/vs/"):
        return _of_loinc(url, url.removeprefix(f"{LOINC}/vs/"))
    return None


def _of_snomed(url: str, base: str, asked: str) -> dict[str, Any]:
    include: dict[str, Any] = {"system": SNOMED}
    if base != SNOMED:  # an edition, or one version of it
        include["version"] = base
    kind, _, value = unquote(asked).partition("/")
    if kind == "isa" and value:
        include["filter"] = [{"property": "concept", "op": "is-a", "value": value}]
    elif kind == "refset" and value:
        include["filter"] = [{"property": "concept", "op": "in", "value": value}]
    elif asked:
        known = "all, isa/ID and refset/ID"
        raise refuse("not-supported", f"Of SNOMED CT's implicit value sets, only {known} are supported")
    return _value_set(url, include)


def _of_loinc(url: str, part: str) -> dict[str, Any] | None:
    if part.startswith("LL"):
        filters = [{"property": "LIST", "op": "=", "value": part}]
    elif part.startswith("LP"):
        filters = [{"property": "concept", "op": "descendent-of", "value": part}]
    else:
        return None
    return _value_set(url, {"system": LOINC, "filter": filters})


def all_codes(system: dict[str, Any]) -> dict[str, Any]:
    """The ValueSet of all codes that a CodeSystem names in `valueSet`."""
    url, _, version = system["valueSet"].partition("|")
    named = {key: system[key] for key in ("url", "version") if key in system}
    include = {("system" if key == "url" else key): value for key, value in named.items()}
    said = {"version": version or system.get("version"), "name": system.get("name")}
    return _value_set(url, include) | {key: value for key, value in said.items() if value}


def _value_set(url: str, include: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}
