"""Lets the faults of `emulator.faults` happen to requests of the data plane, and says so in the events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from starlette.types import Scope

from emulator.clock import Clock
from emulator.errors import AllocationFailed, ServiceError
from emulator.faults import Fault, Faults, Request
from emulator.http.context import Call
from emulator.http.endings import end
from emulator.http.injected import injected
from emulator.http.interpreter import latest, stored
from emulator.http.journal import TRACE
from emulator.http.mixing import Missed, another, is_file_route
from emulator.http.tampering import SEND, ConnectionCut, Cutting, Truncating, cut
from emulator.http.upstream import explain
from emulator.http.versions import Execution
from emulator.pool.events import EventLog
from emulator.pool.pool import Pool
from emulator.pool.session import Session, State
from emulator.pool.sweeper import Sweeper
from emulator.resources.faults import impossible

FATE = "emulator.fate"
"""Scope key of what faults do to a request that some rule may strike."""


class Stage(Enum):
    """Where on its way a request meets a fault; rules count the requests that come that far."""

    REQUEST = auto()
    ALLOCATION = auto()
    SESSION = auto()
    ANSWER = auto()


_STAGES = {
    "coldStart": Stage.ALLOCATION,
    "allocation": Stage.ALLOCATION,
    "kernelDeath": Stage.SESSION,
    "kill": Stage.SESSION,
    "expire": Stage.SESSION,
}


class Misfortune:
    """Applies rules to calls; one for the whole emulator."""

    def __init__(self, faults: Faults, clock: Clock, sweeper: Sweeper, events: EventLog) -> None:
        self.faults = faults
        self.clock = clock
        self.sweeper = sweeper
        self.events = events
        self._tasks: set[asyncio.Task[None]] = set()

    async def befall(self, call: Call) -> None:
        """Let the faults happen that come before `call` is served; others follow on its way.

        May raise a `ServiceError` or `ConnectionCut`.
        """
        if self.faults.of(call.pool):
            fate = call.fate = call.scope[FATE] = CallsFate(self, call)
            await fate.begin()

    def later(self, seconds: float, fault: Fault, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` after so many real seconds if `fault` still holds, whatever becomes of the request."""

        async def wait_and_work() -> None:
            await asyncio.sleep(seconds)
            if self.faults.holds(fault):
                await work()

        task = asyncio.create_task(wait_and_work(), name=f"fault {fault.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def over(scope: Scope) -> None:
    """The request has been answered, or never will be: what has not happened to it by now was missed."""
    if (fate := scope.get(FATE)) is not None:
        fate.over()


class CallsFate:
    """What faults do to one call. Each that strikes leaves one event: `fault.<effect>`, or `fault.missed`."""

    def __init__(self, world: Misfortune, call: Call) -> None:
        self._world = world
        self._call = call
        self._asked = call.query.get("identifier", "")
        self._route = "/" + "/".join(call.segments)
        self._mixing: Fault | None = None
        self._other: Session | None = None
        self._open: dict[str, tuple[Fault, str]] = {}
        self._effects: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "error": self._error,
            "latency": self._wait,
            "coldStart": self._wait,
            "allocation": self._allocation,
            "cut": self._cut,
            "truncate": self._truncate,
            "mixUp": self._mix_up,
            "clock": self._jump,
        }

    # -- on the call's way -------------------------------------------------------------------------------

    async def begin(self) -> None:
        await self._meet(Stage.REQUEST)

    def destined(self, identifier: str) -> str:
        """Whose session the call gets that asks for `identifier`'s."""
        if self._other is not None:
            return self._other.identifier
        self._asked = identifier
        if (fault := self._mixing) is not None:
            self._mixing = None
            try:
                self._other = another(self._call.pool, identifier, fault.options.get("with"))
            except Missed as why:
                self._missed(fault, str(why))
                return identifier
            self._mixed(fault, self._other, f"is served by the session of {self._other.identifier!r}")
            return self._other.identifier
        return identifier

    async def allocating(self, identifier: str) -> None:
        """A session of `identifier` is asked for."""
        if _will_allocate(self._call.pool, identifier):
            await self._meet(Stage.ALLOCATION)

    async def serving(self, session: Session) -> None:
        """`session` begins to serve the call. Raises what callers see of a session that is gone."""
        if self._other is not None:  # `mixedUp` tells whose session it is
            self._trace["identifier"] = self._asked
        for fault in self._struck(Stage.SESSION):
            work = partial(self._end, fault, session)
            if after := fault.options.get("after"):
                self._world.later(after, fault, work)
            else:
                await work()
        if session.state is not State.ACTIVE:
            raise explain(session, ConnectionResetError("its session is gone"))

    async def answered(self, session: Session, execution: Execution) -> Execution:
        """The execution that the caller is told about, which may be another identifier's."""
        for fault in self._struck(Stage.ANSWER):
            try:
                if (reason := impossible(fault.rule, self._call.pool.spec.container_type)) is not None:
                    raise Missed(reason)
                other, execution = await self._answer_of_another(fault, session)
            except Missed as why:
                self._missed(fault, str(why))
            else:
                self._mixed(fault, other, f"gets the answer of {other.identifier!r}")
        return execution

    def over(self) -> None:
        """The call has ended."""
        if self._mixing is not None:
            self._missed(self._mixing, "the request was for no session")
            self._mixing = None
        for fault, why in list(self._open.values()):
            self._missed(fault, why)

    # -- what happens ------------------------------------------------------------------------------------

    async def _meet(self, stage: Stage) -> None:
        ended: Exception | None = None
        by = ""
        for fault in self._struck(stage):
            if ended is not None:
                self._missed(fault, f"fault {by} had ended the request already")
                continue
            try:
                await self._effects[fault.effect](fault)
            except Missed as why:
                self._missed(fault, str(why))
            except (ServiceError, ConnectionCut) as error:
                ended, by = error, fault.id
        if ended is not None:
            raise ended

    async def _error(self, fault: Fault) -> None:
        built_in = self._call.pool.spec.container_type.built_in
        error = injected(fault.options, f"fault {fault.id}", built_in=built_in)
        self._happened(fault, f"the answer is {error.status} {error.code}")
        raise error

    async def _wait(self, fault: Fault) -> None:
        seconds = fault.seconds()
        self._happened(fault, f"the request waits {seconds:.3f} s")
        await asyncio.sleep(seconds)

    async def _allocation(self, fault: Fault) -> None:
        text = f"Session pool '{self._call.pool.spec.name}' could not start a session."
        self._happened(fault, "no session is allocated")
        raise AllocationFailed(str(fault.options.get("message", text)), reason=f"fault {fault.id}")

    async def _jump(self, fault: Fault) -> None:
        seconds = fault.options["seconds"]
        self._happened(fault, f"the clock jumps by {seconds:g} s")
        self._world.clock.advance(seconds)
        await self._world.sweeper.run_due()

    async def _mix_up(self, fault: Fault) -> None:
        if self._mixing is not None:
            raise Missed(f"fault {self._mixing.id} had mixed the request up already")
        self._mixing = fault  # whose request it is may be said only in its body

    async def _cut(self, fault: Fault) -> None:
        call = self._call
        if (after := fault.options.get("afterBytes")) is None:
            self._happened(fault, "the connection is cut before the answer")
            cut(call.scope)
            raise ConnectionCut(f"before the answer, by fault {fault.id}")
        struck = self._tampered(fault, f"the connection is cut after {after} bytes", after)
        call.send = call.scope[SEND] = Cutting(call.send, call.scope, after, struck)

    async def _truncate(self, fault: Fault) -> None:
        call = self._call
        if call.scope["type"] == "websocket":
            raise Missed("a WebSocket has no body to truncate; use cut")
        after = fault.options["afterBytes"]
        struck = self._tampered(fault, f"the body is truncated to {after} bytes", after)
        call.send = call.scope[SEND] = Truncating(call.send, after, struck)

    def _tampered(self, fault: Fault, what: str, after: int) -> Callable[[bool], None]:
        """What is told by an answer's `send` whether it came to the fault."""
        self._open[fault.id] = (fault, "the answer broke off before it came to that")

        def struck(happened: bool) -> None:
            if happened:
                self._happened(fault, what)
            else:
                self._missed(fault, f"the answer had no more than {after} bytes")

        return struck

    async def _end(self, fault: Fault, session: Session) -> None:
        try:
            self._happened(fault, await end(fault, self._call, session), session)
        except Missed as why:
            self._missed(fault, str(why))

    async def _answer_of_another(self, fault: Fault, own: Session) -> tuple[Session, Execution]:
        call = self._call
        wanted = fault.options.get("with")
        other = another(call.pool, own.identifier, wanted, lambda one: latest(call, one) is not None)
        try:
            return other, await stored(call, other, latest(call, other) or "")
        except ServiceError as error:
            raise Missed(f"the answer of {other.identifier!r} is not there any more: {error}") from error

    # -- and how it is told ------------------------------------------------------------------------------

    def _struck(self, stage: Stage) -> list[Fault]:
        request = Request(self._call.pool.spec.name, self._asked, self._route, self._call.method)
        return [
            fault
            for fault in self._world.faults.of(self._call.pool)
            if _stage_of(fault) is stage and self._concerns(fault) and fault.strikes(request)
        ]

    def _concerns(self, fault: Fault) -> bool:
        """A mix-up of files concerns only requests about files."""
        if fault.effect != "mixUp" or fault.options.get("what") != "files":
            return True
        return self._call.pool.spec.container_type.built_in and is_file_route(self._call.segments)

    @property
    def _trace(self) -> dict[str, Any]:
        trace: dict[str, Any] = self._call.scope.setdefault(TRACE, {})
        return trace

    def _happened(self, fault: Fault, what: str, session: Session | None = None) -> None:
        self._open.pop(fault.id, None)
        struck = self._trace.setdefault("faults", [])
        if fault.id not in struck:
            struck.append(fault.id)
        self._emit(f"fault.{fault.effect}", fault, what, session)

    def _missed(self, fault: Fault, why: str) -> None:
        self._open.pop(fault.id, None)
        fault.give_back()
        self._emit("fault.missed", fault, f"{fault.effect} did not happen: {why}", None)

    def _mixed(self, fault: Fault, other: Session, how: str) -> None:
        what = fault.options.get("what", "session")
        self._trace["mixedUp"] = {"what": what, "identifier": other.identifier, "session": other.guid}
        self._happened(fault, f"{self._asked!r} {how}", other)

    def _emit(self, kind: str, fault: Fault, what: str, session: Session | None) -> None:
        self._world.events.emit(
            kind,
            f"fault {fault.id}: {what}",
            pool=self._call.pool.spec.name,
            identifier=self._asked or None,
            session=session.guid if session is not None else None,
            fault=fault.id,
            route=self._route,
        )


def _stage_of(fault: Fault) -> Stage:
    if fault.effect == "mixUp" and fault.options.get("what") == "answers":
        return Stage.ANSWER
    return _STAGES.get(fault.effect, Stage.REQUEST)


def _will_allocate(pool: Pool, identifier: str) -> bool:
    if pool.find(identifier) is not None or pool.serving >= pool.spec.max_sessions:
        return False
    return not any(one.identifier == identifier and one.state is State.ALLOCATING for one in pool.sessions)
