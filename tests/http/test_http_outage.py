"""A store that is gone or full is a 503, nothing that was acknowledged is lost, and it heals by itself."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import httpx
import pytest

from fhir_server.errors import FhirError

PATIENT = {"resourceType": "Patient"}


@pytest.fixture
def outage(fhir, monkeypatch):
    """Switches the store of `fhir` off and on."""

    def switch(off: bool) -> None:
        monkeypatch.undo()
        for name in ("transact", "read", "vread", "history", "search", "count", "check") if off else ():

            async def gone(*_, **__):
                raise FhirError("unavailable", "The database cannot be reached")

            monkeypatch.setattr(type(fhir.store), name, gone)

    return switch


def test_every_interaction_is_503_while_the_store_is_gone_and_works_again_after(fhir, outage):
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    entry = {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}
    requests = [
        ("GET", "/Patient/p", None, 200),
        ("GET", "/Patient/p/_history/1", None, 200),
        ("GET", "/Patient/p/_history", None, 200),
        ("GET", "/Patient?name=x", None, 200),
        ("POST", "/Patient", PATIENT, 201),
        ("PUT", "/Patient/p", {**PATIENT, "id": "p"}, 200),
        ("POST", "/", {"resourceType": "Bundle", "type": "batch", "entry": [entry, entry]}, 200),
        ("POST", "/", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}, 200),
        ("DELETE", "/Patient/p", None, 204),
    ]
    outage(True)
    for method, path, body, _ in requests:
        answer = fhir.request(method, path, body)
        assert answer.status_code == 503
        assert answer.json()["issue"][0]["code"] == "transient"
    assert fhir.get("/metadata").status_code == 200
    assert fhir.beside("/health/live").status_code == 200
    assert fhir.beside("/health/ready").status_code == 503
    outage(False)
    for method, path, body, status in requests:
        assert fhir.request(method, path, body).status_code == status
    assert fhir.beside("/health/ready").status_code == 200


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux to fill a disk for one process")
def test_a_full_disk_is_503_and_heals_without_a_restart(tmp_path, free_port):
    """A limit on the size of files stands in for a disk that is full."""
    port = free_port
    command = [sys.executable, "-m", "fhir_server.cli", "serve", "--no-auth", "--port", str(port)]
    with open("/dev/full", "wb") as log:  # so is that of the log
        process = subprocess.Popen([*command, "--store", f"sqlite:///{tmp_path}/varde.db"], stderr=log)
    body = {"resourceType": "Basic", "code": {"text": "x" * 2000}}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            wait_until_ready(http, process)
            largest = max(file.stat().st_size for file in tmp_path.iterdir())
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest + 50_000, resource.RLIM_INFINITY))
            statuses = [http.post("/fhir/Basic", json=body).status_code for _ in range(200)]
            assert set(statuses) == {201, 503}
            made = statuses.count(201)
            assert http.get("/fhir/Basic?_summary=count").json()["total"] == made
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            assert http.post("/fhir/Basic", json=body).status_code == 201
            assert http.get("/fhir/Basic?_summary=count").json()["total"] == made + 1
            assert http.get("/health/ready").status_code == 200
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(http: httpx.Client, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if http.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not become ready")
