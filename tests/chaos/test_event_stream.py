"""The engine's event stream breaks or falls silent: what happened meanwhile is found out all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.asking import causes, count, sessions, until_ready
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.relay import Relay
from tests.chaos.tiny_image import TINY, import_tiny, tiny_pool
from tests.harness import Emulator

pytestmark = pytest.mark.engine
EXITED = "container exited with code 143"
GONE = "container was removed"
RESTARTED = "container was restarted"
NO_NETWORK = "container has no network any more"


@pytest.fixture
def relay(engine: OwnEngine, tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path, engine.host)
    yield made
    made.close()


@pytest.fixture
def emulator(engine: OwnEngine, relay: Relay, tmp_path: Path) -> Emulator:
    pools = [tiny_pool(ready=0, max_sessions=10)]
    env = {"DOCKER_HOST": relay.host}
    flags = ("--engine-interval", "1", "--no-pull")
    return engine.emulator(tmp_path / "emulator", *flags, pools=pools, env=env)


@pytest.mark.parametrize("broken", ["cut", "stalled"])
def test_what_happens_while_nobody_tells_is_noticed(
    engine: OwnEngine, relay: Relay, emulator: Emulator, broken: str
) -> None:
    # What one finds who looks: a restarted container may just have ended.
    victims = {
        "stopped": [EXITED],
        "removed": [GONE],
        "restarted": [RESTARTED, EXITED],
        "unplugged": [NO_NETWORK],
    }
    for identifier in (*victims, "untouched"):
        assert count(emulator, identifier) == 1
    before = sessions(emulator)
    streams = relay.count("GET /events")
    # A stream that is cut is opened again at once, so let the news of all that follows be lost first.
    relay.stall_events()
    engine.container(before["stopped"]).stop(timeout=1)
    engine.container(before["removed"]).remove(force=True)
    engine.container(before["restarted"]).restart(timeout=1)
    unplugged = engine.container(before["unplugged"])
    (network,) = unplugged.attrs["NetworkSettings"]["Networks"]
    engine.client.networks.get(network).disconnect(unplugged, force=True)
    if broken == "cut":
        relay.cut_events()
    eventually(lambda: set(sessions(emulator)) == {"untouched"}, "those that cannot serve are over")
    crashes = [one for one in emulator.ask("GET", "/events")["events"] if one["kind"] == "session.crashed"]
    assert len(crashes) == len(victims), crashes
    for crash in crashes:
        assert any(words in crash["cause"] for words in victims[crash["identifier"]]), crash
    assert count(emulator, "untouched") == 2
    for identifier in victims:
        assert count(emulator, identifier) == 1
    eventually(lambda: relay.count("GET /events") > streams, "the stream is opened again")
    eventually(lambda: len(engine.networks()) == len(engine.containers()) == 5, "nothing of theirs is left")
    # The new stream tells again, at once.
    engine.container(sessions(emulator)["untouched"]).kill()
    eventually(lambda: "untouched" not in sessions(emulator), "an exit is heard of")
    assert emulator.stop() == 0
    assert engine.left() == []


def test_strays_are_removed_and_strangers_are_not(engine: OwnEngine, emulator: Emulator) -> None:
    """A start that was given up may leave a container behind: it is found by its labels."""
    assert count(emulator, "alice") == 1
    mine = engine.container(sessions(emulator)["alice"])
    labels = {**mine.labels, "dynamic-sessions-emulator.session": "stray"}
    engine.client.networks.create("stray", labels=labels)
    engine.client.containers.run(TINY, name="stray", labels=labels, network="stray", detach=True)
    engine.client.containers.run(TINY, name="stranger", detach=True, labels={"somebody": "else"})
    eventually(lambda: "stray" not in engine.left(), "the stray container is removed, and its network")
    assert engine.client.containers.get("stranger").status == "running"
    assert count(emulator, "alice") == 2


def test_an_image_that_is_deleted_under_a_pool(engine: OwnEngine, relay: Relay, emulator: Emulator) -> None:
    assert count(emulator, "alice") == 1
    tiny = engine.client.images.get(TINY)
    tiny.tag("kept:1")
    engine.client.api.remove_image(TINY)

    def state() -> str:
        return str(emulator.ask("GET", "/status")["pools"][0]["provisioningState"])

    eventually(lambda: state() == "Failed", "the pool says that it cannot start a session")
    failure = emulator.ask("GET", "/status")["pools"][0]["failure"]
    assert TINY in failure
    assert "not on this engine" in failure
    answer = emulator.send("GET", "tiny", "/cgi-bin/count?identifier=robert")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "SessionAllocationFailed"
    assert TINY in answer.json()["error"]["message"]
    assert "build, load or pull it" in answer.headers["x-emulator-reason"]
    assert count(emulator, "alice") == 2

    looks = relay.count(r"GET /images/.*/json")
    emulator.advance(600)
    assert relay.count(r"GET /images/.*/json") - looks < 10, "it does not spin"
    assert relay.count("POST /containers/create") == 1

    tiny.tag(TINY)
    eventually(lambda: state() == "Succeeded", "the pool recovers by itself")
    assert count(emulator, "robert") == 1


def test_ready_instances_of_an_image_that_was_rebuilt_are_replaced(engine: OwnEngine, tmp_path: Path) -> None:
    pools = [tiny_pool(ready=2, max_sessions=10)]
    emulator = engine.emulator(tmp_path, pools=pools)
    assert emulator.send("GET", "tiny", "/cgi-bin/version?identifier=alice").text == "1"
    until_ready(emulator)
    import_tiny(engine.client, version="2")
    eventually(lambda: len(causes(emulator, "instance.replaced")) == 2, "what was ready is replaced")

    def full() -> bool:
        return bool(emulator.ask("GET", "/status")["pools"][0]["readyInstances"] == 2)

    eventually(full, "instances of the new image are ready")
    assert emulator.send("GET", "tiny", "/cgi-bin/version?identifier=robert").text == "2"
    assert emulator.send("GET", "tiny", "/cgi-bin/version?identifier=alice").text == "1"
    assert emulator.stop() == 0
    assert engine.left() == []
