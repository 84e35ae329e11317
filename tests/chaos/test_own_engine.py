"""The engine of the tests leaves nothing on the machine, also when its test was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import leftovers
from tests.chaos.own_engine import OwnEngine

pytestmark = pytest.mark.engine

KILLED_TEST = """
import os, signal
from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import import_tiny
engine = OwnEngine()
engine.start()
import_tiny(engine.client)
network = engine.client.networks.create("left")
print("br-" + network.id[:12])
engine.client.containers.run("chaos/tiny:1", detach=True, network="left")
print(engine.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_test_left_is_removed_by_the_next_one() -> None:
    command = [sys.executable, "-c", KILLED_TEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    bridge, home = done.stdout.split()
    folder = Path(home)
    assert bridge in leftovers.interfaces()
    assert leftovers.containerds(folder)
    leftovers.sweep_dead()
    assert not folder.exists()
    assert leftovers.containerds(folder) == []
    number = int(folder.name.removeprefix(leftovers.PREFIX))
    assert leftovers.interfaces().isdisjoint({bridge, leftovers.bridge(number)})
    assert f"{folder}/" not in Path("/proc/mounts").read_text(encoding="utf-8")


def test_the_bridge_of_another_engine_stays() -> None:
    """What an engine takes for leftovers of its own at a second start may belong to the machine's engine."""
    before = leftovers.interfaces() & {"docker0"}
    engine = OwnEngine()
    try:
        for end in (engine.stop, engine.kill):
            engine.start()
            end()
        engine.start()
        assert leftovers.interfaces() & {"docker0"} == before
    finally:
        engine.remove()
