"""Stopping leaves nothing; being killed loses nothing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import LABEL, Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
KILLS = int(os.environ.get("DYNAMIC_SESSIONS_TEST_KILLS", "10"))


POOLS = [
    pool("python", "PythonLTS", max_sessions=8, ready=1),
    pool("closed", "PythonLTS", max_sessions=4, ready=0),
]


def guids(emulator: Emulator) -> dict[str, str]:
    return {one["identifier"]: one["guid"] for one in emulator.ask("GET", "/sessions")["sessions"]}


def ours(lab: Lab, instance: str) -> tuple[int, int]:
    return len(lab.containers(instance)), len(lab.networks(instance))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_removes_everything_within_ten_seconds(
    lab: Lab, instance: str, tmp_path: Path, number: signal.Signals
) -> None:
    emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
    for count in range(4):
        emulator.value("python", f"user-{count}", "1")
    # One runs code that nobody will wait for, and one sleeps in a way that ignores interrupts.
    busy = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(100)"

    def run() -> None:
        with contextlib.suppress(requests.RequestException, AssertionError):  # cut off, or told so
            emulator.run("closed", "busy-one", busy, timeoutInSeconds=100)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: "busy-one" in guids(emulator), "the busy session is allocated")
    began = time.monotonic()
    assert emulator.stop(number) == 0
    assert time.monotonic() - began < 10
    assert lab.all_of(instance) == []
    thread.join()


def test_kept_sessions_go_on_and_down_removes_them(lab: Lab, instance: str, tmp_path: Path) -> None:
    first = lab.start(tmp_path, "--keep", instance=instance, pools=POOLS)
    first.value("python", "keeper", "kept = 41")
    first.value("closed", "keeper-2", "kept = 42")
    before = guids(first)
    assert first.stop() == 0
    assert ours(lab, instance) == (2, 2)  # the two sessions; the warm instance is nobody's

    second = lab.start(tmp_path, "--keep", instance=instance, pools=POOLS)
    assert guids(second) == before
    assert second.value("python", "keeper", "kept") == 41
    assert second.value("closed", "keeper-2", "kept") == 42
    assert second.stop() == 0

    command = [sys.executable, "-m", "emulator", "down", "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(
        [*command, *lab.flags(instance)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert lab.all_of(instance) == []
    for guid in before.values():
        assert guid in done.stdout
    again = subprocess.run(
        [*command, *lab.flags(instance)], capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 0
    assert "nothing" in again.stdout


def test_after_a_kill_sessions_are_adopted(lab: Lab, instance: str, tmp_path: Path) -> None:
    first = lab.start(tmp_path, instance=instance, pools=POOLS)
    first.value("python", "alice", "kept = 'a'; open('/mnt/data/kept', 'w').write('file')")
    first.value("closed", "robert", "kept = 'b'")
    first.advance(100)
    before = guids(first)
    lab.kill_emulator(first)

    second = lab.start(tmp_path, instance=instance, pools=POOLS)
    assert guids(second) == before
    assert second.value("python", "alice", "[kept, open('/mnt/data/kept').read()]") == ["a", "file"]
    assert second.value("closed", "robert", "kept") == "b"
    # Two sessions and a new warm instance: the old one may have served somebody, and is gone.
    eventually(lambda: ours(lab, instance) == (3, 3), "no orphan is left")
    second.advance(301)
    eventually(lambda: ours(lab, instance) == (1, 1), "adopted sessions expire like any other")
    assert second.stop() == 0
    assert lab.all_of(instance) == []


def test_a_container_that_died_meanwhile_is_not_adopted(lab: Lab, instance: str, tmp_path: Path) -> None:
    first = lab.start(tmp_path, instance=instance, pools=POOLS)
    first.value("closed", "alice", "kept = 1")
    before = guids(first)["alice"]
    lab.kill_emulator(first)
    lab.container(instance, before).kill()

    second = lab.start(tmp_path, instance=instance, pools=POOLS)
    assert guids(second) == {}
    assert second.value("closed", "alice", "'kept' in globals()") is False
    assert guids(second)["alice"] != before
    assert second.stop() == 0
    assert lab.all_of(instance) == []


def test_without_its_state_nothing_is_adopted_and_nothing_left(
    lab: Lab, instance: str, tmp_path: Path
) -> None:
    """Who a container belonged to is not known, so nobody may have it."""
    first = lab.start(tmp_path / "one", instance=instance, pools=POOLS)
    first.value("python", "alice", "kept = 1")
    lab.kill_emulator(first)
    old = {one.id for one in lab.containers(instance)}
    second = lab.start(tmp_path / "two", instance=instance, pools=POOLS)
    assert guids(second) == {}
    assert old & {one.id for one in lab.containers(instance)} == set()
    assert second.value("python", "alice", "'kept' in globals()") is False
    assert second.stop() == 0
    assert lab.all_of(instance) == []


def test_two_emulators_on_one_engine(lab: Lab, instance: str, tmp_path: Path) -> None:
    other = lab.new_instance()
    with lab.emulator(tmp_path / "other", instance=other, pools=POOLS) as neighbour:
        neighbour.value("python", "alice", "kept = 'neighbour'")
        theirs = {one.id for one in lab.containers(other)}
        mine = lab.start(tmp_path / "mine", instance=instance, pools=POOLS)
        mine.value("python", "alice", "kept = 'mine'")
        mine.reset()
        lab.kill_emulator(mine)
        mine = lab.start(tmp_path / "mine", instance=instance, pools=POOLS)
        assert mine.value("python", "alice", "'kept' in globals()") is False
        assert mine.stop() == 0
        assert lab.all_of(instance) == []
        assert {one.id for one in lab.containers(other)} >= theirs
        assert neighbour.value("python", "alice", "kept") == "neighbour"


def test_one_range_of_addresses_for_two_emulators(
    lab: Lab, instance: str, echo_image: str, tmp_path: Path
) -> None:
    """Both begin at the same subnet; the engine refuses the second, and the next one is taken."""
    pools = [pool("echo", "CustomContainer", template=container(echo_image))]
    other = lab.new_instance()
    subnet = lab.flags(other)[-1]
    with lab.emulator(tmp_path / "one", instance=other, pools=pools) as one:
        two = lab.start(tmp_path / "two", "--session-subnet", subnet, instance=instance, pools=pools)
        for emulator in (one, two):
            for identifier in ("first", "second"):
                answer = emulator.send("GET", "echo", f"/?identifier={identifier}")
                assert answer.status_code == 200, answer.text
        assert two.stop() == 0


def test_many_kills_lose_nothing_that_was_answered(lab: Lab, instance: str, tmp_path: Path) -> None:
    """Sessions count up; the emulator is killed at random moments; no count that was answered is lost.

    DYNAMIC_SESSIONS_TEST_KILLS says how often (50 for a long look).
    """
    seed = int(os.environ.get("DYNAMIC_SESSIONS_TEST_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}, {KILLS} kills")
    dice = random.Random(seed)
    answered: dict[str, int] = {}
    emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
    for kill in range(KILLS):
        deadly = threading.Timer(dice.uniform(0.0, 1.5), emulator.process.kill)
        deadly.start()
        while emulator.process.poll() is None:
            count_up(emulator, f"user-{dice.randrange(8)}", answered)
        deadly.join()
        emulator.process.wait()
        lab.emulators.remove(emulator)
        emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
        for identifier, number in answered.items():
            seen = emulator.value("python", identifier, "globals().get('count', 0)")
            assert seen >= number, f"kill {kill}, {identifier}: {seen} instead of {number} (seed {seed})"
            answered[identifier] = seen
    assert answered
    sessions = len(guids(emulator))
    warm = min(1, 8 - sessions)
    eventually(
        lambda: ours(lab, instance) == (sessions + warm,) * 2, "nothing but sessions and warm instances"
    )
    assert emulator.stop() == 0
    assert lab.all_of(instance) == []


def count_up(emulator: Emulator, identifier: str, answered: dict[str, int]) -> None:
    """One more in a session; noted only if the answer came."""
    body: dict[str, Any] = {
        "code": "count = globals().get('count', 0) + 1; count",
        "codeInputType": "Inline",
        "executionType": "Synchronous",
    }
    query = f"/executions?api-version=2025-10-02-preview&identifier={identifier}"
    try:
        answer = emulator.send("POST", "python", query, json=body, timeout=30)
        found = answer.json()
    except requests.RequestException:
        return  # the emulator died on the way
    assert answer.status_code == 200, answer.text
    answered[identifier] = found["result"]["executionResult"]


def test_what_is_on_the_engine_besides_is_left_alone(lab: Lab, instance: str, tmp_path: Path) -> None:
    stranger = lab.new_instance()
    network = lab.engine.networks.create(f"{stranger}-network", labels={LABEL: stranger})
    try:
        emulator = lab.start(tmp_path, instance=instance, pools=POOLS)
        emulator.value("python", "alice", "1")
        emulator.reset()
        assert emulator.stop() == 0
        assert lab.networks(stranger) == [network]
    finally:
        network.remove()
