"""Lets the faults of `emulator.faults` happen to requests of the data plane, and says so in the events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

from emulator import errors
from emulator.clock import Clock
from emulator.errors import AllocationFailed, ServiceError, Shape
from emulator.faults import Fault, Faults
from emulator.http.context import Call
from emulator.pool.events import EventLog
from emulator.pool.session import Session
from emulator.pool.sweeper import Sweeper
from emulator.runtimes.base import Exit

TRANSPORT = "emulator.transport"
"""Where the server puts the connection's transport into the scope, so that a fault can cut it."""


class ConnectionCut(Exception):
    """The connection was closed on purpose; there is nobody left to answer."""


def _service_errors() -> dict[str, type[ServiceError]]:
    """Contract errors by code; of two with one code the first, as in the tree of `emulator.errors`."""
    found: dict[str, type[ServiceError]] = {}
    waiting = ServiceError.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        if kind.__module__ == errors.__name__:
            found.setdefault(kind.code, kind)
            waiting += kind.__subclasses__()
    return found


class Misfortune:
    """Applies rules to calls; one for the whole emulator."""

    def __init__(self, faults: Faults, clock: Clock, sweeper: Sweeper, events: EventLog) -> None:
        self.faults = faults
        self._clock = clock
        self._sweeper = sweeper
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._effects: dict[str, Callable[[Fault, Call, str], Awaitable[None]]] = {
            "error": self._error,
            "latency": self._latency,
            "coldStart": self._cold_start,
            "cut": self._cut,
            "kill": self._kill,
            "expire": self._expire,
            "allocation": self._allocation,
            "mixUp": self._mix_up,
            "clock": self._jump,
        }

    async def befall(self, call: Call) -> None:
        """Let every matching fault happen to `call` before it is served.

        May raise a `ServiceError`, `ConnectionCut`, change the call's identifier, or leave something to
        happen while the request runs.
        """
        if not self.faults.rules:
            return
        identifier = call.query.get("identifier", "")
        route = "/" + "/".join(call.segments)
        spec = call.pool.spec
        for fault in self.faults.meeting(
            pool=spec.name, identifier=identifier, route=route, method=call.method
        ):
            self._events.emit(
                f"fault.{fault.effect}",
                f"fault {fault.id}",
                pool=spec.name,
                identifier=identifier or None,
                route=route,
            )
            await self._effects[fault.effect](fault, call, identifier)

    async def _error(self, fault: Fault, call: Call, identifier: str) -> None:
        code = str(fault.options.get("code", ""))
        kind = _service_errors().get(code)
        status = fault.options.get("status")
        reason = f"fault {fault.id}"
        message = str(fault.options.get("message", f"This answer was asked for by {reason}."))
        if kind is errors.SessionsCountExceedsLimit and not call.pool.spec.container_type.built_in:
            kind = errors.PodAllocationRejected
        if kind is None or issubclass(kind, errors.ModelBindingFailed):
            error = ServiceError(
                message, code=code or "InjectedFault", status=int(status or 500), reason=reason
            )
            error.shape = Shape.EMPTY if error.status in (401, 403) else Shape.NESTED
            raise error
        raise kind(message, reason=reason, status=None if status is None else int(status))

    async def _latency(self, fault: Fault, call: Call, identifier: str) -> None:
        await asyncio.sleep(fault.seconds())

    async def _cold_start(self, fault: Fault, call: Call, identifier: str) -> None:
        if call.pool.find(identifier) is None:
            await asyncio.sleep(fault.seconds())

    async def _allocation(self, fault: Fault, call: Call, identifier: str) -> None:
        if call.pool.find(identifier) is None:
            text = f"Session pool '{call.pool.spec.name}' could not start a session."
            raise AllocationFailed(str(fault.options.get("message", text)), reason=f"fault {fault.id}")

    async def _jump(self, fault: Fault, call: Call, identifier: str) -> None:
        self._clock.advance(fault.seconds())
        await self._sweeper.run_due()

    async def _mix_up(self, fault: Fault, call: Call, identifier: str) -> None:
        others = [
            one for one in call.pool.sessions if one.identifier != identifier and one.instance is not None
        ]
        if others:
            other = min(others, key=lambda one: one.created_at)
            call.query = {**call.query, "identifier": other.identifier}
            self._events.emit(
                "fault.mixedUp",
                f"fault {fault.id}: {identifier!r} is served by the session of {other.identifier!r}",
                pool=call.pool.spec.name,
                identifier=identifier,
                session=other.guid,
            )

    async def _cut(self, fault: Fault, call: Call, identifier: str) -> None:
        transport = call.scope.get(TRANSPORT)
        if "afterBytes" not in fault.options:
            if transport is not None:
                transport.abort()
            raise ConnectionCut(fault.id)
        call.send = _cutting(call.send, int(fault.options["afterBytes"]), transport)

    async def _kill(self, fault: Fault, call: Call, identifier: str) -> None:
        oom = bool(fault.options.get("oom", False))

        async def kill(session: Session) -> None:
            call.pool.exited(Exit(session.guid, 137, oom=oom))

        self._later(fault, call, identifier, kill)

    async def _expire(self, fault: Fault, call: Call, identifier: str) -> None:
        async def expire(session: Session) -> None:
            await call.pool.stop(session, f"fault {fault.id}")

        self._later(fault, call, identifier, expire)

    def _later(
        self, fault: Fault, call: Call, identifier: str, act: Callable[[Session], Awaitable[None]]
    ) -> None:
        """Do `act` to the call's session, `after` real seconds from now, once it has one."""

        async def wait_and_act() -> None:
            await asyncio.sleep(float(fault.options.get("after", 0.0)))
            session = call.pool.find(identifier)
            if session is not None:
                await act(session)

        task = asyncio.create_task(wait_and_act(), name=f"fault {fault.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cutting(send: Send, after: int, transport: asyncio.Transport | None) -> Send:
    left = after

    async def cutting(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        if len(body) <= left and message.get("more_body", False):
            left -= len(body)
            await send(message)
            return
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})
        if transport is not None:
            transport.abort()
        raise ConnectionCut("in the middle of the answer")

    return cutting
