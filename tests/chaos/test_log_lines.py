"""The log of a running emulator as machines read it: whose line it is, and no secret in any."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.harness import NEWEST, Emulator, emulator, pool

EXECUTE = f"/executions?api-version={NEWEST}&identifier="
SECRETS = {"admin": "the-admin-key-1", "header": "the-identity-header-1", "client": "the-client-secret-1"}
WRONG = "wrong-and-yet-somebodys"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", max_sessions=10, ready=0)]
    principal = {"oid": "o" * 8, "name": "p", "clientId": "c" * 8, "clientSecret": SECRETS["client"]}
    flags = ["--runtime", "process", "--log-format", "json", "--log-level", "debug"]
    flags += ["--admin-key", SECRETS["admin"], "--identity-header", SECRETS["header"]]
    flags += ["--principals", json.dumps([principal])]
    with emulator(tmp_path_factory.mktemp("log"), *flags, pools=pools) as started:
        yield started


def lines(running: Emulator) -> list[dict[str, Any]]:
    """Lines of the log; what `up` prints for people is before and beside them."""
    return [json.loads(line) for line in running.text().splitlines() if line.startswith("{")]


def eventually(look: Callable[[], Any], saying: str) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within 30 s: {saying}"
        time.sleep(0.05)
    return found


def test_each_line_of_a_request_names_it_also_when_many_are_served_at_once(running: Emulator) -> None:
    def run(number: int) -> tuple[str, str]:
        trace, identifier = f"{number + 1:032x}", f"user-{number % 8}"
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "operation-id": f"operation-{number}"}
        answer = running.send("POST", "python", EXECUTE + identifier, json={"code": "1"}, headers=headers)
        assert answer.status_code == 200
        return trace, identifier

    with ThreadPoolExecutor(12) as threads:
        sent = dict(threads.map(run, range(48)))

    def all_finished() -> bool:
        return len([line for line in lines(running) if line.get("trace") in sent and "request" in line]) == 48

    eventually(all_finished, "every request has its line")
    found = [line for line in lines(running) if line.get("trace") in sent]
    assert {line["trace"] for line in found} == set(sent)
    for line in found:
        assert line["identifier"] == sent[line["trace"]], line
        if "operation" in line:
            assert line["operation"] == f"operation-{int(line['trace'], 16) - 1}"
    finished = [line for line in found if "request" in line]
    assert len(finished) == 48
    for line in finished:
        assert {"pool", "identifier", "session", "operation", "trace"} <= line.keys()
        assert (line["request"]["status"], line["request"]["method"]) == (200, "POST")
        assert line["level"] == "info"


def test_a_refused_request_is_one_line_with_its_true_reason(running: Emulator) -> None:
    token = running.new_token(invalid="expired")
    headers = {"Authorization": f"Bearer {token}"}
    answer = running.send("POST", "python", EXECUTE + "refused", json={"code": "1"}, headers=headers)
    trace = answer.headers["x-emulator-trace-id"]

    def finished() -> list[dict[str, Any]]:  # the line is written when the answer is on its way
        return [one for one in lines(running) if one.get("trace") == trace and "request" in one]

    (line,) = eventually(finished, "the request has its line")
    assert "token expired" in line["request"]["reason"]
    assert line["request"]["status"] == 401


def test_nobody_writes_a_line_into_it(running: Emulator) -> None:
    forged = '{"level": "info", "message": "forged", "request": {}}'
    path = f"/%0a{forged}%0d%0a{forged}?identifier=%0a{forged}"
    running.send("GET", "python", path, headers={"operation-id": forged})
    requests.get(f"{running.http}/%0a{forged}", timeout=30)
    assert not [line for line in lines(running) if line["message"] == "forged"]
    assert all(json.loads(line) for line in running.text().splitlines() if line.startswith('{"'))


def test_no_secret_is_in_any_line(running: Emulator, tmp_path: Path) -> None:
    good = running.token
    bad = running.new_token(invalid="signature")
    for token in (good, bad, f"eyJ{WRONG}.eyJ{WRONG}.{WRONG}", WRONG):
        headers = {"Authorization": f"Bearer {token}", "x-ms-apikey": WRONG, "cookie": WRONG}
        for path in (f"/executions?access_token={token}&sig={WRONG}&identifier=alice", "/mcp", "/nowhere"):
            running.send("POST", "python", path, json={"code": WRONG, "token": token}, headers=headers)
    requests.get(
        f"{running.http}/msi/token?resource=https://dynamicsessions.io&api-version=2019-08-01",
        headers={"x-identity-header": SECRETS["header"]},
        timeout=30,
    )
    for secret in (SECRETS["client"], WRONG):
        form = {"client_id": "c" * 8, "client_secret": secret, "grant_type": "client_credentials"}
        form["scope"] = "https://dynamicsessions.io/.default"
        requests.post(f"{running.http}/tenant/oauth2/v2.0/token", data=form, timeout=30)
    for key in (SECRETS["admin"], WRONG):
        headers = {"x-emulator-admin-key": key, "Origin": "https://elsewhere.example"}
        requests.get(f"{running.admin}/token", headers=headers, timeout=30)
    text = running.text()
    for secret in (*SECRETS.values(), WRONG, good, bad, bad.rpartition(".")[2]):
        assert secret not in text
    assert len(lines(running)) > 10
    journal = requests.get(f"{running.admin}/requests", timeout=30).json()["requests"]
    for entry in journal:
        del entry["requestBody"]  # the code that was sent is what it is
    shown = json.dumps([journal, requests.get(f"{running.admin}/events", timeout=30).json()])
    for secret in (*SECRETS.values(), good, bad):
        assert secret not in shown


def test_a_caller_that_leaves_before_its_request_is_whole_is_no_bug(running: Emulator) -> None:
    url = urlsplit(running.endpoint("python"))
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=30) as caller:
        head = f"POST {url.path}{EXECUTE}leaver HTTP/1.1\r\nHost: localhost\r\n"
        caller.sendall(f"{head}Authorization: Bearer {running.token}\r\n".encode())
        caller.sendall(b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"code":')
        time.sleep(0.2)  # so that it is being read by then
    eventually(lambda: "the caller went away before all of its request was there" in running.text(), "a line")
    assert "Traceback" not in running.text()
