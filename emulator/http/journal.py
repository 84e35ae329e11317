"""The request journal: what came in, what went out, to which session; secrets masked, sizes capped."""

from __future__ import annotations

import base64
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.clock import Clock
from emulator.http.sessions import moment

TRACE = "emulator.trace"
"""Scope key of a dict in which the rooms note pool, identifier and session of a request."""

_SECRET = {
    b"authorization",
    b"x-ms-apikey",
    b"x-identity-header",
    b"x-emulator-admin-key",
    b"cookie",
    b"set-cookie",
}
_MASK = "(masked)"

Headers = list[tuple[str, str]]


@dataclass
class Entry:
    """One exchange. `started` by the emulator's clock, `seconds` real; bodies are the first bytes only."""

    sequence: int
    started: float
    method: str
    url: str
    http_version: str
    request_headers: Headers
    request_body: bytearray = field(default_factory=bytearray)
    request_size: int = 0
    status: int = 0
    response_headers: Headers = field(default_factory=list)
    response_body: bytearray = field(default_factory=bytearray)
    response_size: int = 0
    seconds: float = 0.0
    trace: dict[str, str] = field(default_factory=dict)
    failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "started": moment(self.started),
            "milliseconds": round(self.seconds * 1000, 3),
            "method": self.method,
            "url": self.url,
            "status": self.status,
            "requestSize": self.request_size,
            "responseSize": self.response_size,
            "requestBody": _text(self.request_body),
            "responseBody": _text(self.response_body),
            "reason": next(
                (value for name, value in self.response_headers if name == "x-emulator-reason"), None
            ),
            "failure": self.failure,
            **self.trace,
        }

    def as_har(self) -> dict[str, Any]:
        """An entry of a HAR 1.2 log."""
        sent = dict(self.request_headers)
        answer_type = dict(self.response_headers).get("content-type", "")
        request: dict[str, Any] = {
            "method": self.method,
            "url": self.url,
            "httpVersion": f"HTTP/{self.http_version}",
            "cookies": [],
            "headers": _pairs(self.request_headers),
            "queryString": [],
            "headersSize": -1,
            "bodySize": self.request_size,
        }
        if self.request_size:
            request["postData"] = {"mimeType": sent.get("content-type", ""), "text": _text(self.request_body)}
        return {
            "startedDateTime": moment(self.started),
            "time": self.seconds * 1000,
            "request": request,
            "response": {
                "status": self.status,
                "statusText": "",
                "httpVersion": f"HTTP/{self.http_version}",
                "cookies": [],
                "headers": _pairs(self.response_headers),
                "content": {
                    "size": self.response_size,
                    "mimeType": answer_type,
                    "text": _text(self.response_body),
                },
                "redirectURL": "",
                "headersSize": -1,
                "bodySize": self.response_size,
            },
            "cache": {},
            "timings": {"send": 0, "wait": self.seconds * 1000, "receive": 0},
            "_session": self.trace,
        }


class Journal:
    """ASGI middleware that keeps the newest `capacity` exchanges, `excerpt` bytes of each body."""

    def __init__(
        self,
        app: ASGIApp,
        clock: Clock,
        capacity: int,
        observe: Callable[[str, int, float], None],
        excerpt: int = 4096,
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

    def clear(self) -> int:
        """Forget everything; returns how many there were."""
        count = len(self._entries)
        self._entries.clear()
        return count

    def har(self) -> dict[str, Any]:
        creator = {"name": "dynamic-sessions-emulator", "version": "0.1.0"}
        return {
            "log": {"version": "1.2", "creator": creator, "entries": [one.as_har() for one in self._entries]}
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/.emulator"):
            await self._app(scope, receive, send)
            return
        entry = self._open(scope)
        began = time.perf_counter()

        async def listening_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                entry.request_size += len(body := message.get("body", b""))
                if _keeps_bodies(entry):
                    _excerpt(entry.request_body, body, self._excerpt)
            return message

        async def listening_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                entry.response_headers = _readable(message.get("headers", []))
            elif message["type"] == "http.response.body":
                entry.response_size += len(body := message.get("body", b""))
                if _keeps_bodies(entry):
                    _excerpt(entry.response_body, body, self._excerpt)
            await send(message)

        try:
            await self._app(scope, listening_receive, listening_send)
        except BaseException as error:
            entry.failure = f"{type(error).__name__}: {error}".rstrip(": ")
            raise
        finally:
            entry.seconds = time.perf_counter() - began
            self._observe(entry.trace.get("pool", ""), entry.status, entry.seconds)

    def _open(self, scope: Scope) -> Entry:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost").decode(
            "latin-1"
        )
        query = scope["query_string"].decode("latin-1")
        url = f"{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}{'?' + query if query else ''}"
        trace = scope.setdefault(TRACE, {})
        headers = _readable(scope["headers"])
        entry = Entry(
            next(self._sequence),
            self._clock.now(),
            scope["method"],
            url,
            scope["http_version"],
            headers,
            trace=trace,
        )
        self._entries.append(entry)
        return entry


def _keeps_bodies(entry: Entry) -> bool:
    """Bodies are kept of the data plane only: issuers answer with tokens, the control plane takes secrets."""
    return "pool" in entry.trace


def _excerpt(kept: bytearray, body: bytes, limit: int) -> None:
    if len(kept) < limit:
        kept += body[: limit - len(kept)]


def _readable(headers: Any) -> Headers:
    return [
        (name.decode("latin-1").lower(), _MASK if name.lower() in _SECRET else value.decode("latin-1"))
        for name, value in headers
    ]


def _pairs(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _text(body: bytearray) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(body) - 4:  # an excerpt may end in the middle of a character
            return body[: error.start].decode("utf-8")
        return f"base64:{base64.b64encode(body).decode('ascii')}"
