"""`down`, labels, and two emulators that share a name: nothing is left, and nothing is taken from another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.engine import LABEL, Lab
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
POOLS = [pool("shell", "Shell", max_sessions=4, ready=0)]


def command(lab: Lab, folder: Path, instance: str, verb: str) -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-m",
        "emulator",
        verb,
        "--state-dir",
        str(folder / "state"),
        *lab.flags(instance),
    ]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def allocate(emulator: Emulator, identifier: str) -> None:
    target = f"/executions?api-version=2025-10-02-preview&identifier={identifier}"
    assert emulator.send("POST", "shell", target, json={"shellCommand": "true"}).status_code == 200


def test_down_stops_the_emulator_that_runs(lab: Lab, instance: str, tmp_path: Path) -> None:
    emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
    allocate(emulator, "alice")
    done = command(lab, tmp_path, instance, "down")
    assert done.returncode == 0, done.stderr
    assert f"stopping the emulator of instance {instance} (process {emulator.process.pid})" in done.stdout
    assert emulator.process.wait(30) == 0
    assert lab.all_of(instance) == []


def test_down_says_what_a_killed_one_left(lab: Lab, instance: str, tmp_path: Path) -> None:
    emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
    allocate(emulator, "alice")
    lab.kill_emulator(emulator)
    left = lab.all_of(instance)
    done = command(lab, tmp_path, instance, "down")
    assert done.returncode == 0, done.stderr
    said = [line.split(" ")[-1] for line in done.stdout.splitlines() if line.startswith("removed ")]
    assert sorted(said) == sorted(left)
    assert done.stdout.splitlines()[-1] == f"{len(left)} removed"
    assert lab.all_of(instance) == []


def test_one_instance_runs_once(lab: Lab, instance: str, tmp_path: Path) -> None:
    emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
    done = command(lab, tmp_path, instance, "up")
    assert done.returncode == 2
    assert f"instance {instance} is running already (process {emulator.process.pid})" in done.stderr
    assert "--instance" in done.stderr
    allocate(emulator, "alice")


def test_a_living_namesake_keeps_what_it_has(lab: Lab, instance: str, tmp_path: Path) -> None:
    """One name and two state folders, as when a name was not thought of: neither takes from the other."""
    one = lab.start(tmp_path / "one", instance=instance, pools=POOLS)
    allocate(one, "alice")
    before = {container.id for container in lab.containers(instance)}
    two = lab.start(tmp_path / "two", instance=instance, pools=POOLS)
    allocate(two, "alice")
    assert two.stop() == 0
    assert {container.id for container in lab.containers(instance)} == before
    assert "belong to another emulator" in two.text()
    allocate(one, "alice")
    assert one.stop() == 0
    assert lab.all_of(instance) == []


def test_labels_for_a_reaper(lab: Lab, instance: str, tmp_path: Path) -> None:
    labels = ["org.testcontainers.session-id=abc", "team=agents"]
    emulator = lab.start(tmp_path, "--labels", *labels, instance=instance, pools=POOLS)
    allocate(emulator, "alice")
    made = [*lab.containers(instance), *lab.networks(instance)]
    reaped = {"label": "org.testcontainers.session-id=abc"}
    assert {one.id for one in lab.engine.containers.list(all=True, filters=reaped)} == {
        one.id for one in lab.containers(instance)
    }
    assert {one.id for one in lab.engine.networks.list(filters=reaped)} == {
        one.id for one in lab.networks(instance)
    }
    assert len(made) == 2
    assert all((one.attrs.get("Labels") or one.labels)["team"] == "agents" for one in made)
    assert all((one.attrs.get("Labels") or one.labels)[LABEL] == instance for one in made)
