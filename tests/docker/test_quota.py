"""A disk of its own size for each session, where the engine can; elsewhere it is said at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.docker.engine import LABEL, Lab, eventually
from tests.harness import pool

pytestmark = pytest.mark.engine

SIZE = 512 * 2**20


@pytest.fixture(scope="module")
def quota(lab: Lab) -> bool:
    """Whether this engine can; asked without the emulator."""
    instance = lab.new_instance()
    image = "dynamic-sessions/shell:latest"
    try:
        lab.engine.containers.create(image, labels={LABEL: instance}, storage_opt={"size": str(SIZE)})
    except APIError as error:
        assert "storage-opt" in str(error) or "quota" in str(error), error
        return False
    finally:
        lab.sweep(instance)
    return True


def test_a_disk_that_the_engine_cannot_give_is_said_at_once(lab: Lab, tmp_path: Path, quota: bool) -> None:
    instance = lab.new_instance()
    if quota:
        with lab.emulator(tmp_path, "--session-disk", "512Mi", pools=[pool("shell", "Shell")]) as started:
            body = {"shellCommand": "df -B1 --output=size / | tail -1"}
            target = "/executions?api-version=2025-10-02-preview&identifier=somebody"
            size = int(started.send("POST", "shell", target, json=body).json()["result"]["stdout"])
            assert size <= SIZE * 1.01
        return
    command = [sys.executable, "-m", "emulator", "up", "--port", "0", "--tls-port", "off"]
    command += [*lab.flags(instance), "--state-dir", str(tmp_path), "--session-disk", "512Mi"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    driver = lab.engine.info()["Driver"]
    assert "--session-disk: a disk of 512Mi for each session" in done.stderr
    assert f"storage driver {driver}" in done.stderr
    assert "leave --session-disk" in done.stderr
    assert lab.all_of(instance) == []


def test_one_pool_that_wants_what_the_engine_cannot_give_fails_alone(
    lab: Lab, tmp_path: Path, quota: bool
) -> None:
    pools = [
        pool("sized", "Shell", ready=0, emulator={"disk": "512Mi"}),
        pool("other", "Shell", ready=0),
    ]
    with lab.emulator(tmp_path, pools=pools) as started:
        target = "/executions?api-version=2025-10-02-preview&identifier=somebody"
        body = {"shellCommand": "echo hello"}
        answer = started.send("POST", "other", target, json=body)
        assert answer.json()["result"]["stdout"] == "hello\n"
        answer = started.send("POST", "sized", target, json=body)
        assert answer.ok == quota, answer.text
        if quota:
            return

        def failure() -> str:
            found = {one["name"]: one["failure"] for one in started.ask("GET", "/status")["pools"]}
            return str(found["sized"] or "")

        assert "storage driver" in eventually(failure, "pool sized fails")
        assert "x-emulator.disk" in failure()


@pytest.mark.parametrize("text", ["1Mi", "much", "-1"])
def test_a_disk_that_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    command = [sys.executable, "-m", "emulator", "up", "--port", "0", f"--session-disk={text}"]
    done = subprocess.run(
        [*command, "--state-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "session-disk is" in done.stderr) == (2, True), done.stderr
