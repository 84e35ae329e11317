"""What passes between a caller and a custom container: everything, untouched, as it is sent."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.docker.engine import Lab, eventually
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
MIB = 1024 * 1024
BIG = 1024 * MIB


def container(image: str, **options: Any) -> dict[str, Any]:
    """A template around one container, port 8080."""
    return {"containers": [{"name": "main", "image": image, **options}], "ingress": {"targetPort": 8080}}


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [
        pool("echo", "CustomContainer", template=container(echo_image), max_sessions=30),
        pool(
            "trusting",
            "CustomContainer",
            template=container(echo_image),
            emulator={"forwardAuthorization": True},
        ),
    ]
    with lab.emulator(tmp_path_factory.mktemp("echo"), pools=pools) as started:
        yield started


def seen(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_with_a_body(emulator: Emulator, method: str) -> None:
    found = seen(
        emulator.send(method, "echo", "/things?identifier=methods", data=b"body of " + method.encode())
    )
    assert (found["method"], found["length"]) == (method, 8 + len(method))


def test_head_has_no_body(emulator: Emulator) -> None:
    answer = emulator.send("HEAD", "echo", "/things?identifier=methods")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "target",
    [
        "/?identifier=paths",
        "/a/b/?identifier=paths",
        "/a%2Fb/%E2%82%AC%20c?identifier=paths&q=%2B+%26&empty=&flag",
        "/dots/%2e%2e/x;v=1?identifier=paths&identifier=second",
        "/executions?api-version=2025-10-02-preview&identifier=paths",
        "/session?identifier=paths",
        "/python/execute?identifier=paths&a[]=1&b=%7B%7D",
    ],
)
def test_path_and_query_arrive_as_sent(emulator: Emulator, target: str) -> None:
    where = urlsplit(emulator.endpoint("echo"))
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    headers = {"Authorization": f"Bearer {emulator.token}"}
    connection.request("GET", where.path + target, headers=headers)
    answer = connection.getresponse()
    assert json.loads(answer.read())["target"] == target
    connection.close()


def sent_headers(found: dict[str, Any]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in found["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def test_headers_of_the_message_pass_and_those_of_the_hop_do_not(emulator: Emulator) -> None:
    answer = emulator.send(
        "POST",
        "echo",
        "/h?identifier=headers",
        data=b"{}",
        headers={
            "Connection": "keep-alive, X-Hop",
            "X-Hop": "1",
            "TE": "trailers",
            "Keep-Alive": "timeout=5",
            "Proxy-Authorization": "Basic eA==",
            "X-Custom": "café".encode(),
            "Cookie": "a=1; b=2",
            "Content-Type": "application/x-special; v=1",
            "Accept-Encoding": "identity",
            "X-Forwarded-For": "192.0.2.1",
        },
    )
    headers = sent_headers(seen(answer))
    for absent in ("x-hop", "te", "keep-alive", "proxy-authorization", "authorization", "expect"):
        assert absent not in headers, headers
    assert headers["x-custom"][0].encode("latin-1").decode() == "café"
    assert headers["cookie"] == ["a=1; b=2"]
    assert headers["content-type"] == ["application/x-special; v=1"]
    assert headers["content-length"] == ["2"]
    assert headers["accept-encoding"] == ["identity"]
    assert headers["host"] == [urlsplit(emulator.http).netloc]
    assert headers["x-forwarded-for"] == ["192.0.2.1, 127.0.0.1"]
    assert headers["x-forwarded-proto"] == ["http"]
    assert headers["x-forwarded-host"] == headers["host"]


def test_the_token_passes_only_where_the_pool_says_so(emulator: Emulator) -> None:
    bare = sent_headers(seen(emulator.send("GET", "echo", "/?identifier=tokens")))
    assert "authorization" not in bare
    assert bare["x-forwarded-for"] == ["127.0.0.1"]
    trusting = sent_headers(seen(emulator.send("GET", "trusting", "/?identifier=tokens")))
    assert trusting["authorization"] == [f"Bearer {emulator.token}"]


def test_headers_of_the_answer(emulator: Emulator) -> None:
    answer = emulator.send("GET", "echo", "/hop?identifier=headers")
    assert answer.headers["x-public"] == "yes"
    assert "x-private" not in answer.headers
    assert answer.headers.get("keep-alive") != "timeout=3"
    assert answer.raw.headers.getlist("set-cookie") == ["one=1", "two=2"]


def test_a_chunked_body_and_trailers(emulator: Emulator) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    found = seen(emulator.send("POST", "echo", "/?identifier=chunks", data=pieces()))
    assert (found["length"], found["sha256"]) == (6, hashlib.sha256(b"onetwo").hexdigest())
    answer = emulator.send("GET", "echo", "/trailers?identifier=chunks")
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert "x-sum" not in answer.headers


def test_expect_100_continue(emulator: Emulator) -> None:
    where = urlsplit(emulator.endpoint("echo"))
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as sock:
        lines = [
            f"POST {where.path}/?identifier=expects HTTP/1.1",
            f"Host: {where.netloc}",
            "Expect: 100-continue",
        ]
        lines += [f"Authorization: Bearer {emulator.token}", "Content-Length: 5", "Connection: close", "", ""]
        sock.sendall("\r\n".join(lines).encode())
        interim = sock.recv(4096)
        assert interim.startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"hello")
        rest = b"".join(iter(lambda: sock.recv(65_536), b""))
    answer = (interim + rest).split(b"\r\n\r\n", 1)[1]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"length": 5' in answer


def test_events_arrive_as_they_are_sent(emulator: Emulator) -> None:
    """Event n is only sent once the gate of n was opened, and n+1 is opened only after n was read."""
    emulator.send("POST", "echo", "/gate?identifier=events&number=0")
    answer = emulator.send("GET", "echo", "/events?identifier=events&count=5", stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    lines = answer.iter_lines(chunk_size=1)
    for number in range(5):
        assert next(lines) == f"data: {number}".encode()
        assert next(lines) == b""
        emulator.send("POST", "echo", f"/gate?identifier=events&number={number + 1}")
    assert list(lines) == []


def memory(emulator: Emulator) -> dict[str, int]:
    """Resident memory of the emulator's process in bytes: now and at its highest."""
    text = Path(f"/proc/{emulator.process.pid}/status").read_text(encoding="utf-8")
    return {
        name: int(amount) * 1024
        for name, amount in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", text, re.MULTILINE)
    }


