"""`doctor --isolation` on an engine: the whole matrix, and that it fails where a promise is broken."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docker.types import IPAMConfig, IPAMPool

from emulator.commands.client import Client
from emulator.doctor.isolation import Isolation
from emulator.doctor.judge import BUSY, DISK, HOST, LOOPBACK, Verdict
from emulator.doctor.report import Report
from emulator.doctor.strains import STAGES
from tests.docker.engine import LABEL, Lab
from tests.harness import Emulator, pool

# The whole matrix takes a good minute on two cores that do nothing else.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CLOSED = ("python", "node", "shell", "byoc")
OPEN = tuple(f"{name}-open" for name in CLOSED)
ATTACKERS = (*CLOSED, *OPEN)
MARKED = {"files", "/tmp", "processes", "environment", "TCP to a neighbour"}
PAIR = {"a neighbour's own API", "broadcast", *STAGES.values()}
ALONE = {
    "the emulator's admin API",
    "the emulator's data plane",
    LOOPBACK,
    HOST,
    "host files",
    "engine socket",
    "secrets in environment",
    "secrets in files",
    "/proc/sys writes",
    "devices",
    "raw sockets",
    "capabilities",
    "mounts",
    "egress",
    *STAGES.values(),
}
# Small, so that what uses them up is soon through.
LIMITS = ("--session-memory", "384Mi", "--pids-limit", "200")


def _custom(image: str, port: int) -> dict[str, object]:
    resources = {"cpu": 0.5, "memory": "384Mi"}
    return {
        "containers": [{"image": image, "name": "main", "resources": resources}],
        "ingress": {"targetPort": port},
    }


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("echo", "CustomContainer", template=_custom(echo_image, 8080))]
    for name, egress in (*((one, False) for one in CLOSED), *((one, True) for one in OPEN)):
        kind = {"python": "PythonLTS", "node": "NodeLTS", "shell": "Shell"}.get(name.removesuffix("-open"))
        if kind is None:
            template = _custom("dynamic-sessions/base", 6000)
            pools.append(pool(name, "CustomContainer", egress=egress, template=template))
        else:
            pools.append(pool(name, kind, egress=egress, ready=0))
    with lab.emulator(tmp_path_factory.mktemp("doctor"), *LIMITS, pools=pools) as started:
        yield started


@pytest.fixture(scope="module")
def report(emulator: Emulator) -> Report:
    return Isolation(Client(emulator.http), emulator.log.parent / "state").run()


def _doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def test_every_pair_was_probed_and_every_probe_proven(report: Report) -> None:
    assert report.failed == []
    for attacker in ATTACKERS:
        cells = [cell for cell in report.cells if cell.pool == attacker]
        for neighbour in (*ATTACKERS, "echo"):
            wanted = PAIR if neighbour == "echo" else PAIR | MARKED
            if neighbour != "echo" and "shell" not in neighbour:
                wanted = wanted | {"kernel connection"}
            if "node" in neighbour:
                wanted = wanted | {"kernel ports"}
            if attacker in CLOSED:  # with egress it would be a name server outside that is asked
                wanted = wanted | {"DNS names"}
            probed = {cell.probe for cell in cells if cell.neighbour == neighbour}
            assert probed == wanted, (attacker, neighbour)
        assert {cell.probe for cell in cells if cell.neighbour == "-"} == ALONE, attacker


def test_no_promise_is_broken(report: Report) -> None:
    assert report.broken == []
    assert report.good


def test_what_the_engine_cannot_give_is_named(report: Report, lab: Lab) -> None:
    expected = {(one, HOST) for one in ATTACKERS} | {(one, DISK) for one in ATTACKERS}
    assert {(cell.pool, cell.probe) for cell in report.limits} == expected
    assert all("docker compose" in cell.reason for cell in report.limits if cell.probe == HOST)
    driver = lab.engine.info()["Driver"]
    assert all(f"storage driver {driver}" in cell.reason for cell in report.limits if cell.probe == DISK)


def test_a_session_is_stopped_at_its_own_limits(report: Report) -> None:
    told = {(cell.pool, cell.probe): cell.detail for cell in report.cells if cell.neighbour == "-"}
    for one in ATTACKERS:
        assert "then: Resource temporarily unavailable" in told[one, STAGES["processes"]]
        assert "then: ended by SIGKILL" in told[one, STAGES["memory"]]
        assert "do nothing but count" in told[one, BUSY]


def test_egress_is_off_and_on(report: Report) -> None:
    egress = {cell.pool: (cell.verdict, cell.detail) for cell in report.cells if cell.probe == "egress"}
    assert egress == {
        **dict.fromkeys(CLOSED, (Verdict.APART, "disabled")),
        **dict.fromkeys(OPEN, (Verdict.APART, "enabled")),
    }


def test_from_where_nothing_can_be_tried_is_said(report: Report) -> None:
    (note,) = report.skipped
    assert note.startswith("pool echo: nothing can be tried from its sessions")


def test_nothing_of_the_doctor_stays(emulator: Emulator, report: Report) -> None:
    assert report.cells
    assert emulator.ask("GET", "/sessions")["sessions"] == []


class Saboteur:
    """Takes away, just before pool python's session looks around, what keeps it apart."""

    def __init__(self, lab: Lab, started: Emulator) -> None:
        self._lab = lab
        self._emulator = started
        self.secret = str(started.ask("GET", "/status")["identityHeader"])
        self.instance = str(started.ask("GET", "/status")["instance"])

    def __call__(self, step: str) -> None:
        if step != "probing from pool python":
            return
        guids = {
            (one["pool"], one["identifier"].split("-")[1]): one["guid"]
            for one in self._emulator.ask("GET", "/sessions")["sessions"]
        }
        attacker = self._lab.container(self.instance, guids["python", "a"])
        neighbour = self._lab.container(self.instance, guids["shell", "b"])
        (network,) = [one for one in self._lab.networks(self.instance) if one.name == neighbour.name]
        network.connect(attacker)
        engine = "import socket; socket.socket(socket.AF_UNIX).bind('/var/run/docker.sock')"
        assert attacker.exec_run(["python3", "-c", engine], user="root").exit_code == 0
        write = ["sh", "-c", f"echo header={self.secret} > /var/tmp/notes"]
        assert attacker.exec_run(write, user="root").exit_code == 0
        attacker.exec_run(["sleep", "60"], environment={"NOTE": self.secret}, user="ubuntu", detach=True)
        unlimited = ["docker", "update", "--pids-limit", "-1", attacker.id]
        subprocess.run(unlimited, check=True, capture_output=True, timeout=60)


