"""FHIR packages: the definitions of a guide, installed from a file.

https://hl7.org/fhir/R4/packages.html. A package is a .tgz whose folder `package` holds package.json and one
JSON file a resource. Its definitions become stored resources like any others; an ImplementationGuide with a
tag remembers the package.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fhir_server.conformance import check_definition
from fhir_server.errors import FhirError
from fhir_server.exchange import Service
from fhir_server.resource_json import decode, decode_stored
from fhir_server.search.parse import parse_criteria
from fhir_server.write import Change, commit
from profiles.structure import validate

Resource = dict[str, Any]
TAG = "https://varde.dev/fhir/package"
# What a guide defines; its examples and its pages stay in the file.
_TYPES = frozenset(
    {"CodeSystem", "ConceptMap", "NamingSystem", "Questionnaire", "StructureDefinition", "ValueSet"}
)
_FILE = re.compile(r"package/[^/]+\.json")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOST_FILES, _LARGEST, _LARGEST_TOGETHER = 20_000, 32 * 2**20, 512 * 2**20
_TOGETHER = 100


class PackageProblem(Exception):
    """A file that is no package for this server, said in a sentence."""


@dataclass(frozen=True, slots=True)
class Package:
    """`resources` are its definitions, each with the name of its file."""

    name: str
    version: str
    dependencies: dict[str, str]
    resources: list[tuple[str, Resource]]


@dataclass(slots=True)
class Installed:
    """`refused`: file -> why."""

    package: Package
    stored: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def read_package(path: Path) -> Package:
    """The package in a .tgz; PackageProblem for anything else, and for one that is not for R4."""
    about: Resource | None = None
    found: list[tuple[str, Resource]] = []
    try:
        for name, body in _files(path):
            if name == "package.json":
                about = json.loads(body)
            elif (resource := _definition(body)) is not None:
                found.append((name, resource))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise PackageProblem(f"{path.name} is no FHIR package: {type(error).__name__}") from None
    if not isinstance(about, dict) or not all(isinstance(about.get(k), str) for k in ("name", "version")):
        raise PackageProblem(f"{path.name} has no package.json with a name and a version")
    versions = about.get("fhirVersions") or about.get("fhir-version-list") or []
    if versions and not any(str(version).startswith("4.0") for version in versions):
        raise PackageProblem(f"{about['name']} is for FHIR {', '.join(map(str, versions[:5]))}, not for R4")
    dependencies = about.get("dependencies")
    return Package(
        about["name"], about["version"], dependencies if isinstance(dependencies, dict) else {}, found
    )


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that count; nothing is unpacked to the disk."""
    total = 0
    with tarfile.open(path, "r:gz") as archive:
        for number, member in enumerate(archive):
            if number > _MOST_FILES:
                raise PackageProblem(f"A package may have {_MOST_FILES} files")
            if not member.isfile() or not _FILE.fullmatch(member.name):
                continue
            total += member.size
            if member.size > _LARGEST or total > _LARGEST_TOGETHER:
                raise PackageProblem(f"{member.name} makes the package too large")
            stream = archive.extractfile(member)
            if stream is not None:
                yield member.name.removeprefix("package/"), stream.read()


def _definition(body: bytes) -> Resource | None:
    """A resource that a server needs; None for one that it does not."""
    try:
        resource = decode(body)
    except FhirError:
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") not in _TYPES:
        return None
    return resource if isinstance(resource.get("url") or resource.get("name"), str) else None


async def install(service: Service, package: Package) -> Installed:
    """Store its definitions; those that break R4 or make no sense are left out, and said why.

    Published guides claim profiles (shareable, publishable) that they do not always follow, and who installs
    one cannot mend it: they are held to R4 alone. Installing again replaces what the last time stored.
    """
    service = replace(service, policy=replace(service.policy, claims=False, profiles=()))
    done = Installed(package)
    changes: list[tuple[str, Change]] = []
    for name, resource in package.resources:
        reason = _reason(resource)
        if reason:
            done.refused[name] = reason
        else:
            id_ = _id(package, resource)
            changes.append((name, Change("PUT", resource["resourceType"], id_, {**resource, "id": id_})))
    for start in range(0, len(changes), _TOGETHER):
        done.stored += await _store(service, changes[start : start + _TOGETHER], done)
    guide = _guide(package)
    await commit(service, [Change("PUT", "ImplementationGuide", guide["id"], guide)])
    known = {name for name, _ in await installed(service)}
    done.missing = [n for n in package.dependencies if n not in known and not n.startswith("hl7.fhir.r4.")]
    return done


async def _store(service: Service, changes: Sequence[tuple[str, Change]], done: Installed) -> int:
    """How many were stored: together, or where the server refuses some, each by itself."""
    try:
        return len(await commit(service, [change for _, change in changes]))
    except FhirError as error:
        if error.category != "unprocessable":
            raise
        if len(changes) == 1:
            done.refused[changes[0][0]] = str(error)
            return 0
    return sum([await _store(service, [one], done) for one in changes])


def _reason(resource: Resource) -> str:
    problems = [p.diagnostics for p in validate(resource) if p.severity == "error"]
    if not problems and resource["resourceType"] == "StructureDefinition":
        problems = [issue.diagnostics for issue in check_definition(resource)]
    return problems[0] if problems else ""


def _id(package: Package, resource: Resource) -> str:
    """Its own id with the package's name before it: two guides may use the same."""
    url = str(resource.get("url") or resource.get("name"))
    wanted = f"{package.name}-{resource.get('id') or hashlib.sha256(url.encode()).hexdigest()[:12]}"
    return wanted if _ID.fullmatch(wanted) else hashlib.sha256(wanted.encode()).hexdigest()[:40]


def _guide(package: Package) -> Resource:
    name = f"package-{package.name}"
    return {
        "resourceType": "ImplementationGuide",
        "id": name if _ID.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:40],
        "meta": {"tag": [{"system": TAG, "code": package.name}]},
        "url": f"{TAG}/{package.name}",
        "version": package.version,
        "name": re.sub(r"[^A-Za-z0-9]+", "_", package.name).strip("_").capitalize(),
        "status": "active",
        "packageId": package.name,
        "fhirVersion": ["4.0.1"],
    }


async def installed(service: Service) -> Sequence[tuple[str, str]]:
    """Name and version of each package that is installed, in order of their names."""
    query = parse_criteria("ImplementationGuide", f"_tag={TAG}|", base="", now=service.clock())
    found = (await service.store.search(query)).versions
    guides = [decode_stored(version.body) for version in found if version.body]
    return sorted((guide["packageId"], guide["version"]) for guide in guides)
