"""The request journal: what came in, what went out, to which session; secrets masked, sizes capped."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator import tracing
from emulator.clock import Clock
from emulator.http import har, masking
from emulator.http.masking import Headers
from emulator.http.sessions import moment
from emulator.texts import shortened

TRACE = tracing.SCOPE
"""Scope key of a dict in which the rooms note pool, identifier, session … of a request."""

REASON = "x-emulator-reason"
FAILED = 400
WEBSOCKET = 101

Observe = Callable[[str, int, float], None]
"""Told of each finished HTTP request: pool (or `""`), status (0: no answer), seconds."""


@dataclass
class Entry:
    """One exchange. `started` by the emulator's clock, `seconds` real (None: in flight).

    Bodies are the first bytes only, and only those of the data plane: issuers answer with tokens, the control
    plane takes secrets. `frames` counts a WebSocket's messages.
    """

    sequence: int
    started: float
    method: str
    url: str
    http_version: str
    request_headers: Headers
    trace: dict[str, Any]
    began: float = field(default_factory=time.perf_counter)
    request_body: bytearray = field(default_factory=bytearray)
    request_size: int = 0
    status: int = 0
    response_headers: Headers = field(default_factory=list)
    response_body: bytearray = field(default_factory=bytearray)
    response_size: int = 0
    frames: dict[str, int] | None = None
    first_byte: float | None = None
    seconds: float | None = None
    reason: str | None = None
    failure: str | None = None

    @property
    def in_flight(self) -> bool:
        return self.seconds is None

    @property
    def lasted(self) -> float:
        """Seconds until its end, or until now."""
        return time.perf_counter() - self.began if self.seconds is None else self.seconds

    @property
    def failed(self) -> bool:
        """Whether it was answered with an error, or not to the end."""
        return self.status >= FAILED or self.failure is not None or (self.status == 0 and not self.in_flight)

    @property
    def keeps_bodies(self) -> bool:
        return "pool" in self.trace

    def as_dict(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "started": moment(self.started),
            "milliseconds": round(self.lasted * 1000, 3),
            "inFlight": self.in_flight,
            "method": self.method,
            "url": self.url,
            "status": self.status,
            "requestSize": self.request_size,
            "responseSize": self.response_size,
            "requestBody": _text(self.request_body),
            "responseBody": _text(self.response_body),
            "reason": self.reason,
            "failure": self.failure,
            **({"frames": dict(self.frames)} if self.frames is not None else {}),
            **self.trace,
        }


class Journal:
    """ASGI middleware that keeps the newest `capacity` exchanges, `excerpt` bytes of each body."""

    def __init__(
        self, app: ASGIApp, clock: Clock, capacity: int, observe: Observe, excerpt: int = 4096
    ) -> None:
        self._app = app
        self._clock = clock
        self._excerpt = excerpt
        self._observe = observe
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._sequence = itertools.count(1)

    @property
    def entries(self) -> list[Entry]:
        """Oldest first."""
        return list(self._entries)

    @property
    def kept(self) -> int:
        return len(self._entries)

    def clear(self) -> int:
        """Forget everything; returns how many there were."""
        count = len(self._entries)
        self._entries.clear()
        return count

    def har(self) -> dict[str, Any]:
        """Everything kept, as a HAR 1.2 document."""
        return har.log(self._entries)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith("/.emulator"):
            await self._app(scope, receive, send)
            return
        entry = self._open(scope)

        async def listening_receive() -> Message:
            message = await receive()
            self._heard(entry, message)
            return message

        async def listening_send(message: Message) -> None:
            self._said(entry, message)
            await send(message)

        try:
            await self._app(scope, listening_receive, listening_send)
        except BaseException as error:
            entry.failure = f"{type(error).__name__}: {error}".rstrip(": ")
            raise
        finally:
            entry.seconds = time.perf_counter() - entry.began
            entry.reason = _reason(entry)
            if entry.frames is None:
                self._observe(entry.trace.get("pool", ""), entry.status, entry.seconds)

    def _heard(self, entry: Entry, message: Message) -> None:
        match message["type"]:
            case "http.request":
                body = message.get("body", b"")
                entry.request_size += len(body)
                self._keep(entry, entry.request_body, body)
            case "websocket.receive":
                entry.request_size += _count(entry, "in", message)

    def _said(self, entry: Entry, message: Message) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self._answered(entry, message["status"], message)
            case "websocket.accept":
                self._answered(entry, WEBSOCKET, message)
            case "http.response.body" | "websocket.http.response.body":
                body = message.get("body", b"")
                entry.response_size += len(body)
                self._keep(entry, entry.response_body, body)
            case "websocket.send":
                entry.response_size += _count(entry, "out", message)
            case "websocket.close" if entry.status == 0:  # before it was accepted: a plain refusal
                self._answered(entry, 403, {})

    def _answered(self, entry: Entry, status: int, message: Message) -> None:
        entry.status = status
        entry.first_byte = time.perf_counter() - entry.began
        entry.response_headers = masking.readable(message.get("headers", []))

    def _keep(self, entry: Entry, kept: bytearray, body: bytes) -> None:
        if len(kept) < self._excerpt and entry.keeps_bodies:
            kept += body[: self._excerpt - len(kept)]

    def _open(self, scope: Scope) -> Entry:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost").decode(
            "latin-1"
        )
        query = masking.query(scope["query_string"].decode("latin-1"))
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        url = f"{scope['scheme']}://{host}{path}{'?' + query if query else ''}"
        entry = Entry(
            next(self._sequence),
            self._clock.now(),
            scope.get("method", "GET"),
            shortened(url, masking.VALUE_KEPT),
            scope["http_version"],
            masking.readable(scope["headers"]),
            scope.setdefault(TRACE, {}),
            frames={"in": 0, "out": 0} if scope["type"] == "websocket" else None,
        )
        self._entries.append(entry)
        return entry


def _count(entry: Entry, direction: str, message: Message) -> int:
    """Count a WebSocket's message; returns its size in bytes (of a text: in characters)."""
    if entry.frames is not None:
        entry.frames[direction] += 1
    return len(message.get("text") or message.get("bytes") or "")


def _reason(entry: Entry) -> str | None:
    """The true reason of an error answer, also where the answer itself says less."""
    current = tracing.current()
    if current is not None and current.reason is not None:
        return shortened(current.reason, masking.VALUE_KEPT)
    return next((value for name, value in entry.response_headers if name == REASON), None)


def _text(body: bytearray) -> str:
    text, binary = har.text_of(body)
    return f"base64:{text}" if binary else text
