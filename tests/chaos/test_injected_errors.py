"""Every error of the data plane, injected by its code, looks like the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from emulator.http.injected import contract_errors
from tests.harness import NEWEST, Emulator, emulator, pool


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", ready=0)]
    with emulator(tmp_path_factory.mktemp("errors"), "--runtime", "process", pools=pools) as started:
        yield started


def injected(running: Emulator, **effect: Any) -> requests.Response:
    """The answer to one request that meets the error, in a pool that needs to start nothing for it."""
    rule = {"effect": {"type": "error", **effect}, "times": 1, "id": "mine"}
    requests.delete(f"{running.admin}/faults", timeout=30)
    assert requests.post(f"{running.admin}/faults", json=rule, timeout=30).status_code == 201
    path = f"/executions?api-version={NEWEST}&identifier=alice"
    return running.send("POST", "python", path, json={"code": "1"})


@pytest.mark.parametrize("kind", list(contract_errors()), ids=lambda kind: kind.__name__)
def test_every_contract_error_looks_like_the_real_one(running: Emulator, kind: Any) -> None:
    answer = injected(running, code=kind.code, message="on purpose")
    assert answer.status_code == kind.status
    assert answer.headers["x-emulator-reason"] == "fault mine"
    shape = kind.shape.value
    if kind.code == "SessionsCountExceedsLimit":
        shape = "flat"  # a built-in pool's is not nested
    if shape == "empty":
        assert (answer.content, "x-ms-error-code" in answer.headers) == (b"", False)
    elif shape == "problem":
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"] == {"$": ["on purpose"]}
    else:
        body = answer.json() if shape == "flat" else answer.json()["error"]
        assert (body["code"], body["message"]) == (kind.code, "on purpose")
        assert answer.headers["x-ms-error-code"] == kind.code


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_status_alone_is_the_contracts_error_of_it(running: Emulator, status: int) -> None:
    answer = injected(running, status=status)
    assert answer.status_code == status
    assert (answer.content == b"") == (status in (401, 403))
    assert answer.headers["x-emulator-reason"] == "fault mine"


def test_times_and_turns_are_exact_for_requests_at_the_same_time(running: Emulator) -> None:
    requests.delete(f"{running.admin}/faults", timeout=30)
    rule = {"effect": {"type": "error", "status": 503}, "match": {"every": 2}, "times": 7}
    assert requests.post(f"{running.admin}/faults", json=rule, timeout=30).status_code == 201
    path = f"/listSessions?api-version={NEWEST}"
    with ThreadPoolExecutor(8) as callers:
        sent = [callers.submit(running.send, "GET", "python", path) for _ in range(40)]
        statuses = Counter(one.result().status_code for one in sent)
    assert statuses == {200: 33, 503: 7}
    (told,) = running.ask("GET", "/faults")["faults"]
    assert (told["seen"], told["struck"]) == (40, 7)
