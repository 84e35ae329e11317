"""The engine stops, is killed or freezes: sessions that live go on, everybody else is told why not, soon."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.chaos.asking import ask, causes, count, readiness, refusal, sessions, until_not_ready, until_ready
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.tiny_image import tiny_pool
from tests.harness import Emulator

pytestmark = pytest.mark.engine
IMPATIENT = ("--engine-timeout", "1", "--engine-interval", "2")
POOLS = [tiny_pool(ready=1, max_sessions=5)]


def assert_unavailable(answer: requests.Response, word: str) -> None:
    """A new identifier's answer while there is no engine."""
    status, code, message = refusal(answer)
    assert (status, code) == (503, "SessionPoolUnavailable"), answer.text
    assert word in message
    assert word in answer.headers["x-emulator-reason"]


def use_up_warm(emulator: Emulator) -> None:
    """Take what was ready, so that the next new identifier needs the engine."""
    for number in range(3):
        if ask(emulator, f"filler-{number}", "/cgi-bin/count").status_code == 503:
            return


def leftover(engine: OwnEngine, emulator: Emulator, *, warm: int) -> list[str]:
    """Names of all there is, unless that is a container and a network for each session and warm instance."""
    expected = len(sessions(emulator)) + warm
    even = (len(engine.containers()), len(engine.networks())) == (expected, expected)
    return [] if even else engine.left()


def leaks_nothing(engine: OwnEngine, emulator: Emulator) -> None:
    eventually(
        lambda: leftover(engine, emulator, warm=1) == [],
        f"only sessions and a warm instance are left; there are {engine.left()}",
    )
    assert emulator.stop() == 0
    assert engine.left() == []


def test_an_engine_that_stops_takes_its_sessions_along(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=POOLS)
    assert [count(emulator, "alice"), count(emulator, "alice")] == [1, 2]
    engine.stop()
    reason = until_not_ready(emulator)
    assert "Docker Engine does not answer" in reason
    status = requests.get(f"{emulator.admin}/status", timeout=30)
    assert status.status_code == 503
    assert any("Docker Engine does not answer" in one for one in status.json()["problems"])
    eventually(lambda: "alice" not in sessions(emulator), "the session that died is over")
    assert_unavailable(ask(emulator, "robert", "/cgi-bin/count"), "Docker Engine does not answer")

    engine.start()
    until_ready(emulator)
    assert any("exited with code" in cause for cause in causes(emulator, "session.crashed"))
    assert causes(emulator, "runtime.unavailable")
    eventually(lambda: causes(emulator, "runtime.available"), "its return is told")
    assert count(emulator, "alice") == 1
    leaks_nothing(engine, emulator)


def test_an_engine_that_is_killed_leaves_sessions_alive_until_it_is_back(
    engine: OwnEngine, tmp_path: Path
) -> None:
    """Containers live on without their engine; an engine that comes back ends them, unless told otherwise."""
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=POOLS)
    assert count(emulator, "alice") == 1
    before = sessions(emulator)
    use_up_warm(emulator)
    engine.kill()
    until_not_ready(emulator)
    assert count(emulator, "alice") == 2
    assert_unavailable(ask(emulator, "another", "/cgi-bin/count"), "Docker Engine does not answer")

    engine.start()
    eventually(lambda: "alice" not in sessions(emulator), "the session is over, since its container is")
    until_ready(emulator)
    assert "exited with code" in causes(emulator, "session.crashed")[0]
    assert count(emulator, "alice") == 1
    assert sessions(emulator)["alice"] != before["alice"]
    leaks_nothing(engine, emulator)


@pytest.mark.parametrize("engine", [["--live-restore"]], indirect=True)
def test_sessions_survive_an_engine_that_restarts_with_live_restore(
    engine: OwnEngine, tmp_path: Path
) -> None:
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=POOLS)
    assert count(emulator, "alice") == 1
    until_ready(emulator)
    before = sessions(emulator)
    for end in (engine.kill, engine.stop):
        end()
        until_not_ready(emulator)
        engine.start()
        until_ready(emulator)
    time.sleep(3)  # a comparison with the engine's list or two
    assert sessions(emulator) == before
    assert count(emulator, "alice") == 2
    assert causes(emulator, "session.crashed") == []
    leaks_nothing(engine, emulator)


def test_an_engine_that_restarts_at_any_moment_leaves_nothing(engine: OwnEngine, tmp_path: Path) -> None:
    """Also in the middle of starts: DYNAMIC_SESSIONS_TEST_KILLS says how often (default 3)."""
    seed = int(os.environ.get("DYNAMIC_SESSIONS_TEST_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}")
    dice = random.Random(seed)
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=[tiny_pool(ready=2, max_sessions=8)])
    for turn in range(int(os.environ.get("DYNAMIC_SESSIONS_TEST_KILLS", "3"))):
        for number in range(3):
            ask(emulator, f"user-{turn}-{number}", "/cgi-bin/count")
        time.sleep(dice.uniform(0, 0.4))
        dice.choice([engine.stop, engine.kill])()
        engine.start()
        until_ready(emulator)
        eventually(lambda: leftover(engine, emulator, warm=2) == [], "sessions and ready instances are all")
        emulator.reset()
    assert emulator.stop() == 0
    assert engine.left() == []


def test_a_frozen_engine_makes_nobody_wait_long(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, *IMPATIENT, pools=[tiny_pool(ready=1, max_sessions=100)])
    assert count(emulator, "alice") == 1
    until_ready(emulator)
    engine.freeze()
    try:
        # More of them than there are threads for the engine: none may be stuck, and alice notices nothing.
        with ThreadPoolExecutor(40) as crowd:
            new = [crowd.submit(ask, emulator, f"new-{n}", "/cgi-bin/count", at_most=30) for n in range(39)]
            assert [count(emulator, "alice") for _ in range(20)] == list(range(2, 22))
            answers = [one.result() for one in new]
        told = [one for one in answers if one.status_code == 503]
        assert len(told) >= 38  # the instance that was ready is lent as ever
        for answer in told:
            assert_unavailable(answer, "has not answered for 1 s")
        status, body = readiness(emulator, at_most=10)
        assert status == 503
        assert "has not answered for 1 s" in body["waitingFor"][0]
        threads = len(list(Path(f"/proc/{emulator.process.pid}/task").iterdir()))
        for number in range(50):
            ask(emulator, f"more-{number}", "/cgi-bin/count", at_most=5)
        assert len(list(Path(f"/proc/{emulator.process.pid}/task").iterdir())) <= threads + 5
    finally:
        engine.thaw()
    until_ready(emulator)
    assert count(emulator, "alice") == 22
    emulator.reset()
    assert count(emulator, "robert") == 1
    leaks_nothing(engine, emulator)
