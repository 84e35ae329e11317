"""Answers that break off: the connection is cut, or the body ends early in a message that is whole."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Message, Scope, Send

TRANSPORT = "emulator.transport"
"""Where the server puts the connection's transport into the scope's state, so that a fault can cut it."""
SEND = "emulator.send"
"""Scope key of the `send` through which also an error's answer goes, once a fault has put itself there."""


class ConnectionCut(Exception):
    """The connection was closed on purpose; there is nobody left to answer."""


def cut(scope: Scope) -> None:
    """Break the caller's connection without a further byte."""
    transport = scope.get("state", {}).get(TRANSPORT)
    if transport is not None:
        transport.abort()


class Cutting:
    """A `send` that breaks the connection once `after` bytes of the body have been sent.

    Of a WebSocket the content of the messages to the caller is counted; the one that would go over it is
    not sent. `struck` is called with whether it came to that: a body can be shorter.
    """

    def __init__(self, send: Send, scope: Scope, after: int, struck: Callable[[bool], None]) -> None:
        self._send = send
        self._scope = scope
        self._left = after
        self._struck = struck

    async def __call__(self, message: Message) -> None:
        size = _size(message)
        if size <= self._left:
            self._left -= size
            last = not message.get("more_body", False)
            if message["type"] == "websocket.close" or (message["type"] == "http.response.body" and last):
                self._struck(False)
            await self._send(message)
            return
        self._struck(True)
        if message["type"] == "http.response.body":
            await self._send({**message, "body": message["body"][: self._left], "more_body": True})
        cut(self._scope)
        raise ConnectionCut("in the middle of the answer")


class Truncating:
    """A `send` that ends the body after `after` bytes, with a length that says so.

    `struck` is called with whether the body was longer. What it is told after the end is dropped.
    """

    def __init__(self, send: Send, after: int, struck: Callable[[bool], None]) -> None:
        self._send = send
        self._after = self._left = after
        self._struck = struck
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(
                {**message, "headers": [self._shorter(*one) for one in message.get("headers", ())]}
            )
        elif message["type"] == "http.response.body" and not self._ended:
            body = message.get("body", b"")
            self._ended = len(body) > self._left or not message.get("more_body", False)
            if self._ended:
                self._struck(len(body) > self._left)
            kept = body[: self._left]
            self._left -= len(kept)
            await self._send({**message, "body": kept, "more_body": not self._ended})

    def _shorter(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() == b"content-length" and value.isdigit():
            return name, str(min(int(value), self._after)).encode()
        return name, value


def _size(message: Message) -> int:
    """Bytes of content in a message to the caller."""
    if message["type"] == "websocket.send":
        text = message.get("text")
        return len(text.encode() if text is not None else message["bytes"])
    return len(message.get("body", b"")) if message["type"] == "http.response.body" else 0