def test_whatever_is_taken_away_is_found_broken_and_nothing_else(lab: Lab, tmp_path: Path) -> None:
    pools = [pool("python", "PythonLTS", ready=0), pool("shell", "Shell", ready=0)]
    with lab.emulator(tmp_path, *LIMITS, pools=pools) as started:
        hand = Saboteur(lab, started)
        report = Isolation(Client(started.http), tmp_path / "state", progress=hand).run()
    assert {(cell.pool, cell.probe, cell.neighbour) for cell in report.broken} == {
        ("python", "TCP to a neighbour", "shell"),
        ("python", "a neighbour's own API", "shell"),
        ("python", "broadcast", "shell"),
        ("python", "engine socket", "-"),
        ("python", "secrets in files", "-"),
        ("python", "secrets in environment", "-"),
        ("python", STAGES["processes"], "-"),
    }
    assert hand.secret not in json.dumps(report.as_dict())
    assert not report.good


@pytest.mark.parametrize("everywhere", [False, True])
def test_an_emulator_that_sessions_can_reach_is_a_broken_promise(
    lab: Lab, tmp_path: Path, everywhere: bool
) -> None:
    # An address of the host's on a bridge: a session has a way there, whatever its egress.
    address = "10.231.255.1"
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet="10.231.255.0/29", gateway=address)])
    instance = lab.new_instance()
    bridge = lab.engine.networks.create(instance, ipam=ipam, labels={LABEL: instance})
    try:
        flags = ("--host", "0.0.0.0" if everywhere else address, "--admin-key", "doctor-test-key")
        with lab.emulator(tmp_path, *flags, pools=[pool("shell", "Shell", ready=0)]) as started:
            key = ("--admin-key", "doctor-test-key", "--state-dir", str(tmp_path / "state"))
            more = ("--gentle", "--json") if everywhere else ("--gentle",)
            url = f"http://127.0.0.1:{urlsplit(started.http).port}" if everywhere else started.http
            # Inside a container the emulator does not take "all addresses" at its word.
            with socket.socket() as sock:
                reachable = sock.connect_ex((address, urlsplit(started.http).port)) == 0
            done = _doctor("--isolation", "--endpoint", url, *key, *more)
    finally:
        bridge.remove()
    assert reachable or everywhere
    assert done.returncode == int(reachable), done.stdout + done.stderr
    assert "probing from pool shell" in done.stderr
    if not everywhere:
        assert "broken promises:\n  the emulator's admin API (shell): " in done.stdout
        assert "\n  the emulator's data plane (shell): " in done.stdout
        return
    told = json.loads(done.stdout)
    assert (told["good"], told["failed"]) == (not reachable, [])
    broken = {cell["probe"] for cell in told["cells"] if cell["verdict"] == "broken"}
    assert broken == ({"the emulator's admin API", "the emulator's data plane"} if reachable else set())


def test_what_a_killed_emulator_left_is_a_problem_with_a_remedy(lab: Lab, tmp_path: Path) -> None:
    instance = lab.new_instance()
    with lab.emulator(tmp_path, instance=instance, pools=[pool("shell", "Shell", ready=1)]) as started:
        lab.kill_emulator(started)
        flags = ("--runtime", "docker", "--port", "0", "--tls-port", "off", "--instance", instance)
        state = ("--state-dir", str(tmp_path / "state"))
        found = _doctor(*flags, *state)
        assert found.returncode == 1, found.stdout
        assert f"problem  leftovers: 1 containers and 1 networks of instance {instance}" in found.stdout
        assert f"dynamic-sessions down --instance {instance}" in found.stdout
        down = [sys.executable, "-m", "emulator", "down", "--runtime", "docker", "--instance", instance]
        subprocess.run([*down, *state], check=True, capture_output=True, timeout=120)
        clean = _doctor(*flags, *state)
        assert clean.returncode == 0, clean.stdout
        assert "ok       Docker Engine: version" in clean.stdout
        assert "ok       image of PythonLTS pools" in clean.stdout
