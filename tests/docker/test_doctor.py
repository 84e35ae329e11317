"""`doctor`: the probe matrix of a live emulator's pools, and what is wrong on a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.types import IPAMConfig, IPAMPool

from emulator.commands.client import Client
from emulator.doctor.isolation import Isolation, Report
from emulator.doctor.judge import HOST, Verdict
from tests.docker.engine import LABEL, Lab
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine

BUILT_IN = ("python", "open", "node", "shell")
TO_A_NEIGHBOUR = {"files", "/tmp", "processes", "environment", "TCP to a neighbour", "a neighbour's own API"}
ALONE = {
    "the emulator's admin API",
    "the emulator's data plane",
    "the host's loopback",
    HOST,
    "host files",
    "engine socket",
    "secrets in environment",
    "/proc/sys writes",
    "devices",
    "raw sockets",
    "capabilities",
    "mounts",
    "egress",
}


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    containers = [{"image": echo_image, "name": "main", "resources": {"cpu": 0.5, "memory": "1Gi"}}]
    pools = [
        pool("python", "PythonLTS", ready=0),
        pool("open", "PythonLTS", egress=True, ready=0),
        pool("node", "NodeLTS", ready=0),
        pool("shell", "Shell", ready=0),
        pool("echo", "CustomContainer", template={"containers": containers, "ingress": {"targetPort": 8080}}),
    ]
    with lab.emulator(tmp_path_factory.mktemp("doctor"), pools=pools) as started:
        yield started


@pytest.fixture(scope="module")
def report(emulator: Emulator) -> Report:
    return Isolation(Client(emulator.http), emulator.log.parent / "state").run()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def test_every_pair_was_probed_and_every_probe_proven(report: Report) -> None:
    assert report.skipped == []
    for attacker in BUILT_IN:
        cells = [cell for cell in report.cells if cell.pool == attacker]
        for neighbour in (*BUILT_IN, "echo"):
            probed = {cell.probe for cell in cells if cell.neighbour == neighbour}
            wanted = {"a neighbour's own API"} if neighbour == "echo" else TO_A_NEIGHBOUR
            assert wanted <= probed, (attacker, neighbour)
        assert {cell.probe for cell in cells if cell.neighbour == "-"} == ALONE, attacker
    kernels = {(cell.pool, cell.neighbour) for cell in report.cells if cell.probe == "kernel connection"}
    assert kernels == {(one, other) for one in BUILT_IN for other in ("python", "open", "node")}


def test_no_promise_is_broken(report: Report) -> None:
    assert report.broken == []


def test_what_the_engine_cannot_give_is_named(report: Report) -> None:
    assert {(cell.pool, cell.probe) for cell in report.limits} == {(one, HOST) for one in BUILT_IN}
    assert all("docker compose" in cell.detail for cell in report.limits)


def test_egress_is_off_and_on(report: Report) -> None:
    egress = {cell.pool: (cell.verdict, cell.detail) for cell in report.cells if cell.probe == "egress"}
    disabled, enabled = (Verdict.APART, "disabled"), (Verdict.APART, "enabled")
    assert egress == {"python": disabled, "node": disabled, "shell": disabled, "open": enabled}


def test_nothing_of_the_doctor_stays(emulator: Emulator, report: Report) -> None:
    assert report.cells
    assert emulator.ask("GET", "/sessions")["sessions"] == []


def test_an_emulator_that_sessions_can_reach_is_a_broken_promise(lab: Lab, tmp_path: Path) -> None:
    # An address of the host's on a bridge: a session has a way there, whatever its egress.
    address = "10.231.255.1"
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet="10.231.255.0/29", gateway=address)])
    instance = lab.new_instance()
    bridge = lab.engine.networks.create(instance, ipam=ipam, labels={LABEL: instance})
    try:
        flags = ("--host", address, "--admin-key", "doctor-test")
        with lab.emulator(tmp_path, *flags, pools=[pool("shell", "Shell", ready=0)]) as started:
            done = _run("--isolation", "--endpoint", started.http, "--admin-key", "doctor-test")
    finally:
        bridge.remove()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken promises:" in done.stdout
    assert "shell, the emulator's data plane: " in done.stdout


def test_what_a_killed_emulator_left_is_a_problem_with_a_remedy(lab: Lab, tmp_path: Path) -> None:
    instance = lab.new_instance()
    with lab.emulator(tmp_path, instance=instance, pools=[pool("shell", "Shell", ready=1)]) as started:
        lab.kill_emulator(started)
        flags = ("--runtime", "docker", "--port", "0", "--tls-port", "off", "--instance", instance)
        state = ("--state-dir", str(tmp_path / "state"))
        found = _run(*flags, *state)
        assert found.returncode == 1, found.stdout
        assert f"problem  leftovers: 1 containers and 1 networks of instance {instance}" in found.stdout
        assert f"dynamic-sessions down --instance {instance}" in found.stdout
        down = [
            sys.executable,
            "-m",
            "emulator",
            "down",
            "--runtime",
            "docker",
            "--instance",
            instance,
            *state,
        ]
        subprocess.run(down, check=True, capture_output=True, timeout=120, env=dict(os.environ))
        clean = _run(*flags, *state)
        assert clean.returncode == 0, clean.stdout
        assert "ok       Docker Engine: version" in clean.stdout
        assert "ok       image of PythonLTS pools" in clean.stdout
