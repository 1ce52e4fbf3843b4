"""`varde demo` and the load driver as processes, without a terminal, against the real server."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "fhir_server.cli", "demo"]


def run(command, timeout=120):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)


@contextmanager
def running(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        process.stdout.close()


def test_a_small_demo_raises_yellow_and_red_alerts_and_ends_by_itself():
    done = run([*DEMO, "--patients", "3", "--days", "4", "--seed", "3"])
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    alerts = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  ", line)]
    zones = {line[52:61].strip() for line in alerts}
    assert {"yellow", "red"} <= zones, done.stdout
    assert "technical" not in zones, done.stdout
    assert all(line[63:].strip() for line in alerts), "an alert that says nothing"
    (totals,) = (line.split() for line in lines if line.startswith("all "))
    assert int(totals[1]) == 3
    assert int(totals[2]) == sum(line[52:61].strip() == "yellow" for line in alerts)
    assert int(totals[3]) == sum(line[52:61].strip() == "red" for line in alerts)
    assert re.search(r"write to alert read: p50 [\d.]+ ms, p99 [\d.]+ ms", done.stdout)
    assert re.search(r"http://127.0.0.1:\d+/fhir/metadata", done.stdout)
    assert "\x1b" not in done.stdout, "no terminal, no colours"


def test_a_demo_on_a_port_in_use_says_so_and_fails():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run([*DEMO, "--port", str(taken.getsockname()[1])])
    assert done.returncode == 1
    assert "cannot be used" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_demo_on_a_store_that_cannot_be_opened_says_so_and_fails(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    done = run([*DEMO, "--store", f"sqlite:///{tmp_path}/file/varde.db", "--patients", "1", "--days", "1"])
    assert done.returncode == 1
    assert "varde demo: The server stopped with status" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_demo_stops_the_server_with_it(number):
    with running([*DEMO, "--patients", "9", "--days", "60"]) as process:
        for line in process.stdout:
            if found := re.match(r"Varde serves http://127.0.0.1:(\d+)/fhir", line):
                port = int(found[1])
            if line.startswith("READING TAKEN"):
                break
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(20) == 130, rest
    assert "Traceback" not in rest
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


def test_load_drives_the_floor_app(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    floor = [sys.executable, "benchmarks/floor.py", "--port", str(port), "--file", str(tmp_path / "f.db")]
    base = f"http://127.0.0.1:{port}/fhir"
    with running(floor):
        wait_for(port)
        done = run(
            [
                sys.executable,
                "benchmarks/load.py",
                "--base",
                base,
                "--no-setup",
                "--clients",
                "4",
                "--patients",
                "8",
                "--seconds",
                "0.4",
                "--warmup",
                "0.1",
            ]
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d*/s +p50 +[\d.]+ +p95 +[\d.]+ +p99 +[\d.]+ ms +\d+ ok, 0 failed", done.stdout)


def test_load_compares_varde_with_the_floor(tmp_path):
    done = run(
        [
            sys.executable,
            "benchmarks/load.py",
            "--compare-floor",
            "--clients",
            "4",
            "--patients",
            "4",
            "--seconds",
            "0.4",
            "--warmup",
            "0.1",
            "--rounds",
            "1",
            "--directory",
            str(tmp_path),
        ]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"varde, 1 worker +\d+/s +[\d.]+ % of the floor", done.stdout)


def wait_for(port):
    for _ in range(2400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nobody listens")


def test_on_a_terminal_the_server_runs_on_until_ctrl_c():
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a job in the background begins
        os.execv(DEMO[0], [*DEMO, "--patients", "1", "--days", "2"])
    seen = read_until(terminal, b"Ctrl-C stops it.")
    port = int(re.search(rb"http://127.0.0.1:(\d+)/fhir/metadata", seen)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        os.write(terminal, b"\x03")
    read_until(terminal, b"Stopped.")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
    os.close(terminal)


def read_until(terminal, wanted, seconds=240):
    """What the terminal shows up to and including `wanted`."""
    seen, deadline = b"", time.monotonic() + seconds
    while wanted not in seen:
        assert time.monotonic() < deadline, seen[-2000:]
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError as gone:  # whoever wrote there has ended
                raise AssertionError(seen[-2000:]) from gone
    return seen
