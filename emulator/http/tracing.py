"""Gives every request its trace, and writes the one line that says what became of it."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from multidict import CIMultiDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator import tracing
from emulator.pool.events import EventLog
from emulator.texts import shortened

log = logging.getLogger("emulator.http")

TRACE_ID = b"x-emulator-trace-id"
REASON = b"x-emulator-reason"
_LONGEST_PATH = 500
_POOL = re.compile("^/subscriptions/[^/]+/resourceGroups/[^/]+/sessionPools/[^/]+", re.IGNORECASE)
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def carry(headers: CIMultiDict[str]) -> None:
    """Put the current request's trace into `headers` for a session.

    A valid `traceparent` of the caller's goes on unchanged, its `tracestate` too; where there is none, one
    made here takes its place, and a `tracestate` without a trace is dropped.
    """
    trace = tracing.current()
    if trace is None or (trace.given and "traceparent" in headers):
        return
    headers.popall("traceparent", None)
    headers.popall("tracestate", None)
    headers["traceparent"] = trace.traceparent
    if trace.tracestate is not None:
        headers["tracestate"] = trace.tracestate


class Tracing:
    """ASGI middleware around all others; every answer names its trace in `x-emulator-trace-id`."""

    def __init__(self, app: ASGIApp, events: EventLog) -> None:
        self._app = app
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        trace = tracing.begin(_values(scope, b"traceparent"), _values(scope, b"tracestate"))
        scope[tracing.SCOPE] = trace.about
        began, status = time.perf_counter(), 0

        async def marked_send(message: Message) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = message.get("status", 101)
                headers = [*message.get("headers", ()), (TRACE_ID, trace.id.encode())]
                message = {**message, "headers": headers}
                if status in (401, 403):
                    self._tell_refusal(trace, status, headers)
            await send(message)

        with tracing.serving(trace):
            try:
                await self._app(scope, receive, marked_send)
            finally:
                _log(scope, trace, status, time.perf_counter() - began)

    def _tell_refusal(self, trace: tracing.Trace, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """A refusal of the control plane or the admin API; a container's own on the data plane is its own."""
        if trace.told or "pool" in trace.about:
            return
        found = next((value for name, value in headers if name.lower() == REASON), b"")
        reason = trace.reason or found.decode("latin-1") or "a token issuer refused; its answer says why"
        tracing.refused(reason)
        self._events.emit("request.refused", reason, status=status)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _log(scope: Scope, trace: tracing.Trace, status: int, seconds: float) -> None:
    path = scope["path"]
    routine = "pool" not in trace.about and status < 400
    level = logging.DEBUG if routine or path.startswith("/.emulator") else logging.INFO
    if not log.isEnabledFor(level):
        return
    method, milliseconds = scope.get("method", "WS"), seconds * 1000
    facts: dict[str, Any] = {
        "method": method,
        "path": shortened(path, _LONGEST_PATH),
        "status": status or None,
        "milliseconds": round(milliseconds, 3),
    }
    why = ""
    if trace.reason is not None:
        facts["reason"], why = trace.reason, f": {trace.reason}"
    answer = str(status) if status else "no answer"
    shown = _POOL.sub("", facts["path"]) or "/"  # which pool it is says the end of the line
    text = "%s %s → %s in %.1f ms%s"
    log.log(level, text, method, shown, answer, milliseconds, why, extra={"request": facts})