def test_a_big_body_passes_both_ways_without_being_kept(emulator: Emulator, record_property: Any) -> None:
    emulator.send("GET", "echo", "/?identifier=bodies")
    before = memory(emulator)["VmHWM"]
    block = os.urandom(MIB)
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for _ in range(BIG // MIB):
            digest.update(block)
            yield block

    found = seen(emulator.send("PUT", "echo", "/up?identifier=bodies", data=pieces()))
    assert (found["length"], found["sha256"]) == (BIG, digest.hexdigest())
    total = 0
    answer = emulator.send("GET", "echo", f"/source?identifier=bodies&bytes={BIG}", stream=True)
    for chunk in answer.iter_content(MIB):
        total += len(chunk)
    assert total == BIG
    grown = memory(emulator)["VmHWM"] - before
    record_property("emulator_memory_before", before)
    record_property("emulator_memory_grown", grown)
    print(f"{BIG // MIB} MiB up and down: {before // MIB} MiB before, at most {grown // MIB} MiB more")
    assert grown < BIG // 8


def test_a_reader_that_waits_holds_the_container_back(emulator: Emulator) -> None:
    """Nobody reads, so nothing may pile up in the emulator; then everything comes."""
    before = memory(emulator)["VmHWM"]
    answer = emulator.send("GET", "echo", f"/source?identifier=slow-reader&bytes={BIG // 2}", stream=True)
    for _ in range(20):  # other requests pass meanwhile
        seen(emulator.send("GET", "echo", "/?identifier=bodies"))
    assert memory(emulator)["VmHWM"] - before < BIG // 8
    assert sum(len(chunk) for chunk in answer.iter_content(MIB)) == BIG // 2


def test_an_answer_given_before_the_body_was_read(emulator: Emulator) -> None:
    answer = emulator.send("PUT", "echo", "/early?identifier=early", data=b"x" * 1000)
    assert answer.status_code == 413
    assert answer.json() == {"refused": True}


def test_a_caller_that_hangs_up_frees_its_session(emulator: Emulator) -> None:
    seen(emulator.send("GET", "echo", "/?identifier=hangs-up"))

    def session() -> dict[str, Any]:
        found = emulator.ask("GET", "/sessions")["sessions"]
        return next(one for one in found if one["identifier"] == "hangs-up")

    answer = emulator.send("GET", "echo", "/events?identifier=hangs-up", stream=True)
    assert session()["inFlight"] == 1
    answer.close()
    eventually(lambda: session()["inFlight"] == 0, "the request of a caller that is gone has ended")


def test_many_at_once_are_not_mixed_up(emulator: Emulator) -> None:
    def ask(number: int) -> list[str]:
        wrong = []
        for turn in range(10):
            body = f"{number}-{turn}".encode()
            path = f"/{number}/{turn}?identifier=crowd-{number % 3}"
            found = seen(emulator.send("POST", "echo", path, data=body))
            if found["target"] != path or found["sha256"] != hashlib.sha256(body).hexdigest():
                wrong.append(path)
        return wrong

    with ThreadPoolExecutor(12) as crowd:
        assert list(crowd.map(ask, range(12))) == [[]] * 12
