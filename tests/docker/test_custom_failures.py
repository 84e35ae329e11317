"""Custom containers that do not do what they should: each failure has a status, a reason, and an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.docker.engine import Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [
        pool("echo", "CustomContainer", template=container(echo_image), max_sessions=20),
        pool("python", "PythonLTS", ready=0),
    ]
    folder = tmp_path_factory.mktemp("failures")
    with lab.emulator(folder, "--read-timeout", "3", "--upstream-grace", "2", pools=pools) as started:
        yield started


def failure(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert answer.headers["x-ms-error-code"] == error["code"]
    return answer.status_code, error["code"], error["message"]


def pid(emulator: Emulator, identifier: str) -> tuple[int, str]:
    """Which process of which session answers."""
    answer = emulator.send("GET", "echo", f"/about?identifier={identifier}")
    assert answer.status_code == 200, answer.text
    sessions = emulator.ask("GET", "/sessions")["sessions"]
    guid = next(one["guid"] for one in sessions if one["identifier"] == identifier)
    return answer.json()["pid"], guid


@pytest.mark.parametrize("code", [0, 3])
def test_a_container_that_exits_mid_request(emulator: Emulator, code: int) -> None:
    _, first = pid(emulator, "exits")
    status, name, text = failure(emulator.send("POST", "echo", f"/exit?identifier=exits&code={code}"))
    assert (status, name) == (502, "SessionContainerExited")
    assert f"exited with code {code}" in text
    _, second = pid(emulator, "exits")
    assert second != first
    causes = [one["cause"] for one in emulator.ask("GET", "/events")["events"] if one.get("session") == first]
    assert any(f"exited with code {code}" in cause for cause in causes), causes


def test_requests_beside_the_one_that_kills(emulator: Emulator) -> None:
    """Whatever was in flight learns that the container is gone, not only the request that did it."""
    pid(emulator, "together")
    answers: list[requests.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(emulator.send("POST", "echo", "/silent?identifier=together"))
    )
    waiting.start()

    def in_flight() -> bool:
        sessions = emulator.ask("GET", "/sessions")["sessions"]
        return any(one["identifier"] == "together" and one["inFlight"] for one in sessions)

    eventually(in_flight, "the request is in flight")
    emulator.send("POST", "echo", "/exit?identifier=together&code=9")
    waiting.join()
    assert failure(answers[0])[:2] == (502, "SessionContainerExited")


@pytest.mark.parametrize("path", ["/reset", "/hangup", "/garbage"])
def test_a_connection_that_breaks(emulator: Emulator, path: str) -> None:
    before = pid(emulator, "breaks")
    status, name, text = failure(emulator.send("POST", "echo", f"{path}?identifier=breaks"))
    assert (status, name) == (502, "SessionUpstreamUnreachable"), text
    assert pid(emulator, "breaks") == before


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_what_was_sent_is_not_sent_again(emulator: Emulator, method: str) -> None:
    """Also not on a connection that was used before, where clients like to try once more."""

    def requests_seen() -> int:
        log = emulator_log(emulator, "counted")
        return log.count("hanging up")

    pid(emulator, "counted")
    before = requests_seen()
    assert emulator.send(method, "echo", "/hangup?identifier=counted").status_code == 502
    assert requests_seen() == before + 1


def emulator_log(emulator: Emulator, identifier: str) -> str:
    """What a session's container has printed, from the admin API."""
    sessions = emulator.ask("GET", "/sessions")["sessions"]
    guid = next(one["guid"] for one in sessions if one["identifier"] == identifier)
    return requests.get(f"{emulator.admin}/sessions/{guid}/logs", timeout=60).text


def test_half_an_answer_cuts_the_connection(emulator: Emulator) -> None:
    """The status was sent by then: a caller must see an error rather than believe a short body whole."""
    answer = emulator.send("GET", "echo", "/half?identifier=breaks", stream=True)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = answer.content
    assert pid(emulator, "breaks")
    assert "Traceback" not in emulator.text()  # it is the container's doing, and one line says so
    assert "an answer was cut off" in emulator.text()


def test_silence_ends_in_a_504(emulator: Emulator) -> None:
    before = pid(emulator, "silent")
    status, name, text = failure(emulator.send("POST", "echo", "/silent?identifier=silent"))
    assert (status, name) == (504, "SessionUpstreamTimeout")
    assert "within 3 s" in text
    assert pid(emulator, "silent") == before


def session_container(emulator: Emulator, lab: Lab, name: str, identifier: str) -> Any:
    sessions = emulator.ask("GET", "/sessions")["sessions"]
    guid = next(one["guid"] for one in sessions if (one["pool"], one["identifier"]) == (name, identifier))
    return lab.container(emulator.ask("GET", "/status")["instance"], guid)


