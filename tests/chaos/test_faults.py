"""Faults on demand against a running emulator: what callers see, and the truth about it afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import eventually
from tests.harness import NEWEST, Emulator, emulator, pool

EXECUTE = f"/executions?api-version={NEWEST}&identifier="
SLEEP = "import time; time.sleep(30)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", max_sessions=4, ready=0), pool("shell", "Shell", ready=0)]
    flags = ("--runtime", "process", "--tls-port", "0")
    with emulator(tmp_path_factory.mktemp("faults"), *flags, pools=pools) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(running: Emulator) -> None:
    running.reset()


def add(running: Emulator, effect: Any, **rule: Any) -> str:
    answer = requests.post(f"{running.admin}/faults", json={"effect": effect, **rule}, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def refused(running: Emulator, effect: Any, **rule: Any) -> str:
    answer = requests.post(f"{running.admin}/faults", json={"effect": effect, **rule}, timeout=30)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


def execute(running: Emulator, code: str = "1+1", identifier: str = "alice") -> requests.Response:
    return running.send("POST", "python", EXECUTE + identifier, json={"code": code})


def events(running: Emulator, *kinds: str) -> list[dict[str, Any]]:
    return [one for one in running.ask("GET", "/events")["events"] if one["kind"] in kinds]


def counts(running: Emulator) -> dict[str, int]:
    (rule,) = running.ask("GET", "/faults")["faults"]
    return {name: rule[name] for name in ("seen", "struck", "missed")}


def knows_nothing(running: Emulator, identifier: str = "alice") -> bool:
    return running.value("python", identifier, "'x' in globals()") is False


# -- answers ---------------------------------------------------------------------------------------------


def test_an_allocation_that_fails_is_counted_by_allocations(running: Emulator) -> None:
    running.run("python", "alice", "1")
    add(running, "allocation", match={"nth": 2})
    assert [execute(running, identifier=name).status_code for name in ("alice", "bobby", "carol")] == [
        200,
        200,
        500,
    ]
    assert counts(running) == {"seen": 2, "struck": 1, "missed": 0}


def test_a_cold_start_is_slow_only_for_those_who_allocate(running: Emulator) -> None:
    add(running, {"type": "coldStart", "distribution": "uniform", "min": 0.01, "max": 0.02})
    for _ in range(3):
        execute(running)
    running.send("GET", "python", f"/listSessions?api-version={NEWEST}")
    assert counts(running) == {"seen": 1, "struck": 1, "missed": 0}


def test_latency_is_drawn_and_told(running: Emulator) -> None:
    add(running, {"type": "latency", "distribution": "lognormal", "median": 0.01, "sigma": 1, "max": 0.05})
    for _ in range(3):
        assert execute(running).status_code == 200
    told = [one["cause"] for one in events(running, "fault.latency")]
    assert len(set(told)) == 3
    assert told[0].startswith("fault fault-1: the request waits 0.0")


def test_a_connection_cut_before_and_within_the_answer(running: Emulator) -> None:
    add(running, "cut", times=1)
    with pytest.raises(requests.ConnectionError):
        execute(running)
    add(running, {"type": "cut", "afterBytes": 10}, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        execute(running)
    assert execute(running).status_code == 200
    assert "ASGI callable" not in running.text()


def test_a_connection_is_cut_over_https_too(running: Emulator) -> None:
    add(running, "cut", times=1)
    add(running, {"type": "cut", "afterBytes": 10}, match={"nth": 2})
    url = running.endpoint("python").replace(running.http, str(running.ready["https"])) + EXECUTE + "alice"
    headers = {"Authorization": f"Bearer {running.token}"}
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.post(
                url, json={"code": "1"}, headers=headers, verify=str(running.ready["ca"]), timeout=60
            )
    assert len(events(running, "fault.cut")) == 2


def test_a_truncated_body_in_a_message_that_is_whole(running: Emulator) -> None:
    add(running, {"type": "truncate", "afterBytes": 20}, times=1)
    cut_short = execute(running)
    assert cut_short.headers["content-length"] == "20"
    with pytest.raises(ValueError):
        cut_short.json()
    assert execute(running).json()["status"] == "Succeeded"


def test_a_download_is_truncated_and_an_error_answer_too(running: Emulator) -> None:
    running.run("python", "alice", "open('/mnt/data/big', 'wb').write(b'x' * 500_000)")
    add(running, {"type": "truncate", "afterBytes": 100_000}, match={"route": "/files/*"})
    got = running.send("GET", "python", f"/files/big/content?api-version={NEWEST}&identifier=alice")
    assert (got.status_code, len(got.content), got.headers["content-length"]) == (200, 100_000, "100000")
    running.reset()
    add(running, {"type": "truncate", "afterBytes": 5})
    add(running, {"type": "error", "status": 503})
    assert execute(running).content == b'{"err'


def test_a_body_that_is_shorter_than_the_cut_says_so(running: Emulator) -> None:
    add(running, {"type": "cut", "afterBytes": 1_000_000}, times=1)
    assert execute(running).status_code == 200
    assert counts(running) == {"seen": 1, "struck": 0, "missed": 1}
    (missed,) = events(running, "fault.missed")
    assert "cut did not happen: the answer had no more than 1000000 bytes" in missed["cause"]


def test_what_follows_an_error_is_missed(running: Emulator) -> None:
    add(running, {"type": "error", "status": 503}, times=1)
    add(running, {"type": "latency", "seconds": 0.01}, times=1)
    assert [execute(running).status_code for _ in range(2)] == [503, 200]
    (missed,) = events(running, "fault.missed")
    assert missed["cause"].endswith("latency did not happen: fault fault-1 had ended the request already")
    assert [rule["struck"] for rule in running.ask("GET", "/faults")["faults"]] == [1, 1]


# -- endings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 0.2])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_container_that_dies_under_its_request(running: Emulator, after: float, there_before: bool) -> None:
    if there_before:
        running.run("python", "alice", "x = 1")
    add(running, {"type": "kill", "after": after}, times=1)
    answer = execute(running, SLEEP)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "SessionContainerExited"
    assert "exited with code 137. " in answer.json()["error"]["message"]
    assert [one["cause"] for one in events(running, "session.crashed")] == [
        "container exited with code 137 (fault fault-1)"
    ]
    assert counts(running) == {"seen": 1, "struck": 1, "missed": 0}
    assert knows_nothing(running)


def test_out_of_memory(running: Emulator) -> None:
    add(running, {"type": "kill", "after": 0.1, "oom": True}, times=1)
    assert "because it ran out of memory" in execute(running, SLEEP).json()["error"]["message"]
    (crash,) = events(running, "session.crashed")
    assert (crash["detail"]["code"], crash["detail"]["oom"]) == (137, True)


@pytest.mark.parametrize("after", [0, 0.2])
def test_a_session_that_expires_under_its_request(running: Emulator, after: float) -> None:
    add(running, {"type": "expire", "after": after}, times=1)
    answer = execute(running, SLEEP)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "SessionContainerExited")
    (expired,) = events(running, "session.expired")
    assert expired["cause"] == "as if its cooldown were over (fault fault-1)"
    assert knows_nothing(running)


def test_an_ending_that_comes_too_late_says_so(running: Emulator) -> None:
    add(running, {"type": "kill", "after": 0.1}, times=1)
    assert execute(running).status_code == 200
    (session,) = running.ask("GET", "/sessions")["sessions"]
    running.ask("POST", f"/sessions/{session['guid']}/stop")
    eventually(lambda: events(running, "fault.missed", "fault.kill"), "an event of the fault")
    found = [one["cause"] for one in events(running, "fault.missed", "fault.kill")]
    assert found in (
        ["fault fault-1: kill did not happen: the session of 'alice' had ended before"],
        ["fault fault-1: the container was killed"],  # a slow machine
    )


def test_what_a_rule_had_yet_to_do_is_off_with_it(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    add(running, {"type": "kill", "after": 1}, times=1)
    assert execute(running).status_code == 200
    requests.delete(f"{running.admin}/faults", timeout=30)
    running.run("python", "alice", "import time; time.sleep(1.5)")
    assert not knows_nothing(running)
    assert events(running, "fault.kill", "fault.missed") == []


def test_a_request_without_a_session_is_not_counted_by_endings(running: Emulator) -> None:
    add(running, "kill")
    running.send("GET", "python", f"/listSessions?api-version={NEWEST}")
    running.send("POST", "python", EXECUTE + "x", json={"code": "1"})
    assert counts(running) == {"seen": 0, "struck": 0, "missed": 0}


@pytest.mark.parametrize("after", [0, 0.3])
def test_a_kernel_that_dies_under_its_code(running: Emulator, after: float) -> None:
    running.run("python", "alice", "x = 1; open('/mnt/data/kept', 'w').write('still here')")
    add(running, {"type": "kernelDeath", "after": after}, times=1)
    died = execute(running, SLEEP).json()
    assert died["status"] == "Failed"
    # To the letter what a kernel's own death is answered with, see the proxy's tests of endings.
    assert died["result"]["stderr"] == (
        "The kernel died: it was ended by signal 9 (SIGKILL). "
        "It was restarted: variables are gone, files are kept."
    )
    assert knows_nothing(running)
    assert running.value("python", "alice", "open('/mnt/data/kept').read()") == "still here"
    assert events(running, "session.crashed") == []
    assert len(events(running, "fault.kernelDeath")) == 1


def test_a_kernel_dies_with_requests_that_run_nothing_and_with_kernels_of_their_own(
    running: Emulator,
) -> None:
    running.run("python", "alice", "x = 1")
    add(running, "kernelDeath", times=1)
    files = f"/files?api-version={NEWEST}&identifier=alice"
    assert running.send("GET", "python", files).status_code == 200
    assert knows_nothing(running)
    running.run("python", "alice", "x = 1")
    add(running, "kernelDeath", times=1)
    alone = running.send("POST", "python", EXECUTE + "alice", json={"code": "1", "useEmptyKernel": True})
    assert "The kernel died" in alone.json()["result"]["stderr"]
    assert not knows_nothing(running)


def test_where_there_is_no_kernel_the_rule_is_refused_or_says_so(running: Emulator) -> None:
    said = refused(running, "kernelDeath", match={"pool": "SHELL"})
    assert "needs a kernel of the emulator's own, which Shell sessions do not have" in said
    add(running, "kernelDeath", times=1)
    answer = running.send("POST", "shell", EXECUTE + "alice", json={"shellCommand": "echo fine"})
    assert answer.json()["result"]["stdout"] == "fine\n"
    (missed,) = events(running, "fault.missed")
    assert "Shell sessions do not have" in missed["cause"]


def test_callers_cannot_reach_the_way_into_the_session(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    for path in ("/faults/kernelDeath", "/files/..%2Ffaults%2FkernelDeath", "/files/../faults/kernelDeath"):
        answer = running.send("POST", "python", f"{path}?when=now&api-version={NEWEST}&identifier=alice")
        assert answer.status_code in (400, 405)
    assert not knows_nothing(running)


@pytest.mark.parametrize(
    ("action", "kind", "cause"),
    [
        ("stop", "session.stopped", "stopped over the admin API"),
        ("expire", "session.expired", "as if its cooldown were over, by the admin API"),
        ("kill", "session.crashed", "container exited with code 137 (killed over the admin API)"),
    ],
)
def test_what_the_admin_api_does_to_a_session(running: Emulator, action: str, kind: str, cause: str) -> None:
    running.run("python", "alice", "x = 1")
    (session,) = running.ask("GET", "/sessions")["sessions"]
    running.ask("POST", f"/sessions/{session['guid']}/{action}")
    assert running.ask("GET", "/sessions")["sessions"] == []
    ends = events(running, "session.stopped", "session.expired", "session.crashed")
    assert [(one["kind"], one["cause"]) for one in ends] == [(kind, cause)]
    assert knows_nothing(running)


# -- mix-ups ---------------------------------------------------------------------------------------------


def journalled(running: Emulator) -> dict[str, Any]:
    """The newest request, as the journal and the HAR have it."""
    entry: dict[str, Any] = running.ask("GET", "/requests")["requests"][-1]
    har = running.ask("GET", "/requests.har")["log"]["entries"][-1]["_session"]
    assert (har["faults"], har.get("mixedUp")) == (entry["faults"], entry.get("mixedUp"))
    return entry


def test_a_mix_up_shows_a_neighbours_state_and_is_marked(running: Emulator) -> None:
    running.run("python", "alice", "secret = 'of alice'")
    running.run("python", "bobby", "pass")
    add(running, "mixUp", match={"identifier": "bobby"}, times=1)
    assert execute(running, "secret", "bobby").json()["result"]["executionResult"] == "of alice"
    entry = journalled(running)
    (marked,) = events(running, "fault.mixUp")
    assert (marked["identifier"], marked["session"]) == ("bobby", entry["session"])
    assert "'bobby' is served by the session of 'alice'" in marked["cause"]
    assert (entry["identifier"], entry["faults"]) == ("bobby", ["fault-1"])
    assert entry["mixedUp"] == {"what": "session", "identifier": "alice", "session": entry["session"]}
    assert execute(running, "secret", "bobby").json()["status"] == "Failed"


def test_files_alone_are_mixed_up(running: Emulator) -> None:
    for name in ("alice", "bobby", "carol"):
        running.run("python", name, f"open('/mnt/data/whose', 'w').write('{name}')")
    add(running, {"type": "mixUp", "what": "files", "with": "carol"}, match={"identifier": "alice"})
    got = running.send("GET", "python", f"/files/whose/content?api-version={NEWEST}&identifier=alice")
    assert got.text == "carol"
    assert journalled(running)["mixedUp"]["what"] == "files"
    assert running.value("python", "alice", "open('/mnt/data/whose').read()") == "alice"
    assert counts(running) == {"seen": 1, "struck": 1, "missed": 0}


def test_answers_alone_are_mixed_up(running: Emulator) -> None:
    running.run("python", "alice", "'of alice'")
    add(running, {"type": "mixUp", "what": "answers"}, match={"identifier": "bobby"}, times=1)
    answer = execute(running, "x = 'of bobby'; x", "bobby").json()
    assert (answer["identifier"], answer["result"]["executionResult"]) == ("alice", "of alice")
    assert journalled(running)["mixedUp"]["identifier"] == "alice"
    assert running.value("python", "bobby", "x") == "of bobby"  # it ran where it should


def test_answers_of_commands_are_mixed_up(running: Emulator) -> None:
    for name in ("alice", "bobby"):
        if name == "bobby":
            add(running, {"type": "mixUp", "what": "answers"}, times=1)
        body = {"shellCommand": f"echo {name}"}
        answer = running.send("POST", "shell", EXECUTE + name, json=body)
    assert answer.json()["result"]["stdout"] == "alice\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "no other identifier has a session in pool python"),
        ({"with": "carol"}, "'carol' has no session in pool python"),
        ({"with": "alice"}, "there is nothing to mix: the request is of 'alice' itself"),
        ({"what": "answers"}, "no other identifier has a session in pool python"),
    ],
)
def test_with_nobody_to_mix_with_nothing_is_silent(
    running: Emulator, options: dict[str, str], why: str
) -> None:
    add(running, {"type": "mixUp", **options}, times=1)
    assert execute(running).json()["identifier"] == "alice"
    (missed,) = events(running, "fault.missed")
    assert missed["cause"] == f"fault fault-1: mixUp did not happen: {why}"
    assert counts(running) == {"seen": 1, "struck": 0, "missed": 1}


def test_a_mix_up_reaches_requests_that_name_their_session_in_the_body(running: Emulator) -> None:
    running.run("python", "alice", "secret = 'of alice'")
    add(running, "mixUp", times=1)
    body = {"properties": {"identifier": "bobby", "codeInputType": "inline", "pythonCode": "secret"}}
    answer = running.send("POST", "python", "/python/execute", json=body)
    assert answer.json()["result"] == "of alice"


# -- time, and what is never touched ---------------------------------------------------------------------


def test_a_clock_jump_ends_idle_sessions(running: Emulator) -> None:
    running.run("python", "alice", "x = 1")
    add(running, {"type": "clock", "seconds": 400}, times=1)
    assert execute(running, "'x' in globals()").json()["result"]["executionResult"] is False


def test_only_the_data_plane_is_ever_faulted(running: Emulator) -> None:
    for effect in ({"type": "error", "status": 500}, "cut", {"type": "truncate", "afterBytes": 0}):
        add(running, effect)
    assert running.ask("GET", "/alive") == {"status": "alive"}
    assert requests.get(f"{running.admin}/token", timeout=30).status_code == 200
    secret = {"X-IDENTITY-HEADER": str(running.ready["identityHeader"])}
    resource = "api-version=2019-08-01&resource=https://management.azure.com"
    token = requests.get(f"{running.ready['identityEndpoint']}?{resource}", headers=secret, timeout=30)
    pools = requests.get(
        f"{running.http}/subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.App/sessionPools"
        "?api-version=2025-07-01",
        headers={"Authorization": f"Bearer {token.json()['access_token']}"},
        timeout=30,
    )
    assert {one["name"] for one in pools.json()["value"]} == {"python", "shell"}
    keys = requests.get(f"{running.http}/common/discovery/instance", timeout=30)
    assert keys.status_code in (200, 400)
    assert [rule["seen"] for rule in running.ask("GET", "/faults")["faults"]] == [0, 0, 0]
    with pytest.raises(requests.ConnectionError):
        add(running, "cut", id="first") and requests.delete(f"{running.admin}/faults/fault-1", timeout=30)
        execute(running)


# -- rules of pool files and of the command line ---------------------------------------------------------


def declaring(*rules: Any, name: str = "brittle") -> dict[str, Any]:
    return pool(name, "PythonLTS", max_sessions=2, ready=0, emulator={"faults": list(rules)})


def test_a_pool_files_faults_hold_from_the_start_and_after_a_reset(tmp_path: Path) -> None:
    broken = {"effect": {"type": "error", "code": "SessionAllocationFailed"}, "times": 1, "id": "first"}
    pools = [declaring(broken), pool("python", "PythonLTS", ready=0)]
    with emulator(tmp_path, "--runtime", "process", pools=pools) as started:

        def statuses(name: str) -> list[int]:
            sent = [started.send("POST", name, EXECUTE + "alice", json={"code": "1"}) for _ in range(2)]
            return [answer.status_code for answer in sent]

        assert statuses("python") == [200, 200]
        assert statuses("brittle") == [500, 200]
        (rule,) = started.ask("GET", "/faults")["faults"]
        assert (rule["id"], rule["origin"], rule["struck"]) == ("first", "pool brittle", 1)
        add(started, "cut", match={"pool": "nobody"})
        started.reset()
        assert [one["id"] for one in started.ask("GET", "/faults")["faults"]] == ["first"]
        assert statuses("brittle") == [500, 200]
        requests.delete(f"{started.admin}/faults", timeout=30)
        assert started.ask("GET", "/faults")["faults"] == []


def test_pools_of_the_control_plane_bring_their_faults_and_take_them_along(running: Emulator) -> None:
    url = f"{running.http}{running.ready['pools']['python']['endpoint'].removeprefix(running.http)}"
    url = url.replace("/sessionPools/python", "/providers/Microsoft.App/sessionPools/brittle")
    url += "?api-version=2025-07-01"
    token = running.new_token(audience="https://management.azure.com")
    headers = {"Authorization": f"Bearer {token}"}

    def put(*rules: Any) -> requests.Response:
        document = declaring(*rules)
        document["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = 5
        return requests.put(url, json=document, headers=headers, timeout=60)

    def there() -> list[str]:
        return [rule["effect"]["type"] for rule in running.ask("GET", "/faults")["faults"]]

    wrong = put({"effect": "cut", "match": {"nth": 0}})
    assert (wrong.status_code, wrong.json()["error"]["target"]) == (400, "x-emulator.faults[0].match.nth")
    assert put({"effect": "cut"}).status_code < 300
    assert there() == ["cut"]
    assert (
        put({"effect": "clock", "match": {}} | {"effect": {"type": "clock", "seconds": 1}}).status_code < 300
    )
    assert there() == ["clock"]
    assert requests.delete(url, headers=headers, timeout=60).status_code in (200, 202, 204)
    eventually(lambda: there() == [], "the rules of the deleted pool are gone")


def test_the_command_line_adds_lists_and_clears(running: Emulator) -> None:
    def fault(*words: str) -> subprocess.CompletedProcess[str]:
        verb = [sys.executable, "-m", "emulator", "fault", *words, "--endpoint", running.http]
        return subprocess.run(verb, check=False, capture_output=True, text=True, timeout=60)

    pairs = ["--option", "code=503", "--option", "status=503", "--match", "identifier=1234"]
    added = fault("add", "error", *pairs, "--match", "every=2", "--times", "3", "--id", "mine")
    assert added.returncode == 0, added.stderr
    (rule,) = json.loads(fault("list").stdout)["faults"]
    assert (rule["id"], rule["times"]) == ("mine", 3)
    assert rule["effect"] == {"type": "error", "code": "503", "status": 503}
    assert rule["match"] == {"identifier": "1234", "every": 2}
    wrong = fault("add", "latency", "--option", "mean=2", "--option", "distribution=normal")
    assert wrong.returncode != 0
    assert "effect.deviation is missing; a normal length needs mean and deviation" in wrong.stderr
    assert fault("clear", "mine").returncode == 0
    assert running.ask("GET", "/faults")["faults"] == []
    gone = fault("clear", "mine")
    assert gone.returncode != 0
    assert "There is no fault mine" in gone.stderr


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
