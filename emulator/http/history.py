"""The admin routes that tell what is and what was: sessions, what they printed, events as they happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from emulator.errors import PoolUnavailable, RequestInvalid, RouteNotFound
from emulator.http.answers import header_text
from emulator.http.sessions import moment
from emulator.pool.consoles import GONE, Ended
from emulator.pool.events import Event, EventLog
from emulator.pool.pool import Pool
from emulator.pool.registry import Registry
from emulator.pool.session import Session, State
from emulator.runtimes.base import RuntimeFailure

HEARTBEAT_SECONDS = 15.0
"""Real seconds of silence after which a follower is sent a comment, so that a dead connection is noticed."""
MOST_LINES = 1_000_000
NOT_YET = "(its container is still being started)"


class History:
    """`/.emulator/{sessions,sessions/{guid}/logs,events}`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._events = registry.shared.events
        self._consoles = registry.shared.consoles

    def add_to(self, router: Router) -> None:
        """Add the routes to the admin API's router."""
        add = router.add_route
        add("/.emulator/sessions", self._sessions, ["GET"])
        add("/.emulator/sessions/{guid}/logs", self._logs, ["GET"])
        add("/.emulator/events", self._told, ["GET"])

    async def _sessions(self, request: Request) -> Response:
        if request.query_params.get("ended", "false").lower() == "true":
            return JSONResponse({"sessions": [_ended(one) for one in self._consoles.ended]})
        found = [_session(pool, one) for pool in self._registry.pools for one in pool.sessions]
        return JSONResponse({"sessions": found})

    async def _logs(self, request: Request) -> Response:
        guid = request.path_params["guid"]
        lines = whole(request.query_params.get("tail", "200"), "tail", 1, MOST_LINES)
        session = found[1] if (found := self._registry.session_by_guid(guid)) is not None else None
        runs = session is not None or any(guid in pool.held for pool in self._registry.pools)
        ended = self._consoles.find(guid)
        if runs and (ended is None or ended.console is None):
            try:
                console = await self._registry.shared.runtime.logs(guid, lines)
            except RuntimeFailure as error:
                raise PoolUnavailable(f"The console of {guid} cannot be read: {error}") from error
            ended = self._consoles.find(guid)  # it may have ended meanwhile
            if console is not None:
                return PlainTextResponse(console)
            if ended is None:
                starts = session is not None and session.state is State.ALLOCATING
                return PlainTextResponse(f"{NOT_YET if starts else GONE}\n")
        if ended is None:
            raise RouteNotFound(
                f"There is no session {guid}, and none that ended lately; GET /.emulator/sessions lists "
                "those that run, GET /.emulator/sessions?ended=true those that ended."
            )
        return _console(ended, lines)

    async def _told(self, request: Request) -> Response:
        since = request.query_params.get("since")
        after = None if since is None else whole(since, "since", 0, 2**63)
        if "text/event-stream" in request.headers.get("accept", ""):
            return EventStream(self._events, self._resumed(request, after))
        found = self._events.recent(after or 0)
        listed = [event.as_dict() for event in found]
        return JSONResponse({"epoch": self._events.epoch, "last": self._events.last, "events": listed})

    def _resumed(self, request: Request, after: int | None) -> int | None:
        """Where a follower goes on that has been here before; after a restart everything is new to it."""
        epoch, _, sequence = request.headers.get("last-event-id", "").partition("-")
        if not sequence.isdecimal():
            return after
        return int(sequence) if epoch == self._events.epoch else 0


class EventStream(Response):
    """Server-sent events after sequence number `since` (None: from now on), until either side ends it."""

    media_type = "text/event-stream"

    def __init__(self, log: EventLog, since: int | None) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._log = log
        self._since = log.last if since is None else since  # from now on, not from when it gets going

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _say(send, ": events of the emulator\n\n")  # the headers go out with the first bytes
        events = self._log.follow(self._since)
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await self._follow(events, gone, send)
        finally:
            gone.cancel()
            await events.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(
        self, events: AsyncGenerator[Event, None], gone: asyncio.Task[None], send: Send
    ) -> None:
        following: asyncio.Task[Event | None] | None = None
        try:
            while not gone.done():
                following = following or asyncio.create_task(_next(events))
                await asyncio.wait(
                    {following, gone}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if not following.done():
                    await _say(send, ": nothing new\n\n")
                    continue
                event, following = following.result(), None
                if event is None:
                    return
                body = json.dumps(event.as_dict())
                await _say(
                    send, f"id: {self._log.epoch}-{event.sequence}\nevent: {event.kind}\ndata: {body}\n\n"
                )
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _say(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def whole(value: str, name: str, low: int, high: int) -> int:
    """`value` as a whole number from `low` to `high`. Raises `RequestInvalid` naming the parameter."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdecimal()) or not low <= int(digits[:20]) <= high:
        raise RequestInvalid(
            f"'{name}' must be a whole number from {low} to {high}; got {value[:100]!r}.", target=name
        )
    return int(digits)


def _console(ended: Ended, lines: int) -> Response:
    headers = {
        "x-emulator-ended-at": moment(ended.ended_at),
        "x-emulator-ended-kind": ended.kind,
        "x-emulator-ended-cause": header_text(ended.cause),
    }
    if ended.note:
        headers["x-emulator-note"] = header_text(ended.note)
    if ended.console is None:
        return PlainTextResponse(f"{ended.note}\n", headers=headers)
    kept = ended.console.split("\n")
    return PlainTextResponse("\n".join(kept[-lines - (kept[-1] == "") :]), headers=headers)


def _ended(one: Ended) -> dict[str, Any]:
    return {
        "guid": one.guid,
        "pool": one.pool,
        "identifier": one.identifier,
        "state": "Ended",
        "kind": one.kind,
        "cause": one.cause,
        "endedAt": moment(one.ended_at),
        "consoleSize": len(one.console or ""),
        "note": one.note or None,
    }


def _session(pool: Pool, session: Session) -> dict[str, Any]:
    return {
        "guid": session.guid,
        "pool": pool.spec.name,
        "identifier": session.identifier,
        "state": session.state.value,
        "inFlight": session.in_flight,
        "requests": session.requests,
        "createdAt": moment(session.created_at),
        "lastAccessedAt": moment(session.last_accessed_at),
        "expiresAt": moment(pool.expires_at(session)),
        "address": session.instance.address.url if session.instance else None,
    }
