"""What a container printed is there after the container is gone, however it went."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import Lab, eventually
from tests.harness import Emulator, pool

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SAYS = "import sys; print('begun', flush=True); "
LISTENS = (
    "import http.server; "
    "http.server.HTTPServer(('', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()"
)
EATS = (
    "import threading, time\n"
    "def eat():\n"
    "    time.sleep(2); print('hungry', flush=True); x = [bytearray(1 << 20) for _ in range(4096)]\n"
    "threading.Thread(target=eat).start()\n"
)


def python(name: str, code: str, *, ready: int = 0, memory: str = "0.5Gi") -> dict[str, Any]:
    """A custom pool whose container runs `code` in our base image's Python."""
    container = {
        "name": "main",
        "image": "dynamic-sessions/base:latest",
        "command": ["python3", "-c", code],
        "resources": {"cpu": 0.25, "memory": memory},
    }
    template = {"containers": [container], "ingress": {"targetPort": 8000}}
    return pool(name, "CustomContainer", template=template, ready=ready, max_sessions=5)


@pytest.fixture(scope="module")
def started(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, str, Emulator]]:
    pools = [
        python("listens", SAYS + LISTENS),
        python("long", "print('x' * 5_000_000); print('the end', flush=True); " + LISTENS),
        python("eats", f"{SAYS}\n{EATS}{LISTENS}", memory="64Mi"),
        python("fails", SAYS + "sys.exit('no module named flask')"),
        python("dies", SAYS + "import threading, os; threading.Timer(3, os._exit, [7]).start(); " + LISTENS),
    ]
    instance = lab.new_instance()
    flags = ["--start-timeout", "20", "--log-tail", "64Ki"]
    with lab.emulator(tmp_path_factory.mktemp("consoles"), *flags, instance=instance, pools=pools) as running:
        yield lab, instance, running


def begin(running: Emulator, name: str, identifier: str) -> str:
    """Start a session and return its guid."""
    running.send("GET", name, f"/?identifier={identifier}")
    found = running.ask("GET", "/sessions")["sessions"]
    return next(str(one["guid"]) for one in found if one["identifier"] == identifier)


def over(running: Emulator, **wanted: str) -> dict[str, Any]:
    """The record of an ended session once its console has been read."""

    def look() -> dict[str, Any] | None:
        for one in running.ask("GET", "/sessions", params={"ended": "true"})["sessions"]:
            if wanted.items() <= one.items() and "being read" not in str(one["note"]):
                return dict(one)
        return None

    return dict(eventually(look, f"{wanted} is among the ended"))


def console(running: Emulator, guid: str) -> requests.Response:
    return requests.get(f"{running.admin}/sessions/{guid}/logs", timeout=30)


def test_of_one_that_was_killed(started: tuple[Lab, str, Emulator]) -> None:
    lab, instance, running = started
    guid = begin(running, "listens", "killed")
    assert console(running, guid).text.startswith("begun\n")
    lab.container(instance, guid).kill(signal.SIGKILL)
    one = over(running, guid=guid)
    assert (one["kind"], "137" in one["cause"]) == ("session.crashed", True)
    answer = console(running, guid)
    assert answer.text.startswith("begun\n")
    assert answer.headers["x-emulator-ended-kind"] == "session.crashed"
    eventually(lambda: guid not in str(lab.all_of(instance)), "the container is removed")


def test_of_one_that_ran_out_of_memory(started: tuple[Lab, str, Emulator]) -> None:
    _, _, running = started
    guid = begin(running, "eats", "hungry")
    one = over(running, guid=guid)
    assert "out of memory" in one["cause"]
    assert "hungry" in console(running, guid).text


def test_of_one_that_exited_expired_or_was_stopped(started: tuple[Lab, str, Emulator]) -> None:
    _, _, running = started
    exited = begin(running, "dies", "exits")
    assert "code 7" in over(running, guid=exited)["cause"]
    stopped = begin(running, "listens", "stopped")
    running.ask("POST", f"/sessions/{stopped}/stop")
    expired = begin(running, "listens", "expired")
    running.advance(400)
    for guid, kind in ((exited, "crashed"), (stopped, "stopped"), (expired, "expired")):
        assert over(running, guid=guid)["kind"] == f"session.{kind}"
        assert console(running, guid).text.startswith("begun\n")


def test_of_a_start_that_failed(started: tuple[Lab, str, Emulator]) -> None:
    _, _, running = started
    assert running.send("GET", "fails", "/?identifier=fails").status_code == 500
    one = over(running, identifier="fails")
    assert one["kind"] == "allocation.failed"
    assert console(running, one["guid"]).text == "begun\nno module named flask\n"


def test_of_one_that_somebody_else_removed_there_is_nothing_and_that_is_said(
    started: tuple[Lab, str, Emulator],
) -> None:
    lab, instance, running = started
    guid = begin(running, "listens", "removed")
    lab.container(instance, guid).remove(force=True)
    over(running, guid=guid)
    text = console(running, guid).text
    # The engine may still have had it when it told of the end; what is never answered is an empty page.
    assert "begun" in text or "before its console could be read" in text or "could not be read" in text


def test_only_the_end_of_a_long_one_is_kept(started: tuple[Lab, str, Emulator]) -> None:
    _, _, running = started
    guid = begin(running, "long", "long")
    assert len(console(running, guid).content) <= 64 * 1024
    running.ask("POST", f"/sessions/{guid}/stop")
    over(running, guid=guid)
    answer = console(running, guid)
    assert len(answer.content) <= 64 * 1024
    assert "the end\n" in answer.text


def test_a_container_sees_the_callers_trace_or_one_of_the_emulators(
    lab: Lab, tmp_path: Path, echo_image: str
) -> None:
    template = {
        "containers": [{"name": "main", "image": echo_image, "resources": {"cpu": 0.25, "memory": "0.5Gi"}}],
        "ingress": {"targetPort": 8080},
    }
    with lab.emulator(tmp_path, pools=[pool("echo", "CustomContainer", template=template)]) as running:

        def seen(**headers: str) -> tuple[dict[str, str], str]:
            answer = running.send("GET", "echo", "/echo?identifier=traced", headers=headers)
            found = {name.lower(): value for name, value in answer.json()["headers"]}
            return found, answer.headers["x-emulator-trace-id"]

        found, trace = seen(traceparent=TRACEPARENT, tracestate="a=1,b=2")
        assert (found["traceparent"], found["tracestate"]) == (TRACEPARENT, "a=1,b=2")
        assert trace == TRACEPARENT.split("-")[1]
        for headers in ({}, {"traceparent": "00-not-a-trace", "tracestate": "a=1"}):
            found, trace = seen(**headers)
            assert found["traceparent"].split("-")[1] == trace
            assert "tracestate" not in found
