"""Packages: installed from a file, listed, and heeded by validation."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from fhir_server.packages import PackageProblem, read_package
from tests.http.test_http_validate import NAMED, URL

ABOUT = {"name": "example.guide", "version": "1.2.0", "fhirVersions": ["4.0.1"]}
DERIVED = {
    **NAMED,
    "id": "derived",
    "url": URL + "-derived",
    "baseDefinition": URL,
    "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]},
}


def package(path, *resources, about=None, folder="package"):
    with tarfile.open(path, "w:gz") as archive:
        files = {"package.json": ABOUT if about is None else about}
        files |= {f"{r['resourceType']}-{n}.json": r for n, r in enumerate(resources)}
        for name, content in files.items():
            body = json.dumps(content).encode()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return path


def varde(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_package_is_installed_listed_and_heeded(tmp_path):
    senseless = {**NAMED, "id": "x", "url": URL + "-x", "type": "Patientt"}
    about = {**ABOUT, "dependencies": {"hl7.fhir.r4.core": "4.0.1", "other.guide": "1.0.0"}}
    # the derived profile comes before the one it derives from
    file = package(tmp_path / "p.tgz", DERIVED, NAMED, senseless, {"resourceType": "Patient"}, about=about)
    store = f"sqlite:///{tmp_path}/varde.db"
    done = varde("package", "install", file, "--store", store)
    assert done.exit_code == 0, done.output
    assert "example.guide#1.2.0: 2 definitions" in done.output
    assert "left out StructureDefinition-2.json" in done.output
    assert "needs other.guide#1.0.0" in done.output
    assert varde("package", "install", file, "--store", store).exit_code == 0  # again
    assert varde("package", "list", "--store", store).output == "example.guide#1.2.0\n"

    from fhir_server.app import with_service
    from fhir_server.exchange import Request
    from fhir_server.interactions.operations.validate import validate

    async def judge(service):
        body = json.dumps({"resourceType": "Patient", "meta": {"profile": [DERIVED["url"]]}}).encode()
        return await validate(service, Request("POST", "http://x", "Patient", body=body))

    answer = asyncio.run(with_service(store, judge))
    found = [i["expression"] for i in json.loads(answer.body)["issue"] if i["severity"] == "error"]
    assert found == [["Patient.name"], ["Patient.birthDate"]]


def test_definitions_that_do_not_follow_what_they_claim_are_installed_and_broken_ones_left_out(tmp_path):
    claiming = {
        "resourceType": "ValueSet",
        "id": "colours",
        "url": "http://example.org/ValueSet/colours",
        "status": "active",
        "meta": {
            "profile": ["http://hl7.org/fhir/StructureDefinition/shareablevalueset"]
        },  # it has no version
    }
    broken = {
        **claiming,
        "id": "b",
        "url": "http://example.org/ValueSet/b",
        "compose": {"include": [{}]},
    }  # vsd-1
    file = package(tmp_path / "p.tgz", claiming, broken, NAMED)
    done = varde("package", "install", file, "--store", f"sqlite:///{tmp_path}/varde.db")
    assert done.exit_code == 0, done.output
    assert "example.guide#1.2.0: 2 definitions" in done.output
    assert "left out ValueSet-1.json" in done.output


@pytest.mark.parametrize(
    ("about", "folder", "reason"),
    [
        ({"name": "a"}, "package", "no package.json with a name"),
        ({**ABOUT, "fhirVersions": ["5.0.0"]}, "package", "is for FHIR 5.0.0"),
        (ABOUT, "../package", "no package.json"),
    ],
)
def test_what_is_no_package_for_r4_is_refused(tmp_path, about, folder, reason):
    with pytest.raises(PackageProblem, match=reason):
        read_package(package(tmp_path / "p.tgz", about=about, folder=folder))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "p.tgz").write_bytes(b"\x1f\x8b no archive")
    with pytest.raises(PackageProblem):
        read_package(tmp_path / "p.tgz")
    done = varde("package", "install", tmp_path / "p.tgz", "--store", f"sqlite:///{tmp_path}/v.db")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
