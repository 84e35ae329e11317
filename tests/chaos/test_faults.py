"""Faults on demand against a running emulator, and the truth about them afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import NEWEST, Emulator, emulator, pool

EXECUTE = f"/executions?api-version={NEWEST}&identifier="


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", max_sessions=4)]
    with emulator(tmp_path_factory.mktemp("faults"), "--runtime", "process", pools=pools) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(running: Emulator) -> None:
    running.reset()


def add(running: Emulator, effect: Any, **rule: Any) -> None:
    answer = requests.post(f"{running.admin}/faults", json={"effect": effect, **rule}, timeout=30)
    assert answer.status_code == 201, answer.text


def execute(running: Emulator, code: str = "1+1", identifier: str = "alice") -> requests.Response:
    return running.send("POST", "python", EXECUTE + identifier, json={"code": code})


@pytest.mark.parametrize(
    ("effect", "status", "code"),
    [
        ({"type": "error", "code": "SessionsCountExceedsLimit"}, 429, "SessionsCountExceedsLimit"),
        ({"type": "error", "code": "SessionAllocationFailed"}, 500, "SessionAllocationFailed"),
        ({"type": "error", "status": 503, "code": "Mine"}, 503, "Mine"),
        ({"type": "allocation"}, 500, "SessionAllocationFailed"),
    ],
)
def test_an_error_by_its_code(running: Emulator, effect: dict[str, Any], status: int, code: str) -> None:
    add(running, effect, times=1)
    answer = execute(running)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (status, code)
    assert execute(running).status_code == 200


def test_the_builtin_429_is_unnested_and_the_403_empty(running: Emulator) -> None:
    add(running, {"type": "error", "code": "SessionsCountExceedsLimit"}, times=1)
    assert execute(running).json()["code"] == "SessionsCountExceedsLimit"
    add(running, {"type": "error", "code": "Forbidden"}, times=1)
    refused = execute(running)
    assert (refused.status_code, refused.content) == (403, b"")
    assert "fault" in refused.headers["x-emulator-reason"]


def test_a_connection_cut_before_and_within_the_answer(running: Emulator) -> None:
    add(running, "cut", times=1)
    with pytest.raises(requests.ConnectionError):
        execute(running)
    add(running, {"type": "cut", "afterBytes": 10}, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        execute(running)
    assert execute(running).status_code == 200


def test_a_container_that_dies_in_the_middle_of_a_run(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    add(running, {"type": "kill", "after": 0.2, "oom": True}, times=1)
    answer = execute(running, "import time; time.sleep(30)")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "SessionContainerExited"
    assert "out of memory" in answer.json()["error"]["message"]
    assert running.value("python", "alice", "'x' in globals()") is False


def test_a_session_that_expires_in_the_middle_of_a_run(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    add(running, {"type": "expire", "after": 0.2}, times=1)
    assert execute(running, "import time; time.sleep(30)").status_code == 502
    assert running.value("python", "alice", "'x' in globals()") is False


def test_a_mix_up_shows_a_neighbours_state_and_is_marked(running: Emulator) -> None:
    running.run("python", "alice", "secret = 'of alice'")
    running.run("python", "bobby", "pass")
    add(running, "mixUp", match={"identifier": "bobby"}, times=1)
    assert execute(running, "secret", "bobby").json()["result"]["executionResult"] == "of alice"
    marked = [event for event in running.ask("GET", "/events")["events"] if event["kind"] == "fault.mixedUp"]
    assert [event["identifier"] for event in marked] == ["bobby"]
    assert execute(running, "secret", "bobby").json()["status"] == "Failed"


def test_a_clock_jump_ends_idle_sessions(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    add(running, {"type": "clock", "seconds": 400}, times=1)
    assert execute(running, "'x' in globals()").json()["result"]["executionResult"] is False


def test_the_admin_api_is_never_faulted(running: Emulator) -> None:
    add(running, {"type": "error", "status": 500})
    assert running.ask("GET", "/alive") == {"status": "alive"}
    assert requests.get(f"{running.admin}/token", timeout=30).status_code == 200


def test_the_journal_masks_tokens_and_becomes_a_har(running: Emulator, tmp_path: Path) -> None:
    requests.delete(f"{running.admin}/requests", timeout=30)
    execute(running, "40 + 2")
    (entry,) = running.ask("GET", "/requests")["requests"]
    assert (entry["status"], entry["pool"], entry["identifier"]) == (200, "python", "alice")
    assert '"executionResult":42' in entry["responseBody"].replace(" ", "")
    har = tmp_path / "out.har"
    verb = [sys.executable, "-m", "emulator", "requests", "--har", str(har), "--endpoint", running.http]
    subprocess.run(verb, check=True, capture_output=True)
    text = har.read_text(encoding="utf-8")
    assert running.token not in text
    assert json.loads(text)["log"]["entries"][0]["request"]["method"] == "POST"


def test_metrics_carry_azures_names(running: Emulator) -> None:
    running.run("python", "alice", "1")
    text = requests.get(f"{running.admin}/metrics", timeout=30).text
    assert 'PoolExecutingPodCount{pool="python"} 1.0' in text
    assert 'emulator_request_seconds_count{pool="python",status="200"}' in text
