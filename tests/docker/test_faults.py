"""Faults on the engine: containers and kernels that really die, custom containers, WebSockets."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.docker.engine import Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import NEWEST, Emulator, pool

pytestmark = pytest.mark.engine
SLEEPING = {"python": "import time; time.sleep(30)", "node": "while (true) {}"}


@pytest.fixture(scope="module")
def running(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [
        pool("python", "PythonLTS", max_sessions=4),
        pool("node", "NodeLTS", ready=0),
        pool("echo", "CustomContainer", template=container(echo_image), max_sessions=4, ready=1),
    ]
    with lab.emulator(tmp_path_factory.mktemp("faults"), pools=pools) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(running: Emulator) -> Iterator[None]:
    yield
    running.reset()


def add(running: Emulator, effect: Any, **rule: Any) -> None:
    answer = requests.post(
        f"{running.admin}/faults", json={"effect": effect, "id": "mine", **rule}, timeout=30
    )
    assert answer.status_code == 201, answer.text


def execute(running: Emulator, name: str, code: str) -> requests.Response:
    path = f"/executions?api-version={NEWEST}&identifier=alice"
    return running.send("POST", name, path, json={"code": code})


def events(running: Emulator, *kinds: str) -> list[dict[str, Any]]:
    return [one for one in running.ask("GET", "/events")["events"] if one["kind"] in kinds]


@pytest.mark.parametrize("after", [0, 0.5])
@pytest.mark.parametrize("oom", [False, True])
def test_a_container_really_dies(running: Emulator, after: float, oom: bool) -> None:
    add(running, {"type": "kill", "after": after, "oom": oom}, times=1)
    answer = execute(running, "python", SLEEPING["python"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "SessionContainerExited")
    how = "exited with code 137" + (" because it ran out of memory" if oom else "")
    assert how in answer.json()["error"]["message"]
    (crash,) = events(running, "session.crashed")
    assert (crash["detail"]["code"], crash["detail"]["oom"]) == (137, oom)
    assert crash["cause"].endswith("(fault mine)")
    assert running.value("python", "alice", "1 + 1") == 2


def test_callers_see_the_same_when_it_dies_by_itself(running: Emulator, lab: Lab) -> None:
    """Killed by the fault, over the admin API, and by somebody else: nobody can tell them apart."""
    said = []
    instance = running.ask("GET", "/status")["instance"]
    add(running, "kill", times=1)
    said.append(execute(running, "python", SLEEPING["python"]).json()["error"])
    for killed_by in ("admin", "engine"):
        running.run("python", "alice", "import threading, time; x = 1")
        (guid,) = [one["guid"] for one in running.ask("GET", "/sessions")["sessions"]]
        waiting = http.client.HTTPConnection(urlsplit(running.http).netloc, timeout=60)
        path = urlsplit(running.endpoint("python")).path + f"/executions?api-version={NEWEST}"
        headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
        waiting.request("POST", f"{path}&identifier=alice", b'{"code": "time.sleep(30)"}', headers)
        if killed_by == "admin":
            running.ask("POST", f"/sessions/{guid}/kill")
        else:
            lab.container(instance, guid).kill()
        answer = json.loads(waiting.getresponse().read())
        waiting.close()
        said.append(answer["error"])
    assert {(one["code"], one["message"]) for one in said} == {(said[0]["code"], said[0]["message"])}


@pytest.mark.parametrize("after", [0, 0.5])
@pytest.mark.parametrize("name", ["python", "node"])
def test_a_kernel_dies_and_its_session_lives_on(running: Emulator, name: str, after: float) -> None:
    running.run(name, "alice", "x = 1")
    guid = running.ask("GET", "/sessions")["sessions"][0]["guid"]
    add(running, {"type": "kernelDeath", "after": after}, times=1)
    died = execute(running, name, SLEEPING[name]).json()
    assert died["status"] == "Failed"
    assert "The kernel died: it was ended by signal 9 (SIGKILL)" in died["result"]["stderr"]
    assert running.run(name, "alice", "x")["status"] == "Failed"
    assert running.run(name, "alice", "1 + 1")["status"] == "Succeeded"
    assert running.ask("GET", "/sessions")["sessions"][0]["guid"] == guid
    assert len(events(running, "fault.kernelDeath")) == 1


def test_custom_containers_are_cut_truncated_killed_and_mixed_up(running: Emulator) -> None:
    add(running, {"type": "truncate", "afterBytes": 1000}, times=1)
    got = running.send("GET", "echo", "/source?bytes=200000&identifier=alice")
    assert (len(got.content), got.headers["content-length"]) == (1000, "1000")
    requests.delete(f"{running.admin}/faults", timeout=30)
    add(running, {"type": "cut", "afterBytes": 1000}, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        running.send("GET", "echo", "/source?bytes=200000&identifier=alice")
    requests.delete(f"{running.admin}/faults", timeout=30)
    add(running, "kill", times=1)
    died = running.send("GET", "echo", "/?identifier=alice")
    assert (died.status_code, died.json()["error"]["code"]) == (502, "SessionContainerExited")
    requests.delete(f"{running.admin}/faults", timeout=30)
    running.send("GET", "echo", "/?identifier=alice")
    add(running, "mixUp", times=1)
    running.send("GET", "echo", "/?identifier=bobby")
    assert [one["identifier"] for one in running.ask("GET", "/sessions")["sessions"]] == ["alice"]
    assert running.ask("GET", "/requests")["requests"][-1]["mixedUp"]["identifier"] == "alice"


def test_what_only_built_in_pools_have_is_refused_for_custom_ones(running: Emulator) -> None:
    for effect in ("kernelDeath", {"type": "mixUp", "what": "answers"}):
        rule = {"effect": effect, "match": {"pool": "echo"}}
        answer = requests.post(f"{running.admin}/faults", json=rule, timeout=30)
        assert answer.status_code == 400
        assert "pools" in answer.json()["error"]["message"]


def joined(running: Emulator) -> ClientConnection:
    url = running.endpoint("echo").replace("http://", "ws://") + "/ws?identifier=alice"
    headers = {"Authorization": f"Bearer {running.token}"}
    socket: ClientConnection = connect(url, additional_headers=headers, open_timeout=60)
    return socket


def test_a_websocket_is_cut_at_once_or_after_some_bytes(running: Emulator) -> None:
    add(running, "cut", times=1)
    with pytest.raises((InvalidHandshake, EOFError, OSError)):
        joined(running).close()
    requests.delete(f"{running.admin}/faults", timeout=30)
    add(running, {"type": "cut", "afterBytes": 5}, times=1)
    with joined(running) as socket:
        socket.send("12345")
        assert socket.recv(timeout=60) == "12345"
        socket.send("6")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
    assert closed.value.rcvd is None  # no word of farewell
    assert len(events(running, "fault.cut")) == 2
    assert "ASGI callable" not in running.text()


def test_a_websocket_meets_errors_and_deaths_and_has_no_body(running: Emulator) -> None:
    add(running, {"type": "truncate", "afterBytes": 1}, times=1)
    with joined(running) as socket:
        socket.send("whole")
        assert socket.recv(timeout=60) == "whole"
    (missed,) = events(running, "fault.missed")
    assert "a WebSocket has no body to truncate; use cut" in missed["cause"]
    requests.delete(f"{running.admin}/faults", timeout=30)
    add(running, {"type": "kill", "after": 0.2}, times=1)
    with joined(running) as socket, pytest.raises(ConnectionClosed):
        socket.recv(timeout=60)
    eventually(lambda: events(running, "session.crashed"), "the crash is known")
