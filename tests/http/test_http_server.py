"""`varde serve` as a process: it starts, says why it cannot, keeps quiet about patients, stops."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx
import pytest

VARDE = [sys.executable, "-m", "fhir_server.cli"]
PATIENT = {"resourceType": "Patient"}


@contextmanager
def serving(folder, port, *options):
    """A ready server; gives its URL and the file of its log."""
    log = folder / "log"
    store = f"sqlite:///{folder}/varde.db"
    command = [*VARDE, "serve", "--no-auth", "--port", str(port), "--store", store, *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while not ready(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield url, log
    finally:
        process.terminate()
        process.wait(30)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def run(*arguments, **environment):
    import os

    return subprocess.run(
        [*VARDE, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


def test_the_log_says_what_was_done_but_not_to_whom(tmp_path, free_port):
    with serving(tmp_path, free_port) as (url, log):
        secret = "13097248022"
        patient = {**PATIENT, "id": secret, "name": [{"family": "Hemmelig"}]}
        with httpx.Client(base_url=f"{url}/fhir") as fhir:
            assert fhir.put(f"/Patient/{secret}", json=patient).status_code == 201
            fhir.get(f"/Patient/{secret}")
            fhir.get(f"/Patient?identifier={secret}&name=Hemmelig")
            fhir.get(f"/Nothing/{secret}")
            fhir.post("/Patient", json={**patient, "nonsense": secret})
            fhir.post("/Observation", json={
                "resourceType": "Observation", "status": "final", "code": {"text": "x"},
                "subject": {"reference": f"Patient/{secret}"}, "valueQuantity": {"value": 1},
            })  # fmt: skip
            fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [
                {"resource": patient, "request": {"method": "PUT", "url": f"Patient/{secret}"}}]})  # fmt: skip
            fhir.get("/metadata", headers={"X-Request-Id": "my-request-1"})
            fhir.get("/metadata", headers={"X-Request-Id": secret})
        httpx.get(f"{url}/{secret}")
    text = log.read_text()
    assert secret not in text
    assert "Hemmelig" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) == 9
    assert requests[0].keys() >= {"method", "route", "status", "ms", "request_id", "timestamp"}
    assert requests[0]["route"] == "/fhir/{type}/{id}"
    assert any(line["request_id"] == "my-request-1" for line in requests)


def test_an_answer_is_not_dated_before_what_it_shows(tmp_path, free_port):
    with serving(tmp_path, free_port) as (url, _):
        for _ in range(20):
            time.sleep(0.06)
            headers = httpx.post(f"{url}/fhir/Patient", json=PATIENT).headers
            assert len(headers.get_list("date")) == 1
            assert parsedate_to_datetime(headers["date"]) >= parsedate_to_datetime(headers["last-modified"])
        assert len(httpx.get(f"{url}/health/live").headers.get_list("date")) == 1


def test_several_workers_answer_for_one_store(tmp_path, free_port):
    # A new connection for each request, so that either worker may get it.
    with (
        serving(tmp_path, free_port, "--workers", "2") as (url, _),
        httpx.Client(headers={"Connection": "close"}) as http,
    ):
        for number in range(30):
            patient = {**PATIENT, "id": f"p{number}"}
            assert http.put(f"{url}/fhir/Patient/p{number}", json=patient).status_code == 201
            assert http.get(f"{url}/fhir/Patient?_id=p{number}").json()["total"] == 1
        following, seen = f"{url}/fhir/Patient?_count=3", []
        while following:
            page = http.get(following).raise_for_status().json()
            seen += [entry["resource"]["id"] for entry in page["entry"]]
            links = {link["relation"]: link["url"] for link in page["link"]}
            following = links.get("next")
        assert len(seen) == len(set(seen)) == 30
        shown = http.get(f"{url}/metrics").text
        totals = re.findall(r'varde_requests_total\{interaction="update",status="201"\} (\S+)', shown)
        assert [float(total) for total in totals] == [30.0]


def test_a_restart_finds_everything_again(tmp_path, free_port):
    with serving(tmp_path, free_port) as (url, _):
        made = httpx.post(f"{url}/fhir/Patient", json=PATIENT)
    with serving(tmp_path, free_port) as (url, _):
        path = made.headers["location"].split("/fhir/")[1]
        assert httpx.get(f"{url}/fhir/{path}").content == made.content
        assert httpx.get(f"{url}/fhir/Device/varde-engine/_history").json()["total"] == 1


def test_an_oversized_body_without_a_length_is_413(tmp_path, free_port):
    with serving(tmp_path, free_port, "--max-body-bytes", "100000") as (url, _):

        def chunks():
            for _ in range(100):
                yield b" " * 10_000

        with contextlib.suppress(httpx.WriteError):  # it may have answered and closed before all was sent
            assert httpx.post(f"{url}/fhir/Patient", content=chunks()).status_code == 413
        assert httpx.post(f"{url}/fhir/Patient", json=PATIENT).status_code == 201


def test_a_client_that_goes_away_half_way_does_no_harm(tmp_path, free_port):
    with serving(tmp_path, free_port) as (url, log):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
                client.sendall(b"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request("GET", "/fhir/Patient?_summary=count")
        assert json.loads(connection.getresponse().read())["total"] == 0
    assert "bug" not in log.read_text()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--store", "mysql://localhost"], "sqlite:///PATH"),
        (["--store", "sqlite://"], "sqlite:///"),
        (["--store", "sqlite:////proc/nothing/varde.db"], "cannot"),
        (["--host", "0.0.0.0"], "loopback"),
        (["--auth", "--host", "0.0.0.0"], "--base-url"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(options, said, free_port):
    done = run("serve", "--no-auth", "--port", str(free_port), *options)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_port_in_use_ends_the_server(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(
            "serve",
            "--no-auth",
            "--port",
            str(taken.getsockname()[1]),
            "--store",
            f"sqlite:///{tmp_path}/v.db",
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_version_and_help():
    assert run("--version").stdout.startswith("varde 0.")
    shown = run("serve", "--help", COLUMNS="200").stdout
    for option in ("--host", "--port", "--store", "--workers", "--log-level", "VARDE_STORE", "sqlite:///"):
        assert option in shown


def test_environment_variables_set_options():
    assert "VARDE_PORT" in run("serve", VARDE_PORT="nonsense").stderr
