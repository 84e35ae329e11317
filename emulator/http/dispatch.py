"""The front door: which of the emulator's surfaces a request is for."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator import tracing
from emulator.errors import PoolNotFound, ServiceError
from emulator.http.answers import error_answer, tell, unexpected
from emulator.http.dataplane import DataPlane, Guard, authorization_of
from emulator.http.faulting import over
from emulator.http.tampering import SEND, TRANSPORT, ConnectionCut
from emulator.pool.pool import Pool
from emulator.pool.registry import Registry
from emulator.resources.model import SessionPool

log = logging.getLogger("emulator.http")


FLUSH_SECONDS = 5.0
"""How long what was sent of an answer may take to get to a caller before the connection is cut."""


async def _cut_off(scope: Scope, receive: Receive) -> None:
    """Close the connection in the middle of an answer, so that the caller sees that it is not whole."""
    transport: asyncio.Transport = scope["state"][TRANSPORT]
    transport.close()
    if not await _gone(receive):
        transport.abort()  # nobody reads at the other end


async def _gone(receive: Receive) -> bool:
    """Wait until the server knows that the connection is gone; it takes a missing answer for a bug else."""
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            while not (await receive())["type"].endswith(".disconnect"):
                pass
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True)
class Surface(ABC):
    """An ASGI app for paths that `owns` (decoded, lower-case, non-empty segments) says are its own."""

    app: ASGIApp

    @abstractmethod
    def owns(self, segments: list[str]) -> bool:
        """Whether a request with this path is for this surface."""


class Dispatcher:
    """Picks admin API, another surface, or a pool; turns service errors into answers."""

    def __init__(
        self, registry: Registry, data_plane: DataPlane, guard: Guard, surfaces: Sequence[Surface]
    ) -> None:
        self._registry = registry
        self._data_plane = data_plane
        self._guard = guard
        self._surfaces = surfaces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] != "websocket.close"
            await send(message)

        try:
            await self._serve(scope, receive, watched_send, lambda: started)
        except ConnectionCut as cut:
            tracing.refused(f"the connection was cut: {cut}")
            await _gone(receive)
        finally:
            over(scope)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, started: Callable[[], bool]) -> None:
        try:
            await self._route(scope, receive, send)
        except ServiceError as error:
            self._tell(error, scope)
            if started():  # the answer has begun: all that is left is to cut the connection
                log.warning("an answer was cut off: %s", error)
                if scope["type"] != "http":
                    raise
                await _cut_off(scope, receive)
                return
            await error_answer(error)(scope, receive, scope.get(SEND, send))  # a fault may be in between
        except ConnectionCut:
            raise
        except ClientDisconnect:  # while its body was read: there is nobody to answer
            tracing.refused("the caller went away before all of its request was there")
        except Exception as error:
            self._tell(ServiceError(f"a bug of the emulator: {error!r}"), scope)
            if started():
                raise
            await unexpected(error)(scope, receive, send)

    def _tell(self, error: ServiceError, scope: Scope) -> None:
        """An event with the true reason of an error answer, unless the pool has told of it already."""
        if scope["path"].startswith("/.emulator") and error.status not in (401, 403):
            tracing.refused(error.true_reason)
        else:
            tell(error, self._registry.shared.events)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope["raw_path"].decode("latin-1").split("?")[0]
        raw_segments = [part for part in raw.split("/") if part]
        segments = [unquote(part) for part in raw_segments]
        lower = [part.lower() for part in segments]
        by_host = self._by_host(scope) if lower[:1] != [".emulator"] else None
        if by_host is None:
            for surface in self._surfaces:
                if surface.owns(lower):
                    await surface.app(scope, receive, send)
                    return
        skip = (
            6
            if lower[::2][:3] == ["subscriptions", "resourcegroups", "sessionpools"] and len(lower) >= 6
            else 0
        )
        pool = by_host or (self._by_path(segments) if skip else self._registry.default)
        if pool is None:
            self._guard.admit(authorization_of(scope), None)  # a stranger learns nothing about what exists
            raise PoolNotFound(self._not_found(segments, skip))
        rest = "/" + "/".join(raw_segments[skip:])
        if skip == 0 and not pool.spec.container_type.built_in:
            rest = raw or "/"  # untouched, doubled slashes included
        elif raw.endswith("/") and len(rest) > 1:
            rest += "/"
        await self._data_plane.serve(pool, segments[skip:], rest, scope, receive, send)

    def _by_host(self, scope: Scope) -> Pool | None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        first, dot, _ = host.partition(".")
        return self._registry.named(first) if dot else None

    def _by_path(self, segments: list[str]) -> Pool | None:
        _, subscription, _, group, _, name = segments[:6]
        scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
        return self._registry.get(f"{scope}/providers/Microsoft.App/sessionPools/{name}")

    def _not_found(self, segments: list[str], skip: int) -> str:
        if not skip:
            return "The emulator has no session pool; create one with 'dynamic-sessions pool create'."
        known: list[SessionPool] = [pool.spec for pool in self._registry.pools]
        there = ", ".join(pool.endpoint_path for pool in known) or "none"
        return f"Session pool '/{'/'.join(segments[:6])}' is not found. Pools of this emulator: {there}"
