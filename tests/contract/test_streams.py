"""What passes through is not held: large files, large outputs, and callers that hang up half-way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from emulator.conformance.row import NEWEST, Send
from emulator.conformance.rows.parts import LABEL, form, large, part
from emulator.conformance.runner import Pool
from tests.harness import Emulator

MB = 1024 * 1024
ROOM = 48 * MB
RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.engine)]
QUERY = f"api-version={NEWEST}&identifier="


def _memory(process: int, name: str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


class Growth:
    """The most memory a process held since this was made, over what it held then; in bytes."""

    def __init__(self, process: int) -> None:
        self._process = process
        Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")  # starts a new high-water mark
        self._before = _memory(process, "VmRSS")

    def bytes(self) -> int:
        return _memory(self._process, "VmHWM") - self._before


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_large_files_do_not_grow_the_emulator(
    runtime: str, running: Callable[[str], Emulator], pool_of: Callable[[str, str], Pool]
) -> None:
    pool, growth = pool_of(runtime, "python"), Growth(running(runtime).process.pid)
    body = large(128 * MB, chunked=False)
    send = Send("POST", "/files", identifier="large-files", body=body, headers={"Content-Type": LABEL})
    assert pool.make(send, {})[1].status == 200
    _, answer = pool.make(Send("GET", "/files/large.bin/content", identifier="large-files"), {})
    assert len(answer.raw) == 128 * MB
    assert growth.bytes() < ROOM


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_large_output_does_not_grow_the_emulator(runtime: str, running: Callable[[str], Emulator]) -> None:
    emulator = running(runtime)
    growth = Growth(emulator.process.pid)
    answer = emulator.send(
        "POST",
        "python",
        f"/executions?{QUERY}large-output",
        json={"code": "for _ in range(100): print('x' * (1 << 20), end='')"},
    )
    assert answer.json()["status"] == "Succeeded", answer.text[:500]
    assert answer.json()["result"]["stdout"] == "x" * 4096
    assert answer.headers["x-emulator-output-truncated"] == f"stdout={100 * MB}"
    assert growth.bytes() < ROOM


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_upload_cut_half_way_leaves_nothing(
    runtime: str, chunked: bool, running: Callable[[str], Emulator]
) -> None:
    emulator = running(runtime)
    identifier = f"cut-{'chunked' if chunked else 'length'}"
    listing = f"/files?{QUERY}{identifier}"
    assert emulator.send("GET", "python", listing).json()["value"] == []
    parts = urlsplit(emulator.endpoint("python"))
    whole = form(part(b"x" * MB, name="half.bin"))
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(whole)}"
    head = (
        f"POST {parts.path}{listing} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {LABEL}\r\n"
        f"Authorization: Bearer {emulator.token}\r\n{length}\r\n\r\n"
    )
    half = whole[: MB // 2]
    with socket.create_connection((parts.hostname, parts.port), 30) as connection:
        connection.sendall(head.encode() + (b"%x\r\n%b\r\n" % (len(half), half) if chunked else half))
        _wait(lambda: _in_flight(emulator, identifier) == 1, "the upload is seen")
    _wait(lambda: _in_flight(emulator, identifier) == 0, "the upload is given up")
    assert emulator.send("GET", "python", listing).json()["value"] == []
    assert emulator.value("python", identifier, "import os; os.listdir('/mnt/data')") == []


def _in_flight(emulator: Emulator, identifier: str) -> int:
    found = emulator.ask("GET", "/sessions")["sessions"]
    return next(int(one["inFlight"]) for one in found if one["identifier"] == identifier)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"in 30 s it did not come about that {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_caller_that_goes_away_does_not_stop_the_run(
    runtime: str, running: Callable[[str], Emulator]
) -> None:
    emulator = running(runtime)
    identifier = "went-away"
    emulator.value("python", identifier, "done = False")
    parts = urlsplit(emulator.endpoint("python"))
    body = b'{"code": "import time; time.sleep(1); done = True"}'
    head = (
        f"POST {parts.path}/executions?{QUERY}{identifier} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {emulator.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), 30) as connection:
        connection.sendall(head.encode() + body)
        _wait(lambda: _in_flight(emulator, identifier) == 1, "the run has begun")
    assert emulator.value("python", identifier, "done") is True
    _wait(lambda: _in_flight(emulator, identifier) == 0, "nothing is in flight")
