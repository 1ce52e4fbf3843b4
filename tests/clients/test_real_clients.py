"""Clients that others wrote, against a running server: fhirpy and fhirclient (PyPI), fhir-kit-client (npm)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhirclient import client as smart
from fhirclient.models.bundle import Bundle
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from fhir_server.demo.server import serving

SPO2 = {"coding": [{"system": "http://loinc.org", "code": "59408-5"}]}
KIT = "fhir-kit-client@2.0.3"


@pytest.fixture
def base(store_url: str, tmp_path: Path) -> Iterator[str]:
    with serving(store_url, tmp_path / "server.log") as server:
        yield server.base


def reading(patient: str, value: float, day: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": SPO2,
        "subject": {"reference": patient},
        "effectiveDateTime": f"2026-11-{day:02}T08:00:00+01:00",
        "valueQuantity": {"value": value, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
    }


def transaction(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": patient,
                "resource": {"resourceType": "Patient", "name": [{"family": "Dahl"}]},
                "request": {"method": "POST", "url": "Patient"},
            },
            {"resource": reading(patient, 91, 3), "request": {"method": "POST", "url": "Observation"}},
        ],
    }


def test_fhirpy(base: str) -> None:
    client = SyncFHIRClient(base)
    patient = client.resource("Patient", name=[{"family": "Nordmann", "given": ["Kari"]}], active=True)
    patient.save()
    assert patient["meta"]["versionId"] == "1"
    patient["gender"] = "female"
    patient.save()
    assert client.reference("Patient", patient.id).to_resource()["meta"]["versionId"] == "2"
    with pytest.raises(OperationOutcome):  # it sends a merge patch, which R4 does not have
        patient.patch(gender="unknown")
    patient["gender"] = "unknown"
    patient.save()
    assert client.resources("Patient").search(gender="unknown", name="nord").first().id == patient.id
    for day in range(1, 8):
        client.resource(**reading(f"Patient/{patient.id}", 90 + day, day), resource_type="Observation").save()
    found = client.resources("Observation").search(patient=patient.id, code="59408-5").sort("-date").limit(3)
    assert [each["valueQuantity"]["value"] for each in found.fetch()] == [97, 96, 95]
    assert len(found.fetch_all()) == 7, "the next links are followed"
    assert client.resources("Observation").search(date__ge="2026-11-06").count() == 2
    with_patient = client.resources("Observation").search(date="2026-11-01").include("Observation", "patient")
    assert sorted(entry.resource.resource_type for entry in with_patient.fetch_raw()["entry"]) == [
        "Observation",
        "Patient",
    ]
    history = client.execute(f"Patient/{patient.id}/_history", method="GET")
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["3", "2", "1"]
    made = client.execute(
        "", method="POST", data=transaction("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0")
    )
    assert [entry["response"]["status"][:3] for entry in made["entry"]] == ["201", "201"]
    with pytest.raises(OperationOutcome):
        client.resource("Patient", gender="none").save()
    patient.delete()
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", patient.id).to_resource()


def test_fhirclient(base: str) -> None:
    server = smart.FHIRClient(settings={"app_id": "varde-tests", "api_base": base}).server
    patient = Patient({"active": True})
    patient.name = [HumanName({"family": "Nordmann", "given": ["Ola"]})]
    made = patient.create(server)
    read = Patient.read(made["id"], server)
    assert read.name[0].family == "Nordmann"
    read.gender = "male"
    assert read.update(server)["meta"]["versionId"] == "2"
    for day in range(1, 4):
        Observation(reading(f"Patient/{made['id']}", 90 + day, day)).create(server)
    found = Observation.where({"patient": made["id"], "_sort": "-date"}).perform_resources(server)
    assert [each.valueQuantity.value for each in found] == [93, 92, 91]
    assert found[0].subject.resolved(Patient) is None or found[0].subject.reference == f"Patient/{made['id']}"
    bundle = Bundle(transaction("urn:uuid:7a3151bd-1cbf-4d64-b04d-cd9187a4c6e0"))
    answer = Bundle(server.post_json("", bundle.as_json()).json())
    assert [entry.response.status[:3] for entry in answer.entry] == ["201", "201"]
    assert len(Bundle.read_from(f"Patient/{made['id']}/_history", server).entry) == 2
    read.delete(server)


SCRIPT = """
const run = (kit) => {
  const Client = kit.default ?? kit.Client ?? kit;
  return scenario(new Client({ baseUrl: process.argv[2] }));
};
const scenario = async (fhir) => {
  const input = JSON.parse(process.argv[3]);
  const out = {};
  out.version = (await fhir.capabilityStatement()).fhirVersion;
  const patient = await fhir.create({ resourceType: 'Patient', body: { resourceType: 'Patient', active: true } });
  const id = patient.id;
  out.read = (await fhir.read({ resourceType: 'Patient', id })).meta.versionId;
  const body = { ...patient, gender: 'female' };
  out.updated = (await fhir.update({ resourceType: 'Patient', id, body })).meta.versionId;
  const jsonPatch = [{ op: 'replace', path: '/gender', value: 'other' }];
  out.patched = (await fhir.patch({ resourceType: 'Patient', id, jsonPatch })).gender;
  out.vread = (await fhir.vread({ resourceType: 'Patient', id, version: '2' })).gender;
  out.history = (await fhir.history({ resourceType: 'Patient', id })).entry.length;
  out.made = (await fhir.transaction({ body: input })).entry.map((e) => e.response.status.slice(0, 3));
  let page = await fhir.search({ resourceType: 'Observation', searchParams: { code: '59408-5', _count: 1 } });
  out.found = 0;
  while (page) {
    out.found += (page.entry ?? []).length;
    page = page.link.some((l) => l.relation === 'next') ? await fhir.nextPage({ bundle: page }) : null;
  }
  await fhir.delete({ resourceType: 'Patient', id });
  out.gone = await fhir.read({ resourceType: 'Patient', id }).catch((e) => e.response.status);
  console.log(JSON.stringify(out));
};
import('fhir-kit-client').then(run).catch((e) => { console.error(e); process.exit(1); });
"""


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fhir-kit-client, of this test process alone: npm does not like to share one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("fhir-kit-client needs node and npm")
    folder = tmp_path_factory.mktemp("fhir-kit-client")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), KIT]
    try:
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    except subprocess.SubprocessError:
        pytest.skip(f"{KIT} cannot be installed: the npm registry is not reached")
    return folder


def test_fhir_kit_client(base: str, kit: Path) -> None:
    script = kit / "scenario.mjs"
    script.write_text(SCRIPT)
    sent = json.dumps(transaction("urn:uuid:1b3151bd-1cbf-4d64-b04d-cd9187a4c6e0"))
    done = subprocess.run(
        ["node", str(script), base, sent], capture_output=True, text=True, timeout=60, cwd=kit
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "version": "4.0.1",
        "read": "1",
        "updated": "2",
        "patched": "other",
        "vread": "female",
        "history": 3,
        "made": ["201", "201"],
        "found": 1,
        "gone": 410,
    }
