"""What a custom pool's document says about its container, and whether the container gets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.engine import Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine


def configured(image: str) -> dict[str, Any]:
    """A pool that uses every member of a container's template."""
    document = pool(
        "configured",
        "CustomContainer",
        template=container(
            image,
            command=["python3", "-u", "/srv/server.py"],
            args=["--first", "second word", "$HOME"],
            env=[
                {"name": "PLAIN", "value": "a b=c"},
                {"name": "HIDDEN", "secretRef": "api-key"},
                {"name": "PORT", "value": "8080"},
            ],
            resources={"cpu": 0.25, "memory": "256Mi"},
        ),
    )
    document["properties"]["secrets"] = [{"name": "api-key", "value": "s3cret-f0r-tests"}]
    return document


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    probe = {
        "type": "Startup",
        "httpGet": {
            "path": "/health",
            "port": 8080,
            "httpHeaders": [{"name": "X-Probe", "value": "from the document"}],
        },
        "periodSeconds": 1,
    }
    leaving = {"lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 1000}
    pools = [
        configured(echo_image),
        pool("warm", "CustomContainer", template=container(echo_image), ready=2, max_sessions=3),
        pool(
            "late",
            "CustomContainer",
            template=container(echo_image, env=[{"name": "LISTEN_AFTER", "value": "2"}]),
        ),
        pool(
            "probed",
            "CustomContainer",
            template=container(echo_image, probes=[probe], env=[{"name": "PROBES_TO_FAIL", "value": "4"}]),
        ),
        pool("leaving", "CustomContainer", template=container(echo_image), lifecycle=leaving),
    ]
    with lab.emulator(tmp_path_factory.mktemp("settings"), pools=pools) as started:
        yield started


def about(emulator: Emulator, name: str, identifier: str) -> dict[str, Any]:
    answer = emulator.send("GET", name, f"/about?identifier={identifier}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def session(emulator: Emulator, name: str, identifier: str) -> dict[str, Any] | None:
    sessions = emulator.ask("GET", "/sessions")["sessions"]
    return next((one for one in sessions if (one["pool"], one["identifier"]) == (name, identifier)), None)


def test_command_arguments_environment_and_secrets(emulator: Emulator) -> None:
    found = about(emulator, "configured", "test")
    assert found["argv"] == ["--first", "second word", "$HOME"]
    assert {name: found["env"][name] for name in ("PLAIN", "HIDDEN")} == {
        "PLAIN": "a b=c",
        "HIDDEN": "s3cret-f0r-tests",
    }
    for name in found["env"]:  # nothing of the emulator's own, which may hold the user's credentials
        assert not name.startswith(("DYNAMIC_SESSIONS", "AZURE", "AWS")), name


def test_secrets_are_in_no_log_and_no_answer(emulator: Emulator) -> None:
    about(emulator, "configured", "test")
    everything = emulator.text()
    for path in ("/status", "/sessions", "/events"):
        everything += str(emulator.ask("GET", path))
    assert "s3cret-f0r-tests" not in everything


def test_resources(emulator: Emulator, lab: Lab) -> None:
    about(emulator, "configured", "test")
    found = session(emulator, "configured", "test")
    assert found is not None
    host = lab.container(emulator.ask("GET", "/status")["instance"], found["guid"]).attrs["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (250_000_000, 256 << 20, 256 << 20)


def test_a_container_that_listens_late_is_waited_for(emulator: Emulator) -> None:
    answer = emulator.send("GET", "late", "/anything?identifier=patient")
    assert answer.status_code == 200, answer.text


def test_a_startup_probe_is_asked_until_it_succeeds(emulator: Emulator) -> None:
    answer = emulator.send("GET", "probed", "/health?identifier=probing")
    assert answer.json() == {"failed": 4}, answer.text


def test_ready_instances_are_there_and_refilled(emulator: Emulator) -> None:
    def counts() -> tuple[int, int]:
        (found,) = [one for one in emulator.ask("GET", "/status")["pools"] if one["name"] == "warm"]
        return found["sessions"], found["readyInstances"]

    eventually(lambda: counts() == (0, 2), "two instances are ready")
    pids = {about(emulator, "warm", "first")["pid"], about(emulator, "warm", "first")["pid"]}
    assert len(pids) == 1
    eventually(lambda: counts() == (1, 2), "the claimed instance is replaced")
    about(emulator, "warm", "second")
    eventually(lambda: counts() == (2, 1), "no more instances than the pool may have")
    causes = [
        one["cause"]
        for one in emulator.ask("GET", "/events")["events"]
        if one["kind"] == "session.allocated" and one["pool"] == "warm"
    ]
    assert causes == ["claimed a warm instance", "claimed a warm instance"]


def test_a_session_that_ends_when_its_container_exits(emulator: Emulator) -> None:
    about(emulator, "leaving", "a-job")
    first = session(emulator, "leaving", "a-job")
    emulator.send("POST", "leaving", "/exit?identifier=a-job&code=0")
    eventually(
        lambda: session(emulator, "leaving", "a-job") is None, "the session has ended with its container"
    )
    about(emulator, "leaving", "a-job")
    second = session(emulator, "leaving", "a-job")
    assert first is not None and second is not None and first["guid"] != second["guid"]


def test_the_maximum_alive_period_is_not_prolonged_by_use(emulator: Emulator) -> None:
    about(emulator, "leaving", "an-old-one")
    first = session(emulator, "leaving", "an-old-one")
    for _ in range(3):
        emulator.advance(300)
        about(emulator, "leaving", "an-old-one")
        assert session(emulator, "leaving", "an-old-one") is not None
    emulator.advance(101)
    assert session(emulator, "leaving", "an-old-one") is None
    about(emulator, "leaving", "an-old-one")
    second = session(emulator, "leaving", "an-old-one")
    assert first is not None and second is not None and first["guid"] != second["guid"]
