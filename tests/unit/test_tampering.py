"""Answers that break off: what reaches the caller, message by message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from emulator.http.tampering import TRANSPORT, ConnectionCut, Cutting, Truncating


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Caller:
    """What a caller gets, and what the fault was told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.struck: list[bool] = []
        self.transport = Transport()
        self.scope: dict[str, Any] = {"state": {TRANSPORT: self.transport}}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(one.get("body", b"") for one in self.messages)


def told(send: Any, *messages: Message) -> None:
    async def tell() -> None:
        for message in messages:
            await send(message)

    asyncio.run(tell())


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_truncation_says_the_length_that_is_left() -> None:
    caller = Caller()
    send = Truncating(caller.send, 3, caller.struck.append)
    head = start((b"Content-Length", b"9"), (b"etag", b"x"))
    told(send, head, body(b"ab", more=True), body(b"cdef", more=True), body(b"ghi"))
    assert caller.messages[0]["headers"] == [(b"Content-Length", b"3"), (b"etag", b"x")]
    assert caller.body == b"abc"
    assert [one["more_body"] for one in caller.messages[1:]] == [True, False]
    assert caller.struck == [True]


@pytest.mark.parametrize(("after", "struck"), [(0, True), (5, True), (6, False), (7, False)])
def test_a_body_that_is_short_enough_stays_whole(after: int, struck: bool) -> None:
    caller = Caller()
    send = Truncating(caller.send, after, caller.struck.append)
    told(send, start(), body(b"abcdef", more=True), body(b""))
    assert caller.body == b"abcdef"[:after]
    assert caller.messages[-1]["more_body"] is False
    assert caller.struck == [struck]


def test_a_cut_within_the_body() -> None:
    caller = Caller()
    send = Cutting(caller.send, caller.scope, 3, caller.struck.append)
    with pytest.raises(ConnectionCut):
        told(send, start(), body(b"ab", more=True), body(b"cdef"))
    assert (caller.body, caller.transport.aborted, caller.struck) == (b"abc", True, [True])
    assert all(one["more_body"] for one in caller.messages[1:])


def test_a_body_that_ends_before_the_cut() -> None:
    caller = Caller()
    send = Cutting(caller.send, caller.scope, 3, caller.struck.append)
    told(send, start(), body(b"abc"))
    assert (caller.body, caller.transport.aborted, caller.struck) == (b"abc", False, [False])


def test_a_websocket_is_cut_before_the_message_that_is_too_much() -> None:
    caller = Caller()
    send = Cutting(caller.send, caller.scope, 5, caller.struck.append)
    messages = [{"type": "websocket.send", "text": "häh"}, {"type": "websocket.send", "bytes": b"xx"}]
    with pytest.raises(ConnectionCut):
        told(send, {"type": "websocket.accept"}, *messages)
    assert [one["type"] for one in caller.messages] == ["websocket.accept", "websocket.send"]
    assert caller.transport.aborted