def test_a_paused_container_is_an_error_and_comes_back(emulator: Emulator, lab: Lab) -> None:
    before = pid(emulator, "paused")
    emulator.value("python", "paused", "kept = 1")
    frozen = [session_container(emulator, lab, name, "paused") for name in ("echo", "python")]
    for one in frozen:
        one.pause()
    try:
        assert failure(emulator.send("GET", "echo", "/?identifier=paused"))[:2] == (
            504,
            "SessionUpstreamTimeout",
        )
        body = {"code": "1", "codeInputType": "Inline", "executionType": "Synchronous", "timeoutInSeconds": 1}
        query = "api-version=2025-10-02-preview&identifier=paused"
        answer = emulator.send("POST", "python", f"/executions?{query}", json=body)
        assert answer.status_code == 504, answer.text
    finally:
        for one in frozen:
            one.unpause()
    assert pid(emulator, "paused") == before
    assert emulator.value("python", "paused", "kept") == 1


@pytest.mark.parametrize("how", ["kill", "stop", "remove"])
@pytest.mark.parametrize("name", ["echo", "python"])
def test_a_container_ended_from_outside(emulator: Emulator, lab: Lab, name: str, how: str) -> None:
    identifier = f"outside-{how}"
    target = (
        f"/executions?api-version=2025-10-02-preview&identifier={identifier}"
        if name == "python"
        else f"/about?identifier={identifier}"
    )
    body = {"code": "6*7", "codeInputType": "Inline", "executionType": "Synchronous"}
    assert emulator.send("POST", name, target, json=body).status_code == 200
    victim = session_container(emulator, lab, name, identifier)
    {
        "kill": victim.kill,
        "stop": lambda: victim.stop(timeout=1),
        "remove": lambda: victim.remove(force=True),
    }[how]()

    def noticed() -> bool:
        sessions = emulator.ask("GET", "/sessions")["sessions"]
        return all((one["pool"], one["identifier"]) != (name, identifier) for one in sessions)

    eventually(noticed, "the emulator notices that the container is gone")
    assert emulator.send("POST", name, target, json=body).status_code == 200
    assert session_container(emulator, lab, name, identifier).id != victim.id
    gone = [one for one in emulator.ask("GET", "/events")["events"] if one["kind"] == "session.crashed"]
    assert gone[-1]["identifier"] == identifier
    instance = emulator.ask("GET", "/status")["instance"]
    eventually(lambda: len(lab.networks(instance)) == len(lab.containers(instance)), "its network is removed")


def test_a_network_removed_under_a_session(emulator: Emulator, lab: Lab) -> None:
    _, before = pid(emulator, "cut-off")
    victim = session_container(emulator, lab, "echo", "cut-off")
    (name,) = victim.attrs["NetworkSettings"]["Networks"]
    network = lab.engine.networks.get(name)
    network.disconnect(victim, force=True)
    network.remove()

    def crash() -> list[str]:
        events = emulator.ask("GET", "/events")["events"]
        return [
            one["cause"] for one in events if one["kind"] == "session.crashed" and one["session"] == before
        ]

    (cause,) = eventually(crash, "the emulator notices that the session has no network")
    assert "no network any more" in cause
    assert pid(emulator, "cut-off")[1] != before


def test_containers_that_never_serve_say_why(lab: Lab, echo_image: str, tmp_path: Any) -> None:
    """Never listening, exiting at once, a missing command, a missing image: what and its last words."""
    probe = {"type": "Startup", "httpGet": {"path": "/health", "port": 8080}}
    pools = [
        pool("never", "CustomContainer", template=container(echo_image, args=["never"])),
        pool("dies", "CustomContainer", template=container(echo_image, args=["dies"])),
        pool("wrong", "CustomContainer", template=container(echo_image, command=["/no/such/program"])),
        pool("absent", "CustomContainer", template=container("docker-tests/does-not-exist:0")),
        pool(
            "unhealthy",
            "CustomContainer",
            template=container(
                echo_image, probes=[probe], env=[{"name": "PROBES_TO_FAIL", "value": "1000000"}]
            ),
        ),
    ]
    instance = lab.new_instance()
    flags = ("--start-timeout", "3", "--no-pull")
    with lab.emulator(tmp_path, *flags, instance=instance, pools=pools) as emulator:
        words = {
            "never": ["not ready after 3 s", "the licence server does not answer; not listening"],
            "dies": ["exited with code 7", "cannot read /etc/licence"],
            "wrong": ["/no/such/program"],
            "absent": ["docker-tests/does-not-exist:0", "not on this engine"],
            "unhealthy": ["GET /health", "503"],
        }
        with ThreadPoolExecutor(len(words)) as askers:
            answers = askers.map(lambda name: emulator.send("GET", name, "/?identifier=test"), words)
        for (name, expected), answer in zip(words.items(), answers, strict=True):
            status, code, text = failure(answer)
            assert (status, code) == (500, "SessionAllocationFailed"), answer.text
            assert [word for word in expected if word not in text] == [], text
            described = next(one for one in emulator.ask("GET", "/status")["pools"] if one["name"] == name)
            assert (described["provisioningState"], described["sessions"]) == ("Failed", 0)
        assert lab.all_of(instance) == []
