"""A session's container ends in every way a container can: its caller, the events and the next one know."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.asking import ask, causes, count, refusal, sessions
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.tiny_image import tiny_pool
from tests.harness import Emulator

pytestmark = pytest.mark.engine


def unplug(engine: OwnEngine, container: Any) -> None:
    (network,) = container.attrs["NetworkSettings"]["Networks"]
    engine.client.networks.get(network).disconnect(container, force=True)


def remove_network(engine: OwnEngine, container: Any) -> None:
    unplug(engine, container)
    (network,) = [one for one in engine.networks() if one.name == container.name]
    network.remove()


def replug(engine: OwnEngine, container: Any) -> None:
    (network,) = [one for one in engine.networks() if one.name == container.name]
    network.disconnect(container, force=True)
    network.connect(container)


def until_over(emulator: Emulator, identifier: str) -> None:
    eventually(lambda: identifier not in sessions(emulator), f"the session of {identifier} is over")


WAYS: dict[str, tuple[Callable[[OwnEngine, Any], object], str]] = {
    "killed": (lambda _, one: one.kill(), "exited with code 137"),
    "stopped": (lambda _, one: one.stop(timeout=1), "exited with code 143"),
    "removed": (lambda _, one: one.remove(force=True), "exited with code 137"),
    "restarted": (lambda _, one: one.restart(timeout=1), "exited with code 143"),
    "unplugged": (unplug, "has no network any more"),
    "network removed": (remove_network, "has no network any more"),
    "unplugged and plugged in": (replug, "network"),
}


def test_however_a_container_ends_its_session_ends_with_the_cause(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, pools=[tiny_pool()])
    for number, (way, (end, cause)) in enumerate(WAYS.items(), 1):
        identifier = f"victim-{number}"
        assert count(emulator, identifier) == 1
        guid = sessions(emulator)[identifier]
        container = engine.container(guid)
        with ThreadPoolExecutor(1) as waiting:
            slow = waiting.submit(ask, emulator, identifier, "/cgi-bin/hang") if number < 5 else None
            if slow is not None:
                eventually(
                    lambda: emulator.ask("GET", "/sessions")["sessions"][-1]["inFlight"] == 1, "it waits"
                )
            end(engine, container)
            if slow is not None:
                status, code, message = refusal(slow.result())
                assert (status, code) == (502, "SessionContainerExited"), way
                assert cause in message, way
        until_over(emulator, identifier)
        told = causes(emulator, "session.crashed")
        assert len(told) == number, told
        assert cause in told[-1], way
        assert count(emulator, identifier) == 1
        assert sessions(emulator)[identifier] != guid
    eventually(lambda: len(engine.left()) == 2 * len(WAYS), "nothing is left of those that ended")
    assert emulator.stop() == 0
    assert engine.left() == []


def test_a_container_out_of_memory_is_reported_as_that(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, pools=[tiny_pool()])
    answer = ask(emulator, "alice", "/cgi-bin/eat")
    assert refusal(answer)[:2] == (502, "SessionContainerExited")
    assert "out of memory" in refusal(answer)[2]
    (crash,) = [one for one in emulator.ask("GET", "/events")["events"] if one["kind"] == "session.crashed"]
    assert "out of memory" in crash["cause"]
    assert crash["detail"]["oom"] is True
    assert count(emulator, "alice") == 1


def test_a_paused_container_is_no_end(engine: OwnEngine, tmp_path: Path) -> None:
    flags = ("--engine-interval", "0.5", "--read-timeout", "2")
    emulator = engine.emulator(tmp_path, *flags, pools=[tiny_pool()])
    assert count(emulator, "alice") == 1
    container = engine.container(sessions(emulator)["alice"])
    container.pause()
    assert refusal(ask(emulator, "alice", "/cgi-bin/count"))[:2] == (504, "SessionUpstreamTimeout")
    container.unpause()
    assert count(emulator, "alice") >= 2  # what was asked meanwhile may have been served by now
    assert causes(emulator, "session.crashed") == []
