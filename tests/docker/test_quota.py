"""A disk of its own size for each session, where the engine can; elsewhere it is said at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import import_tiny, tiny_pool
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


@pytest.fixture
def btrfs() -> Iterator[OwnEngine]:
    """An engine of the tests' own whose storage driver has quotas, on a file system in a file."""
    if shutil.which("mkfs.btrfs") is None:
        pytest.fail("mkfs.btrfs is missing: apt-get install btrfs-progs")
    engine = OwnEngine()
    try:
        disk = engine.folder / "disk"
        with disk.open("wb") as file:
            file.truncate(400 * 2**20)
        for command in (["mkfs.btrfs", "-q", disk], ["mount", "-o", "loop", disk, engine.data]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                pytest.fail(f"this machine makes or mounts no btrfs, which its kernel needs: {done.stderr}")
        engine.start("--storage-driver", "btrfs")
        yield engine
    finally:
        engine.remove()


def test_where_the_engine_can_a_session_ends_at_its_quota_and_its_neighbour_does_not(
    btrfs: OwnEngine, tmp_path: Path
) -> None:
    import_tiny(btrfs.client)
    pools = [tiny_pool("setting"), tiny_pool("own", emulator={"disk": "16Mi"})]
    started = btrfs.emulator(tmp_path, "--session-disk", "32Mi", pools=pools)
    for name in ("setting", "own"):
        for identifier in ("hungry", "modest"):
            answer = started.send("GET", name, f"/cgi-bin/version?identifier={identifier}")
            assert answer.text == "1", answer.text
    sessions = {
        (one["pool"], one["identifier"]): one["guid"] for one in started.ask("GET", "/sessions")["sessions"]
    }

    def write(name: str, identifier: str, mebibytes: int) -> tuple[int, str]:
        container = btrfs.container(sessions[name, identifier])
        done = container.exec_run(["dd", "if=/dev/zero", "of=/tmp/file", "bs=1M", f"count={mebibytes}"])
        return done.exit_code, done.output.decode()

    for name, room in (("setting", 32), ("own", 16)):
        code, said = write(name, "hungry", room + 8)
        assert (code, "Disk quota exceeded" in said) == (1, True), said
        assert write(name, "modest", room // 2)[0] == 0
    assert started.stop() == 0
    assert btrfs.left() == []


@pytest.mark.parametrize("text", ["1Mi", "much", "-1"])
def test_a_disk_that_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    command = [sys.executable, "-m", "emulator", "up", "--port", "0", f"--session-disk={text}"]
    done = subprocess.run(
        [*command, "--state-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "session-disk is" in done.stderr) == (2, True), done.stderr
