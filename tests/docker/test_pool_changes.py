"""Pools that are updated and deleted while sessions run in them, over the control plane, on the engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine


def pool_verb(running: Emulator, *arguments: str) -> None:
    line = [sys.executable, "-m", "emulator", "pool", *arguments, "--resource-group", "local"]
    done = subprocess.run(
        [*line, "--endpoint", running.http], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def version(running: Emulator, identifier: str) -> str:
    answer = running.send("GET", "echo", f"/about?identifier={identifier}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["env"]["VERSION"])


def described(running: Emulator) -> dict[str, Any]:
    (found,) = running.ask("GET", "/status")["pools"]
    return dict(found)


def echo(image: str) -> dict[str, Any]:
    template = container(image, env=[{"name": "VERSION", "value": "one"}])
    return pool("echo", "CustomContainer", template=template, ready=1, max_sessions=4)


def test_running_sessions_keep_what_they_run_and_new_ones_get_the_new(
    lab: Lab, echo_image: str, tmp_path: Path
) -> None:
    instance = lab.new_instance()
    with lab.emulator(tmp_path, instance=instance, pools=[echo(echo_image)]) as running:
        assert version(running, "alice") == "one"
        eventually(lambda: described(running)["readyInstances"] == 1, "a warm instance of the old kind")
        old = {one.id for one in lab.containers(instance)}
        pool_verb(running, "update", "--name", "echo", "--env-vars", "VERSION=two")
        assert version(running, "alice") == "one"
        assert version(running, "bobby") == "two"
        eventually(lambda: described(running)["readyInstances"] == 1, "a warm instance of the new kind")
        # Of the old containers only the one that holds a session is still there.
        eventually(
            lambda: len(old & {one.id for one in lab.containers(instance)}) == 1, "the old one is gone"
        )
        assert len(lab.containers(instance)) <= 4
        causes = [one["kind"] for one in running.ask("GET", "/events")["events"]]
        assert "pool.updated" in causes


def test_an_instance_that_was_starting_is_not_lent_after_an_update(
    lab: Lab, echo_image: str, tmp_path: Path
) -> None:
    """The update comes while warm instances of the old document are on their way."""
    instance = lab.new_instance()
    with lab.emulator(tmp_path, instance=instance, pools=[echo(echo_image)]) as running:
        for number in range(3):
            version(running, f"user-{number}")  # each claim starts another warm instance
            pool_verb(running, "update", "--name", "echo", "--env-vars", f"VERSION=now-{number}")
            assert version(running, f"after-{number}") == f"now-{number}"
            running.advance(301)


def test_deleting_a_pool_ends_what_runs_in_it(lab: Lab, echo_image: str, tmp_path: Path) -> None:
    instance = lab.new_instance()
    with lab.emulator(tmp_path, instance=instance, pools=[echo(echo_image)]) as running:
        version(running, "alice")
        answers: list[requests.Response] = []
        waiting = threading.Thread(
            target=lambda: answers.append(running.send("POST", "echo", "/silent?identifier=alice"))
        )
        waiting.start()

        def in_flight() -> bool:
            return any(one["inFlight"] for one in running.ask("GET", "/sessions")["sessions"])

        eventually(in_flight, "the request is in flight")
        pool_verb(running, "delete", "--name", "echo", "--yes")
        waiting.join()
        assert answers[0].status_code == 502
        assert answers[0].json()["error"]["code"] == "SessionContainerExited"
        eventually(lambda: lab.all_of(instance) == [], "containers and networks are removed")
        gone = running.send("GET", "echo", "/about?identifier=alice")
        assert gone.status_code == 404
        ended = [one for one in running.ask("GET", "/events")["events"] if one["kind"] == "session.stopped"]
        assert ended[-1]["cause"] == "the pool was deleted"
