"""`docker compose up`: the emulator beside the engine, its sessions reachable, itself out of their reach."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.docker.engine import LABEL, Lab

ROOT = Path(__file__).parents[2]
PROJECT = "dynamic-sessions-test"
REAPED = "org.testcontainers.session-id"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


@pytest.fixture(scope="module")
def base(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of an emulator that compose started, with a label that a reaper looks for."""
    reaped = tmp_path_factory.mktemp("compose") / "reaped.yaml"
    reaped.write_text(f"services: {{emulator: {{labels: {{{REAPED}: 'abc'}}}}}}\n", encoding="utf-8")
    port = free_port()
    environment = {
        **os.environ,
        "DSE_HTTP_PORT": port,
        "DSE_HTTPS_PORT": free_port(),
        "DYNAMIC_SESSIONS_INSTANCE": PROJECT,
        "DYNAMIC_SESSIONS_SESSION_SUBNET": "10.232.0.0/24",
    }
    if BUNDLE.exists():
        environment["DSE_CA_BUNDLE"] = str(BUNDLE)

    def compose(*arguments: str) -> None:
        files = ["--file", str(ROOT / "compose.yaml"), "--file", str(reaped)]
        command = ["docker", "compose", "--project-name", PROJECT, *files, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-6000:]}"

    try:
        compose("up", "--detach", "--build", "--wait", "emulator")
        yield f"http://127.0.0.1:{port}"
    finally:
        compose("down", "--volumes")


def run(base: str, identifier: str, code: str) -> dict[str, object]:
    token = requests.get(f"{base}/.emulator/token", timeout=30).json()["accessToken"]
    answer = requests.post(
        f"{base}/executions",
        params={"api-version": "2025-10-02-preview", "identifier": identifier},
        json={"code": code, "codeInputType": "Inline", "executionType": "Synchronous"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    result: dict[str, object] = answer.json()["result"]
    return result


def test_sessions_keep_state_and_are_kept_apart(base: str) -> None:
    run(base, "alice", "x = 41")
    assert run(base, "alice", "x + 1")["executionResult"] == 42
    assert "NameError" in str(run(base, "bobby", "x")["stderr"])


def test_no_address_of_its_network_answers_a_session(base: str) -> None:
    """The emulator's container is on the session's network, but listens on its own first network only."""
    code = """
import ipaddress, socket
own = socket.gethostbyname(socket.gethostname())
reached = []
for host in ipaddress.ip_network(own + '/29', strict=False).hosts():
    for port in (7480, 7443):
        with socket.socket() as sock:
            sock.settimeout(1)
            if str(host) != own and sock.connect_ex((str(host), port)) == 0:
                reached.append((str(host), port))
reached
"""
    assert run(base, "carol", code)["executionResult"] == []


def test_what_reaps_the_emulator_finds_its_sessions(base: str, lab: Lab) -> None:
    """A reaper removes by label: whatever carries the emulator's must include what the emulator made."""
    run(base, "david", "1")
    ours, reaped = {"label": f"{LABEL}={PROJECT}"}, {"label": f"{REAPED}=abc"}
    for things in (lab.engine.containers, lab.engine.networks):
        made = {one.id for one in things.list(filters=ours)}
        assert made
        assert made <= {one.id for one in things.list(filters=reaped)}


def test_the_doctor_finds_nothing_broken_and_no_host_where_there_is_no_egress(
    base: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "emulator", "doctor", "--isolation", "--gentle", "--json"]
    command += ["--endpoint", base, "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["failed"], report["counts"]["limit"]) == ([], 0), done.stdout
    assert report["counts"]["apart"] > 40
    # A bridge without an address of the host's: there is not even a listener to try.
    (note,) = report["skipped"]
    assert note.startswith("the host's addresses: this machine has no address on the network")


def test_down_leaves_nothing(base: str, lab: Lab) -> None:
    """Runs last in this file: what compose started is gone once it is down."""
    ours = {"label": f"{LABEL}={PROJECT}"}
    assert lab.engine.containers.list(filters=ours) != []
    environment = {**os.environ, "DSE_HTTP_PORT": "0", "DSE_HTTPS_PORT": "0"}
    command = ["docker", "compose", "--project-name", PROJECT, "down"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert lab.engine.containers.list(all=True, filters=ours) == []
    assert lab.engine.networks.list(filters=ours) == []
