"""One session pool at work: who holds what, who may come in, who has to go."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field

from emulator.clock import Clock
from emulator.errors import (
    AllocationFailed,
    PodAllocationRejected,
    PoolUnavailable,
    SessionsCountExceedsLimit,
)
from emulator.pool.events import EventLog
from emulator.pool.ledger import Claim, Ledger
from emulator.pool.liveness import Check, Liveness
from emulator.pool.session import Lease, Session, State
from emulator.pool.sweeper import Sweeper
from emulator.pool.warm import WarmSet
from emulator.resources.model import LifecycleType, SessionPool
from emulator.runtimes import readiness
from emulator.runtimes.base import Exit, Instance, Runtime, RuntimeFailure, RuntimeUnavailable, Start

log = logging.getLogger("emulator.pool")


@dataclass(frozen=True)
class Shared:
    """What all pools of an emulator share.

    `default_ready`: warm instances of a built-in pool. `early_exits`: exits of instances nobody holds yet,
    by guid; an instance can die between its start and the moment its session knows it. `check`: one attempt
    of a liveness probe.
    """

    runtime: Runtime
    clock: Clock
    sweeper: Sweeper
    events: EventLog
    ledger: Ledger
    default_ready: int = 1
    early_exits: dict[str, Exit] = field(default_factory=dict)
    check: Check = readiness.check


class Pool:
    """Lends each identifier a session of its own, within the pool's limits.

    Everything that decides runs between two awaits of one event loop, so no lock is held across a call to
    the runtime. Containers (sessions in any state, and warm ones) never exceed `max_sessions`.
    """

    def __init__(self, spec: SessionPool, shared: Shared) -> None:
        self.spec = spec
        self._shared = shared
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cold_failure: RuntimeFailure | None = None
        self._closed = False
        self._slot_freed = asyncio.Event()
        self._draining: list[WarmSet] = []
        self.warm = self._new_warm()

    # -- what it looks like ------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[Session]:
        """Sessions that hold a slot, oldest first."""
        return list(self._sessions.values())

    @property
    def serving(self) -> int:
        return sum(s.state in (State.ALLOCATING, State.ACTIVE) for s in self._sessions.values())

    @property
    def failure(self) -> str | None:
        """Why the pool cannot start an instance, or None."""
        failure = self._cold_failure or self.warm.failure
        return str(failure) if failure is not None else None

    @property
    def provisioning_state(self) -> str:
        """`Succeeded`, `InProgress` (warm set not filled yet) or `Failed`, as ARM names them."""
        if self.failure is not None:
            return "Failed"
        return "InProgress" if self.warm.starting and not (self.warm.ready or self._sessions) else "Succeeded"

    @property
    def settled(self) -> bool:
        """The warm set is as full as it can be, or known not to fill."""
        return self.warm.starting == 0

    def find(self, identifier: str) -> Session | None:
        """The session of `identifier` if it can still serve; allocates nothing."""
        session = self._sessions.get(identifier)
        return session if session is not None and session.state is State.ACTIVE else None

    def expires_at(self, session: Session) -> float:
        """When the session ends if nobody asks for it again (seconds since the epoch)."""
        lifecycle = self.spec.lifecycle
        if lifecycle.type is LifecycleType.ON_CONTAINER_EXIT:
            return session.created_at + (lifecycle.max_alive or float("inf"))
        since = self._shared.clock.now() if session.in_flight else session.last_accessed_at
        return since + (lifecycle.cooldown or 0.0)

    async def metadata(self) -> dict[str, object]:
        """What is installed in the pool's sessions. Raises `RuntimeFailure` when the image cannot be read."""
        return await self._shared.runtime.metadata(self.spec)

    # -- coming in ---------------------------------------------------------------------------------------

    async def acquire(self, identifier: str) -> Lease:
        """A lease on the identifier's session, allocating one if it has none.

        Two requests for one new identifier allocate once. Raises `SessionsCountExceedsLimit` or
        `PodAllocationRejected` (429) at once when the pool is full, `AllocationFailed` when an instance
        cannot be started, `PoolUnavailable` when the runtime does not answer or the pool is being deleted.
        """
        began = time.perf_counter()
        new = False
        while True:
            if self._closed:
                raise PoolUnavailable(f"Session pool '{self.spec.name}' is being deleted.")
            session = self._sessions.get(identifier)
            if session is None:
                self._refuse_when_full(identifier)
                session = self._admit(identifier)
                if session is None:  # every slot that is not serving is on its way out: wait for one
                    await self._slot_freed.wait()
                    continue
                new = True
            if session.state is State.ALLOCATING:
                await session.settled.wait()
                if session.failure is not None:
                    raise self._as_service_error(session.failure)
            if session.state is State.ACTIVE:
                session.last_accessed_at = self._shared.clock.now()
                session.requests += 1
                return Lease(session, self, new_allocation=new, waited=time.perf_counter() - began)
            if session.state is State.EXPIRING:
                await session.gone.wait()
            # STOPPED or FAILED: it is out of the table by now, so ask again

    def _refuse_when_full(self, identifier: str) -> None:
        if self.serving < self.spec.max_sessions:
            return
        limit, name = self.spec.max_sessions, self.spec.name
        soonest = min(self.expires_at(s) for s in self._sessions.values()) - self._shared.clock.now()
        reason = (
            f"pool {name} is full: {self.serving} of {limit} sessions; the next slot frees in {soonest:.0f} s"
        )
        self._emit("refused", reason, identifier=identifier)
        if self.spec.container_type.built_in:
            raise SessionsCountExceedsLimit(
                f"The request sessions count is '1'. There are already '{self.serving}' active sessions "
                f"and the maximum active sessions count is '{limit}'.",
                reason=reason,
            )
        raise PodAllocationRejected(
            f"Error happened when allocating pod for identifier {identifier} in pool {name}", reason=reason
        )

    def _admit(self, identifier: str) -> Session | None:
        """Give `identifier` a slot: a warm instance, one that is starting, or a start of its own."""
        now = self._shared.clock.now()
        if (ready := self.warm.claim()) is not None:
            session = Session(identifier, ready.guid, self.spec.key, now, now)
            self._sessions[identifier] = session
            self._activate(session, ready, "claimed a warm instance")
            self.warm.fill()
            return session
        starting = self.warm.claim_starting()
        if starting is None and self._instances >= self.spec.max_sessions:
            self._slot_freed.clear()
            return None
        session = Session(identifier, str(uuid.uuid4()), self.spec.key, now, now)
        self._sessions[identifier] = session
        if starting is not None:
            self._spawn(self._allocate(session, starting, "took over a starting instance"))
        else:
            self._spawn(self._allocate(session, self._cold_start(session), "started an instance"))
        return session

    async def _cold_start(self, session: Session) -> Instance:
        await self._shared.runtime.prepare(self.spec)
        return await self._shared.runtime.start(Start(self.spec, session.guid, session.identifier))

    async def _allocate(self, session: Session, start: Awaitable[Instance], cause: str) -> None:
        try:
            instance = await start
        except Exception as error:
            if isinstance(error, RuntimeFailure):
                self._cold_failure = error
            session.failure = error
            session.move(State.FAILED)
            self._forget(session)
            self._emit("allocation.failed", str(error), session)
            return
        self._cold_failure = None
        self.warm.recovered()
        session.guid = instance.guid
        self._activate(session, instance, cause)
        if (exit_ := self._shared.early_exits.pop(session.guid, None)) is not None:
            self._session_exited(session, exit_)
        self.warm.fill()

    def _activate(self, session: Session, instance: Instance, cause: str) -> None:
        session.instance = instance
        session.last_accessed_at = self._shared.clock.now()
        # On disk before anyone is answered: see Ledger.
        claim = Claim(session.guid, self.spec.key, session.identifier, session.created_at)
        self._shared.ledger.claim(claim)
        session.move(State.ACTIVE)
        session.settled.set()
        self._schedule(session)
        self._watch_liveness(session, instance)
        self._emit("allocated", cause, session)

    def _watch_liveness(self, session: Session, instance: Instance) -> None:
        probes = self.spec.template.probes if self.spec.template is not None else ()
        probe = next((one for one in probes if one.type.lower() == "liveness"), None)
        if probe is not None:
            s = self._shared
            alive = functools.partial(_active, session)
            Liveness(instance, probe, s.clock, s.sweeper, s.check, alive, self.exited).begin()

    def adopt(self, instance: Instance, claim: Claim) -> None:
        """Take back a session that an earlier process of this emulator had; its cooldown starts anew."""
        now = self._shared.clock.now()
        session = Session(claim.identifier, claim.guid, self.spec.key, min(claim.created_at, now), now)
        self._sessions[claim.identifier] = session
        self._activate(session, instance, "adopted after a restart of the emulator")

    def _as_service_error(self, error: BaseException) -> Exception:
        if isinstance(error, RuntimeUnavailable):
            return PoolUnavailable(
                f"Session pool '{self.spec.name}' cannot start a session: {error}", reason=str(error)
            )
        if isinstance(error, RuntimeFailure):
            text = f"Session pool '{self.spec.name}' could not start a session: {error}"
            return AllocationFailed(text, reason=str(error))
        return AllocationFailed(
            f"Session pool '{self.spec.name}' could not start a session.", reason=repr(error)
        )

    # -- going -------------------------------------------------------------------------------------------

    def released(self, session: Session) -> None:
        """A lease ended (called by `Lease.release`): the cooldown counts from here."""
        session.last_accessed_at = self._shared.clock.now()
        if session.state is State.ACTIVE:
            self._schedule(session)

    def _schedule(self, session: Session) -> None:
        # One heap entry a session: a request only moves the deadline, the entry finds out when it is due.
        if not session.scheduled and (moment := self.expires_at(session)) != float("inf"):
            session.scheduled = True
            self._shared.sweeper.at(moment, lambda: self._due(session))

    def _due(self, session: Session) -> Awaitable[None] | None:
        session.scheduled = False
        if session.state is not State.ACTIVE:
            return None
        hard = self.spec.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT
        if session.in_flight and not hard:
            return None  # the end of the request schedules it again
        if self.expires_at(session) > self._shared.clock.now():
            self._schedule(session)
            return None
        span = self.spec.lifecycle.max_alive if hard else self.spec.lifecycle.cooldown
        what = "maximum alive period" if hard else "cooldown"
        return self._end(session, "expired", f"{what} of {span:g} s is over")

    async def stop(self, session: Session, cause: str) -> None:
        """End an active session and return when its instance is gone; of one already ending: wait for it."""
        if session.state is State.ACTIVE:
            await self._end(session, "stopped", cause)
        elif session.state is State.EXPIRING:
            await session.gone.wait()

    def _end(self, session: Session, kind: str, cause: str) -> Awaitable[None]:
        # The state changes now, before anything is awaited: whoever asks from here on gets a new session.
        session.move(State.EXPIRING)
        self._emit(kind, cause, session)
        return self._spawn(self._dismantle(session))

    async def _dismantle(self, session: Session) -> None:
        try:
            await self._shared.runtime.stop(session.guid)
        except RuntimeFailure as error:
            # The slot is given back all the same; `sweep` and the next start find the leftover by its label.
            self._emit("stop.failed", str(error), session)
            self._retry_stop(session.guid, 2.0)
        finally:
            session.move(State.STOPPED)
            self._forget(session)

    def _retry_stop(self, guid: str, delay: float) -> None:
        async def again() -> None:
            try:
                await self._shared.runtime.stop(guid)
            except RuntimeFailure:
                self._retry_stop(guid, min(delay * 2, 60.0))

        self._shared.sweeper.at(self._shared.clock.now() + delay, again)

    def _forget(self, session: Session) -> None:
        self._shared.ledger.release(session.guid)
        if self._sessions.get(session.identifier) is session:
            del self._sessions[session.identifier]
        session.settled.set()
        session.gone.set()
        self._slot_freed.set()
        self.warm.fill()

    def exited(self, exit_: Exit) -> bool:
        """An instance ended by itself; True if it was one of this pool's."""
        if self.warm.exited(exit_):
            return True
        for session in self._sessions.values():
            # While it starts, the session does not know its instance yet; `early_exits` is for that.
            if session.guid == exit_.guid and session.state is not State.ALLOCATING:
                self._session_exited(session, exit_)
                return True
        return False

    def _session_exited(self, session: Session, exit_: Exit) -> None:
        if session.state is not State.ACTIVE:
            return
        session.exit = exit_
        session.ended.set()
        how = exit_.reason or f"exited with code {exit_.code}{', out of memory' if exit_.oom else ''}"
        clean = self.spec.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT and exit_.code == 0
        if clean:
            self._end(session, "ended", f"container {how}")
            return
        session.move(State.FAILED)
        self._emit("crashed", f"container {how}", session, code=exit_.code, oom=exit_.oom)
        self._forget(session)
        self._spawn(self._remove_leftovers(session))

    async def _remove_leftovers(self, session: Session) -> None:
        try:
            await self._shared.runtime.stop(session.guid)
        except RuntimeFailure:
            self._retry_stop(session.guid, 2.0)

    # -- the pool itself ---------------------------------------------------------------------------------

    def _new_warm(self) -> WarmSet:
        s = self._shared
        early = s.early_exits
        warm = WarmSet(
            self.spec,
            s.runtime,
            s.clock,
            s.sweeper,
            s.events,
            self._room,
            self._slot_freed.set,
            lambda guid: early.pop(guid, None),
        )
        warm.target = self._ready_target()
        return warm

    def _ready_target(self) -> int:
        if self.spec.container_type.built_in:
            wanted = self.spec.emulator.ready
            wanted = self._shared.default_ready if wanted is None else wanted
        else:
            wanted = self.spec.ready_sessions or 0
        return min(wanted, self.spec.max_sessions)

    def _room(self) -> int:
        return self.spec.max_sessions - self._instances

    @property
    def _instances(self) -> int:
        """Containers that exist or are about to: sessions in any state, warm ones, those being drained."""
        return len(self._sessions) + self.warm.size + sum(old.size for old in self._draining)

    def open(self) -> None:
        """Start filling the warm set."""
        self.warm.fill()

    async def update(self, spec: SessionPool) -> None:
        """Run by `spec` from now on: new sessions get it, running sessions keep what they have."""
        same = _what_runs(spec) == _what_runs(self.spec)
        self.spec = spec
        if same:
            self.warm.pool = spec
            self.warm.target = self._ready_target()
            self.warm.trim(max(0, min(self.warm.target, self.warm.ready + self._room())))
            self.warm.fill()
        else:
            self._cold_failure = None
            await self._replace_warm()
        for session in self._sessions.values():
            session.scheduled = (
                False  # the cooldown may be shorter now; an extra entry in the heap is harmless
            )
            self._schedule(session)
        self._emit("pool.updated", "sessions and limits follow the new document")

    async def reset(self, cause: str) -> list[str]:
        """Stop every session and warm instance, then start afresh; returns the guids removed."""
        while any(s.state is State.ALLOCATING for s in self._sessions.values()):
            await asyncio.gather(*(s.settled.wait() for s in self._sessions.values()))
        sessions = [s for s in self._sessions.values() if s.state is State.ACTIVE]
        replacing = asyncio.ensure_future(self._replace_warm())
        await asyncio.gather(*(self.stop(s, cause) for s in sessions))
        return [s.guid for s in sessions] + await replacing

    async def _replace_warm(self) -> list[str]:
        """Drain the warm set, then begin another by the present document; returns the guids removed."""
        old, self.warm = self.warm, self._new_warm()
        self.warm.target = 0  # nothing new starts until the old is gone
        self._draining.append(old)
        try:
            removed = await old.drain()
        finally:
            self._draining.remove(old)
            self._slot_freed.set()
        self.warm.target = 0 if self._closed else self._ready_target()
        self.warm.fill()
        return removed

    async def close(self, cause: str) -> list[str]:
        """Let nobody in, stop everything; returns the guids removed."""
        self._closed = True
        self._slot_freed.set()
        return await self.reset(cause)

    async def detach(self) -> None:
        """Stop working without stopping a session (the emulator ends with `--keep`)."""
        self._closed = True
        await self.warm.drain()

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)  # noqa: S101 - ensure_future of a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _emit(
        self,
        kind: str,
        cause: str,
        session: Session | None = None,
        identifier: str | None = None,
        **detail: object,
    ) -> None:
        self._shared.events.emit(
            f"session.{kind}" if "." not in kind else kind,
            cause,
            pool=self.spec.name,
            identifier=session.identifier if session else identifier,
            session=session.guid if session else None,
            **detail,
        )


def _active(session: Session) -> bool:
    return session.state is State.ACTIVE


def _what_runs(spec: SessionPool) -> tuple[object, ...]:
    return (spec.container_type, spec.template, spec.network, spec.emulator)
