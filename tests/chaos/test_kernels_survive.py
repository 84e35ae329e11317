"""The real Python image on an engine that freezes, has a full disk, and dies: kernels go on all the while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from tests.chaos.asking import causes, until_ready
from tests.chaos.own_engine import OwnEngine
from tests.harness import pool

pytestmark = pytest.mark.engine
IMAGE = "dynamic-sessions/python:latest"


@pytest.fixture
def roomy() -> Iterator[OwnEngine]:
    """An engine that keeps containers when it ends, with the image of the machine's engine (1.3 GB)."""
    own = OwnEngine("3g", "--live-restore")
    try:
        own.start()
        try:
            machine = docker.from_env(timeout=120)
            image = machine.images.get(IMAGE)
        except (DockerException, ImageNotFound) as error:
            pytest.fail(f"no {IMAGE} ({error}); scripts/engine start and scripts/images provide it")
        own.client.images.load(image.save(named=IMAGE))
        machine.close()
        yield own
    finally:
        own.remove()


def test_a_kernel_goes_on_whatever_the_engine_does(roomy: OwnEngine, tmp_path: Path) -> None:
    flags = ("--engine-timeout", "1", "--engine-interval", "2")
    emulator = roomy.emulator(tmp_path, *flags, pools=[pool("python", "PythonLTS", ready=0)])
    emulator.value("python", "alice", "count = 1; open('/mnt/data/kept', 'w').write('file')")

    def go_on() -> int:
        code = "count += 1; (count, open('/mnt/data/kept').read())[0]"
        return int(emulator.value("python", "alice", code))

    roomy.freeze()
    try:
        assert go_on() == 2
    finally:
        roomy.thaw()
    roomy.fill_disk()
    code = """
try:
    open('/mnt/data/more', 'wb').write(bytes(1_000_000))
except OSError as error:
    said = str(error)
said
"""
    refused = emulator.value("python", "alice", code)
    assert "No space left on device" in refused
    assert go_on() == 3
    roomy.free_disk()
    roomy.kill()
    assert go_on() == 4
    roomy.start()
    until_ready(emulator)
    assert go_on() == 5
    assert causes(emulator, "session.crashed") == []
    assert emulator.value("python", "robert", "'count' in globals()") is False
    assert emulator.stop() == 0
    assert roomy.left() == []
