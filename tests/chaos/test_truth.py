"""What a running emulator says about what happened: events, consoles of ended sessions, journal, metrics."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import NEWEST, Emulator, emulator, pool
from tests.unit.watching.har_schema import HAR

EXECUTE = f"/executions?api-version={NEWEST}&identifier="
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DIE = "import os; os.kill(os.getppid(), 9)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", max_sessions=4), pool("shell", "Shell", ready=0)]
    with emulator(tmp_path_factory.mktemp("truth"), "--runtime", "process", pools=pools) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(running: Emulator) -> None:
    running.reset()


def eventually(look: Callable[[], Any], saying: str) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within 30 s: {saying}"
        time.sleep(0.05)
    return found


def execute(running: Emulator, code: str, identifier: str = "alice", **more: Any) -> requests.Response:
    headers = more.pop("headers", {})
    return running.send("POST", "python", EXECUTE + identifier, json={"code": code, **more}, headers=headers)


def events(running: Emulator, kind: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = running.ask("GET", "/events")["events"]
    return [event for event in found if event["kind"].startswith(kind)]


def verb(running: Emulator, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", *words, "--endpoint", running.http]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ended(running: Emulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = running.ask("GET", "/sessions", params={"ended": "true"})["sessions"]
    return found


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ({"invalid": "expired"}, 401, "token expired"),
        ({"invalid": "signature"}, 401, "bad signature"),
        ({"invalid": "audience"}, 401, "wrong audience"),
        ({"role": "false"}, 403, "ContainerApps Session Executor"),
    ],
    ids=["expired", "signature", "audience", "role"],
)
def test_an_empty_refusal_has_its_true_reason_in_one_event(
    running: Emulator, token: dict[str, str], status: int, reason: str
) -> None:
    bearer = running.new_token(**token)
    headers = {"Authorization": f"Bearer {bearer}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = execute(running, "1", headers=headers)
    assert (answer.status_code, answer.content) == (status, b"")
    (told,) = events(running, "request.refused")
    assert reason in told["cause"]
    assert (told["pool"], told["identifier"], told["trace"]) == ("python", "alice", TRACE)
    assert told["detail"]["status"] == status
    assert bearer not in json.dumps(told)


def test_other_refusals_say_why_as_well_and_a_full_pool_says_so_once(running: Emulator) -> None:
    assert execute(running, "1", "x").status_code == 400
    assert running.send("POST", "python", f"{EXECUTE}alice", json={"code": 1}).status_code == 400
    assert [event["cause"] for event in events(running, "request.refused")] == [
        "The session identifier has 1 characters; its length must be between 4 and 128.",
        "$.code: A string is expected, not a number.",
    ]
    for number in range(4):
        running.run("python", f"user{number}", "1")
    assert execute(running, "1", "one-more").status_code == 429
    (full,) = [event for event in events(running) if event["kind"].endswith(".refused")][2:]
    assert (full["kind"], full["identifier"]) == ("session.refused", "one-more")
    assert "4 of 4 sessions" in full["cause"]


def test_refusals_of_the_control_plane_are_told_too(running: Emulator) -> None:
    answer = requests.get(f"{running.http}/subscriptions?api-version=2022-12-01", timeout=30)
    assert answer.status_code == 401
    (told,) = events(running, "request.refused")
    assert told["cause"] == "no Authorization header"


def test_a_containers_own_errors_and_missing_admin_things_are_no_refusals(running: Emulator) -> None:
    assert requests.get(f"{running.admin}/sessions/nobody/logs", timeout=30).status_code == 404
    assert events(running, "request.") == []


# -- executions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "more", "how"),
    [
        ("1", {}, "completed"),
        ("1/0", {}, "exception"),
        ("class Timeout(Exception): pass\nraise Timeout('ConnectionClosed')", {}, "exception"),
        ("import sys; sys.exit('Execution aborted')", {}, "exception"),
        ("import time; time.sleep(60)", {"timeoutInSeconds": 1}, "timeout"),
        ("import os; os.kill(os.getpid(), 9)", {}, "kernelDied"),
        (DIE, {}, "containerExited"),
    ],
    ids=["completed", "exception", "named-timeout", "exit", "timeout", "kernel", "container"],
)
def test_an_execution_begins_and_ends_with_how(
    running: Emulator, code: str, more: dict[str, Any], how: str
) -> None:
    answer = execute(running, code, headers={"operation-id": "my-own"}, **more)
    began, over = events(running, "execution.")
    assert (began["kind"], over["kind"]) == ("execution.began", "execution.ended")
    assert over["detail"]["how"] == how
    assert over["detail"]["status"] == ("Succeeded" if how == "completed" else "Failed")
    assert over["detail"]["milliseconds"] > 0
    for event in (began, over):
        assert (event["operation"], event["identifier"]) == ("my-own", "alice")
        assert event["trace"] == answer.headers["x-emulator-trace-id"]


def test_an_execution_that_was_cut_says_how_long_it_would_have_been(running: Emulator) -> None:
    execute(running, "print('x' * 10_000)", outputStreamsMaxLength=100)
    assert events(running, "execution.ended")[0]["detail"]["truncated"] == "stdout=10001"


def test_an_asynchronous_one_ends_when_it_ends(running: Emulator) -> None:
    answer = execute(running, "import time; time.sleep(0.5)", executionType="Asynchronous")
    assert answer.status_code == 202
    assert [event["kind"] for event in events(running, "execution.")] == ["execution.began"]
    (over,) = eventually(lambda: events(running, "execution.ended"), "the run ended")
    assert over["operation"] == answer.headers["operation-id"]
    assert over["trace"] == answer.headers["x-emulator-trace-id"]
    assert (over["detail"]["how"], over["detail"]["status"]) == ("completed", "Succeeded")


@pytest.mark.parametrize("name", ["python", "shell"])
def test_a_repeat_is_told_as_one(running: Emulator, name: str) -> None:
    body = {"shellCommand": "exit 3"} if name == "shell" else {"code": "1"}
    for _ in range(2):
        running.send("POST", name, f"{EXECUTE}alice", json=body, headers={"operation-id": "once"})
    kinds = [event["kind"] for event in events(running, "execution.")]
    assert kinds == ["execution.began", "execution.ended", "execution.repeated"]


def test_shell_commands_and_files_are_told(running: Emulator) -> None:
    running.send("POST", "shell", f"{EXECUTE}alice", json={"shellCommand": "exit 3"})
    (over,) = events(running, "execution.ended")
    assert (over["detail"]["how"], over["detail"]["exitCode"]) == ("exitCode", 3)
    path = f"?api-version={NEWEST}&identifier=alice"
    running.send("POST", "python", f"/files{path}", files={"file": ("a.txt", b"hello")})
    running.send("GET", "python", f"/files/a.txt/content{path}")
    running.send("DELETE", "python", f"/files/a.txt{path}")
    told = [
        (one["kind"], one["cause"], one.get("detail", {}).get("size")) for one in events(running, "file.")
    ]
    assert told == [
        ("file.uploaded", "a.txt", 5),
        ("file.downloaded", "a.txt", 5),
        ("file.deleted", "a.txt", None),
    ]


def test_admin_actions_are_told_before_what_they_cause(running: Emulator) -> None:
    running.run("python", "alice", "1")
    for effect in ("latency", "coldStart"):
        running.ask("POST", "/faults", json={"effect": {"type": effect, "seconds": 0.01}})
    requests.delete(f"{running.admin}/faults/fault-nobody", timeout=30)
    first = running.ask("GET", "/faults")["faults"][0]["id"]
    requests.delete(f"{running.admin}/faults/{first}", timeout=30)
    requests.delete(f"{running.admin}/faults", timeout=30)
    running.advance(400)
    kinds = [event["kind"] for event in events(running) if event["kind"].split(".")[0] not in ("instance",)]
    assert kinds[0] == "emulator.reset"
    told = ["fault.added", "fault.added", "fault.removed", "fault.cleared", "clock.moved", "session.expired"]
    assert [kind for kind in kinds if kind in told] == told


# -- consoles --------------------------------------------------------------------------------------------


def test_what_a_session_printed_is_there_after_it_crashed(running: Emulator) -> None:
    running.run("python", "alice", "1")
    (alive,) = running.ask("GET", "/sessions")["sessions"]
    assert execute(running, DIE).status_code == 502
    (one,) = eventually(lambda: [one for one in ended(running) if one["consoleSize"]], "the console is kept")
    assert (one["guid"], one["kind"], one["identifier"]) == (alive["guid"], "session.crashed", "alice")
    answer = requests.get(f"{running.admin}/sessions/{one['guid']}/logs", timeout=30)
    assert "Serving on" in answer.text
    assert answer.headers["x-emulator-ended-kind"] == "session.crashed"
    assert "exited with code" in answer.headers["x-emulator-ended-cause"]
    assert answer.headers["x-emulator-ended-at"] == one["endedAt"]
    listed = verb(running, "session", "list", "--ended").stdout
    assert one["guid"] in listed and "alice" in listed


def test_the_command_line_finds_the_newest_session_of_an_identifier(running: Emulator) -> None:
    first = running.run("python", "alice", "1")
    assert first["status"] == "Succeeded"
    guid = running.ask("GET", "/sessions")["sessions"][0]["guid"]
    running.ask("POST", f"/sessions/{guid}/stop")
    over = verb(running, "session", "logs", "--identifier", "alice")
    assert (over.returncode, "Serving on" in over.stdout) == (0, True)
    assert "over the admin API" in over.stderr
    running.run("python", "alice", "1")
    lives = verb(running, "session", "logs", "--identifier", "alice", "--tail", "1")
    assert (lives.returncode, lives.stderr, len(lives.stdout.splitlines())) == (0, "", 1)
    assert verb(running, "session", "logs", "--guid", guid).stdout == over.stdout
    nobody = verb(running, "session", "logs", "--identifier", "nobody")
    assert nobody.returncode == 1
    assert "--ended" in nobody.stderr


def test_logs_are_followed_until_the_session_ends(running: Emulator) -> None:
    running.run("python", "alice", "1")
    command = [sys.executable, "-m", "emulator", "session", "logs", "--identifier", "alice", "--follow"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--endpoint", running.http], **pipes) as process:
        try:
            printed = [process.stdout.readline()]
            execute(running, "2", headers={"operation-id": "the-second"})
            while "the-second" not in printed[-1]:
                printed.append(process.stdout.readline())
                assert printed[-1], "it ended before the session did"
            running.advance(400)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    printed += output.splitlines(keepends=True)
    assert any("Serving on" in line for line in printed)
    assert len(printed) == len(set(printed))  # nothing twice
    assert "cooldown of 300 s is over" in errors


@pytest.mark.parametrize("tail", ["nan", "-1", "0", "1e3", "", "9" * 30])
def test_a_tail_that_is_no_number_of_lines_is_refused(running: Emulator, tail: str) -> None:
    answer = requests.get(f"{running.admin}/sessions/x/logs", params={"tail": tail}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, "tail")


# -- following events ------------------------------------------------------------------------------------


def stream(running: Emulator, last: str | None = None, since: int | None = 0) -> requests.Response:
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    params = {} if since is None else {"since": str(since)}
    return requests.get(f"{running.admin}/events", params=params, headers=headers, stream=True, timeout=30)


def taken(answer: requests.Response, count: int, kind: str = "") -> list[tuple[str, str]]:
    """Ids and kinds of so many events of a stream, of one kind or of all."""
    found: list[tuple[str, str]] = []
    id_ = ""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        if name == "id":
            id_ = value
        elif name == "event" and value.startswith(kind):
            found.append((id_, value))
            if len(found) == count:
                break
    return found


def gauge(running: Emulator, name: str) -> float:
    text = requests.get(f"{running.admin}/metrics", timeout=30).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def test_a_follower_resumes_where_it_was_and_leaves_nothing_behind(running: Emulator) -> None:
    for seconds in (1, 2, 3):
        running.advance(seconds)
    with stream(running) as first:
        ids = taken(first, 3)
    with stream(running, last=ids[1][0]) as second:
        again = taken(second, 1)
    assert again == [ids[2]]
    with stream(running, last="ffffffff-7") as other:  # of an emulator that is no more
        assert taken(other, 3) == ids
    eventually(lambda: gauge(running, "emulator_event_followers") == 0, "followers are forgotten")


def test_following_neither_loses_nor_doubles_an_event(running: Emulator) -> None:
    running.advance(1)
    with stream(running) as answer:
        moves = threading.Thread(target=lambda: [running.advance(1) for _ in range(30)])
        moves.start()
        ids = [id_ for id_, _ in taken(answer, 31, "clock.moved")]
        moves.join(60)
    assert len(ids) == len(set(ids))
    listed = [event["sequence"] for event in events(running, "clock.moved")]
    assert [int(id_.split("-")[1]) for id_ in ids] == listed


def test_events_follow_survives_a_restart(tmp_path: Path) -> None:
    flags = ["--runtime", "process", "--instance", "truth-restart"]
    pools = [pool("python", "PythonLTS", ready=0)]
    with emulator(tmp_path / "first", *flags, pools=pools) as first:
        first.advance(1)
        command = [sys.executable, "-m", "emulator", "events", "--follow", "--endpoint", first.http]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:
            try:
                assert "advanced by 1 s" in process.stdout.readline()
                first.stop()
                assert "ended; waiting" in process.stderr.readline()
                port = first.http.rsplit(":", 1)[1]
                with emulator(tmp_path / "second", *flags, "--port", port, pools=pools) as second:
                    second.advance(2)
                    assert "advanced by 2 s" in process.stdout.readline()
            finally:
                process.kill()


# -- journal and metrics ---------------------------------------------------------------------------------


def test_the_journal_shows_requests_in_flight_and_the_failed_ones(running: Emulator) -> None:
    running.run("python", "alice", "1")
    execute(running, "1", "x")
    slow = threading.Thread(target=execute, args=(running, "import time; time.sleep(1)"))
    slow.start()
    found = eventually(
        lambda: [one for one in running.ask("GET", "/requests")["requests"] if one["inFlight"]], "in flight"
    )
    assert [(one["identifier"], one["status"]) for one in found] == [("alice", 0)]
    (failed,) = running.ask("GET", "/requests", params={"failed": "true"})["requests"]
    assert (failed["status"], failed["reason"][:22]) == (400, "The session identifier")
    assert "..." in verb(running, "requests").stdout
    assert len(verb(running, "requests", "--failed").stdout.splitlines()) == 1
    slow.join(60)
    jsonschema.validate(requests.get(f"{running.admin}/requests.har", timeout=30).json(), HAR)


def test_a_trace_is_the_same_in_answer_error_journal_and_har(running: Emulator) -> None:
    sent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert execute(running, "1", headers=sent).headers["x-emulator-trace-id"] == TRACE
    refused = execute(running, "1", "x", headers=sent)
    assert refused.json()["error"]["traceId"] == TRACE
    made = execute(running, "1", headers={"traceparent": sent["traceparent"].upper()})
    assert made.headers["x-emulator-trace-id"] not in (TRACE, TRACE.upper())
    traces = [one["trace"] for one in running.ask("GET", "/requests")["requests"]]
    assert traces == [TRACE, TRACE, made.headers["x-emulator-trace-id"]]
    har = requests.get(f"{running.admin}/requests.har", timeout=30).json()
    assert [one["_session"]["trace"] for one in har["log"]["entries"]] == traces


def test_metrics_are_what_prometheus_reads(running: Emulator) -> None:
    running.run("python", "alice-is-no-label", "1")
    execute(running, "1", "x")
    text = requests.get(f"{running.admin}/metrics", timeout=30).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"PoolReadyPodCount", "PoolExecutingPodCount", "PoolPendingPodCount"} <= families.keys()
    for name in ("emulator_request_seconds", "emulator_execution_seconds", "emulator_allocation_seconds"):
        assert families[name].type == "histogram"
    refusals = {sample.labels["reason"] for sample in families["emulator_refusals"].samples}
    assert "invalid" in refusals
    assert gauge(running, "process_open_fds") > 0
    assert "alice" not in text
