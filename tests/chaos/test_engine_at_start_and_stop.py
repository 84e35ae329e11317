"""The engine is away while the emulator starts or stops: it says so soon, and leaves nothing for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.asking import count, sessions, until_ready
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.relay import Relay
from tests.chaos.tiny_image import tiny_pool

pytestmark = pytest.mark.engine
IMPATIENT = ("--engine-timeout", "1", "--engine-interval", "2", "--stop-timeout", "3")
POOLS = [tiny_pool(ready=1, max_sessions=5)]


def command(engine: OwnEngine, folder: Path, verb: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line with the flags of `engine`; half a minute is too long."""
    line = [
        sys.executable,
        "-m",
        "emulator",
        verb,
        *engine.flags(),
        *IMPATIENT,
        "--state-dir",
        str(folder / "state"),
    ]
    if verb == "up":
        line += ["--port", "0", "--tls-port", "off"]
    env = {**os.environ, **engine.environment()}
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False, env=env)


def away(engine: OwnEngine) -> Callable[[], None]:
    engine.kill()
    return engine.start


def frozen(engine: OwnEngine) -> Callable[[], None]:
    engine.freeze()
    return engine.thaw


@pytest.mark.parametrize(("trouble", "verb"), [(away, "up"), (frozen, "up"), (frozen, "down")])
def test_a_command_without_an_engine_ends_and_says_why(
    engine: OwnEngine, tmp_path: Path, verb: str, trouble: Callable[[OwnEngine], Callable[[], None]]
) -> None:
    recover = trouble(engine)
    try:
        done = command(engine, tmp_path, verb)
    finally:
        recover()
    assert done.returncode != 0
    assert "Docker Engine does not answer" in done.stderr
    assert "start Docker" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_that_dies_while_the_emulator_starts_is_waited_for(
    engine: OwnEngine, tmp_path: Path
) -> None:
    relay = Relay(tmp_path, engine.host)

    def kill() -> None:
        eventually(lambda: relay.asked, "the emulator asks the engine")
        engine.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        env = {"DOCKER_HOST": relay.host}
        emulator = engine.emulator(tmp_path / "emulator", *IMPATIENT, pools=POOLS, env=env)
    except AssertionError as error:  # it asked no more than once before the kill
        assert "start Docker" in str(error)
        emulator = None
    finally:
        killer.join()
    engine.start()
    if emulator is not None:
        until_ready(emulator)
        assert eventually(lambda: count(emulator, "alice"), "a session can be had") == 1
        assert emulator.stop() == 0
        assert engine.left() == []
    relay.close()


@pytest.mark.parametrize(("trouble", "remedy"), [(away, "down"), (frozen, "up")])
def test_stopping_without_an_engine_says_what_is_left_and_the_next_one_removes_it(
    engine: OwnEngine, tmp_path: Path, trouble: Callable[[OwnEngine], Callable[[], None]], remedy: str
) -> None:
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=POOLS)
    assert count(emulator, "alice") == 1
    until_ready(emulator)
    guid = sessions(emulator)["alice"]
    left = engine.left()
    assert len(left) == 4  # alice's and the warm instance: a container and a network each
    recover = trouble(engine)
    try:
        assert emulator.stop(signal.SIGTERM, at_most=15) == 0
    finally:
        recover()
    assert "could not" in emulator.text()
    assert "dynamic-sessions down" in emulator.text()
    assert set(engine.left()) <= set(left)
    if remedy == "down":
        done = command(engine, tmp_path, "down")
        assert done.returncode == 0, done.stderr
        assert engine.left() == []
        return
    following = engine.emulator(tmp_path, *IMPATIENT, pools=POOLS)
    assert sessions(following) == {}
    assert count(following, "alice") == 1
    eventually(lambda: not any(guid in name for name in engine.left()), "the old one is removed")
    assert following.stop() == 0
    assert engine.left() == []
