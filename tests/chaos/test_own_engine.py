"""The engine of the tests leaves nothing on the machine, also when its test was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import leftovers

pytestmark = pytest.mark.engine

KILLED_TEST = """
import os, signal
from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import import_tiny
engine = OwnEngine()
engine.start()
import_tiny(engine.client)
network = engine.client.networks.create("left")
engine.client.containers.run("chaos/tiny:1", detach=True, network="left")
print(engine.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_test_left_is_removed_by_the_next_one() -> None:
    command = [sys.executable, "-c", KILLED_TEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    folder = Path(done.stdout.strip())
    number = int(folder.name.removeprefix(leftovers.PREFIX))
    assert leftovers.containerds(folder)
    leftovers.sweep_dead()
    assert not folder.exists()
    assert leftovers.containerds(folder) == []
    links = subprocess.run(["ip", "-o", "-4", "address"], capture_output=True, text=True, check=True).stdout
    assert f"10.244.{number}." not in links
    assert f"{folder}/" not in Path("/proc/mounts").read_text(encoding="utf-8")
