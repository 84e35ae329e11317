"""WebSockets of custom containers: handshake, messages, endings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.docker.engine import Lab, eventually
from tests.docker.test_custom_http import container
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [
        pool("echo", "CustomContainer", template=container(echo_image), max_sessions=2),
        pool("python", "PythonLTS", ready=0),
    ]
    with lab.emulator(tmp_path_factory.mktemp("websocket"), pools=pools) as started:
        yield started


def joined(
    emulator: Emulator, path: str, *, name: str = "echo", token: bool = True, **options: Any
) -> ClientConnection:
    url = emulator.endpoint(name).replace("http://", "ws://") + path
    headers = {"Authorization": f"Bearer {emulator.token}"} if token else {}
    socket: ClientConnection = connect(url, additional_headers=headers, open_timeout=60, **options)
    return socket


def test_text_bytes_and_a_subprotocol(emulator: Emulator) -> None:
    with joined(emulator, "/ws?identifier=sockets", subprotocols=["one", "two"]) as socket:
        assert socket.subprotocol == "two"
        for message in ("hello", "grüße ✓", b"\x00\xff", "x" * 60_000):
            socket.send(message)
            assert socket.recv(timeout=60) == message


def test_the_containers_close_reaches_the_caller(emulator: Emulator) -> None:
    with joined(emulator, "/ws?identifier=sockets") as socket:
        socket.send("close yourself")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_a_session_is_held_while_a_socket_is_open(emulator: Emulator) -> None:
    def in_flight() -> int:
        found = emulator.ask("GET", "/sessions")["sessions"]
        return sum(one["inFlight"] for one in found if one["identifier"] == "sockets")

    with joined(emulator, "/ws?identifier=sockets") as socket:
        assert in_flight() == 1
        emulator.advance(3600)
        socket.send("still there")
        assert socket.recv(timeout=60) == "still there"
    eventually(lambda: in_flight() == 0, "the session is free after the caller has closed")


def test_a_container_that_dies_closes_the_socket(emulator: Emulator) -> None:
    with joined(emulator, "/ws?identifier=dying") as socket:
        emulator.send("GET", "echo", "/exit?identifier=dying")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=60)


@pytest.mark.parametrize(
    ("path", "name", "token", "status"),
    [
        ("/ws?identifier=sockets&refuse=1", "echo", True, 403),
        ("/plain?identifier=sockets", "echo", True, 200),
        ("/ws?identifier=sockets", "echo", False, 401),
        ("/ws", "echo", True, 400),
        ("/ws?identifier=sockets", "python", True, 404),
    ],
)
def test_refusals_keep_their_status(
    emulator: Emulator, path: str, name: str, token: bool, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        joined(emulator, path, name=name, token=token).close()
    assert refusal.value.response.status_code == status


def test_a_full_pool_refuses_the_handshake(emulator: Emulator) -> None:
    emulator.reset()
    for identifier in ("first", "second"):
        emulator.send("GET", "echo", f"/?identifier={identifier}")
    with pytest.raises(InvalidStatus) as refusal:
        joined(emulator, "/ws?identifier=third").close()
    assert refusal.value.response.status_code == 429
