"""`doctor --isolation` against sessions of the process runtime, and what `doctor` says of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.commands.client import Client, CommandFailed
from emulator.doctor.isolation import Isolation, Report
from emulator.doctor.judge import DISK, LOOPBACK, NO_LIMITS
from emulator.doctor.strains import STAGES
from tests.harness import Emulator, emulator, pool


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    if shutil.which("bwrap") is None:
        pytest.fail("bubblewrap is not installed: apt-get install bubblewrap")
    pools = [
        pool("python", "PythonLTS", ready=0),
        pool("shell", "Shell", ready=0),
        pool("open", "PythonLTS", egress=True, ready=0),
    ]
    # Not where sessions have an empty folder of their own anyway: the state must be hidden by its place.
    folder = Path(tempfile.mkdtemp(prefix="doctor-", dir="/var/tmp"))
    try:
        certificates = folder / "ca.pem"
        certificates.write_text("certificates", encoding="utf-8")
        flags = ("--runtime", "process", "--instance", "doctor-process")
        env = {"REQUESTS_CA_BUNDLE": str(certificates)}
        with emulator(folder, *flags, pools=pools, env=env) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def report(started: Emulator) -> Report:
    return Isolation(Client(started.http), started.log.parent / "state").run()


def test_no_promise_is_broken(report: Report) -> None:
    assert report.broken == []
    assert (report.skipped, report.failed) == ([], [])
    assert {cell.pool for cell in report.cells} == {"python", "shell", "open"}


def test_sharing_the_machines_network_is_named_and_only_where_there_is_egress(report: Report) -> None:
    shared = [cell for cell in report.limits if cell.probe not in STAGES.values()]
    assert {cell.pool for cell in shared} == {"open"}
    assert {LOOPBACK, "broadcast", "TCP to a neighbour"} <= {cell.probe for cell in shared}
    assert {cell.neighbour for cell in shared} == {"-", "open"}
    assert all("process runtime" in cell.reason for cell in shared)


def test_having_no_limits_is_named_and_no_neighbour_felt_what_was_used_up(report: Report) -> None:
    free = {STAGES["processes"], STAGES["memory"], DISK}
    for name in ("python", "shell", "open"):
        strained = [cell for cell in report.cells if cell.pool == name and cell.probe in STAGES.values()]
        assert {(cell.probe, cell.reason) for cell in strained if cell.verdict == "limit"} == {
            (probe, NO_LIMITS) for probe in free
        }
        assert {cell.neighbour for cell in strained if cell.verdict == "apart"} == {
            "-",
            "python",
            "shell",
            "open",
        }


def test_the_hosts_kernel_settings_cannot_be_written(report: Report) -> None:
    verdicts = {
        str(cell.verdict) for cell in report.cells if cell.probe in ("/proc/sys writes", "capabilities")
    }
    assert verdicts == {"apart"}


def test_nothing_of_the_doctor_stays(started: Emulator, report: Report) -> None:
    assert report.cells
    assert started.ask("GET", "/sessions")["sessions"] == []


def test_of_other_folders_a_session_sees_only_what_it_is_told_of(started: Emulator) -> None:
    code = "import os; path = os.environ['REQUESTS_CA_BUNDLE']; (open(path).read(), os.listdir('{}'))"
    found = started.value("python", "looks-around", code.format(started.log.parent))
    assert (
        found == "('certificates', ['state', 'ca.pem'])" or found == "('certificates', ['ca.pem', 'state'])"
    )
    assert started.value("python", "looks-around", f"os.listdir('{started.log.parent}/state')") == []
    assert started.value("python", "looks-around", "set(os.listdir('/home')) - {'ubuntu'}") == "set()"
    started.send("DELETE", "python", "/session?api-version=2025-10-02-preview&identifier=looks-around")


def test_two_at_once_do_not_disturb_each_other(started: Emulator) -> None:
    found: list[Report] = []

    def look() -> None:
        state = started.log.parent / "state"
        found.append(Isolation(Client(started.http), state, gentle=True).run())

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    first, second = found
    assert (first.broken, first.failed) == (second.broken, second.failed) == ([], [])
    assert [(cell.pool, cell.probe, cell.verdict) for cell in first.cells] == [
        (cell.pool, cell.probe, cell.verdict) for cell in second.cells
    ]


def test_a_pool_that_is_full_is_no_good_and_says_what_to_do(tmp_path: Path) -> None:
    pools = [pool("shell", "Shell", ready=0, max_sessions=1)]
    with emulator(tmp_path, "--runtime", "process", "--instance", "doctor-full", pools=pools) as running:
        running.send("GET", "shell", "/files?api-version=2025-10-02-preview&identifier=somebody")
        done = _doctor(tmp_path / "state", "--isolation", "--endpoint", running.http)
    assert done.returncode == 1
    assert "pool shell: 429" in done.stderr
    assert "two free sessions" in done.stderr
    assert "maxConcurrentSessions" in done.stderr


def test_when_the_time_is_over_the_rest_is_left_out_and_said(started: Emulator) -> None:
    state = started.log.parent / "state"
    with pytest.raises(CommandFailed, match="--time-limit"):
        Isolation(Client(started.http), state, time_limit=0).run()
    assert started.ask("GET", "/sessions")["sessions"] == []


def _doctor(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", "doctor", "--state-dir", str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_machine_without_problems(tmp_path: Path) -> None:
    done = _doctor(tmp_path, "--runtime", "process", "--port", "0", "--tls-port", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("Python:", "disk of the state folder", "bubblewrap", "Python kernel", "certificates"):
        assert f"ok       {what}" in done.stdout, what


def test_a_port_that_is_taken_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _doctor(tmp_path, "--runtime", "process", "--tls-port", port, "--port", "0")
    assert done.returncode == 1
    assert "problem  HTTPS port" in done.stdout
    assert "--tls-port" in done.stdout


def test_a_running_emulator_is_recognised(started: Emulator, tmp_path: Path) -> None:
    port = started.http.rsplit(":", 1)[1]
    done = _doctor(tmp_path, "--runtime", "process", "--tls-port", "off", "--port", port)
    assert done.returncode == 0, done.stdout
    assert "the emulator 'doctor-process' answers there" in done.stdout


def test_an_engine_that_does_not_answer_is_a_problem_only_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    flags = ("--port", "0", "--tls-port", "off")
    wanted = _doctor(tmp_path, "--runtime", "docker", *flags)
    assert wanted.returncode == 1
    assert "problem  Docker Engine" in wanted.stdout
    assert _doctor(tmp_path, "--runtime", "process", *flags).returncode == 0


def test_a_certificate_that_is_none_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_text("nonsense", encoding="utf-8")
    done = _doctor(tmp_path, "--runtime", "process", "--port", "0", "--tls-port", "0")
    assert done.returncode == 1
    assert "problem  certificates" in done.stdout


def test_isolation_of_no_emulator_says_how_to_start_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "emulator", "doctor", "--isolation", "--endpoint", endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "dynamic-sessions up" in done.stderr
