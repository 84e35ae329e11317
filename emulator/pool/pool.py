"""One session pool at work: who holds what, who may come in, who has to go."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from emulator import tracing
from emulator.clock import Clock
from emulator.errors import (
    AllocationFailed,
    PodAllocationRejected,
    PoolUnavailable,
    ServiceError,
    SessionsCountExceedsLimit,
)
from emulator.pool import killing
from emulator.pool.consoles import Consoles
from emulator.pool.events import EventLog
from emulator.pool.ledger import Claim, Ledger
from emulator.pool.liveness import Check, Liveness
from emulator.pool.prospects import Prospects
from emulator.pool.removal import Remover
from emulator.pool.session import Lease, Removed, Session, State
from emulator.pool.sweeper import Sweeper
from emulator.pool.warm import WarmSet
from emulator.resources.model import LifecycleType, SessionPool
from emulator.runtimes import readiness
from emulator.runtimes.base import Exit, Instance, Runtime, RuntimeFailure, RuntimeUnavailable, Start

log = logging.getLogger("emulator.pool")

T = TypeVar("T")


@dataclass(frozen=True)
class Shared:
    """What all pools of an emulator share.

    `default_ready`: warm instances of a built-in pool. `early_exits`: exits of instances nobody holds yet,
    by guid; an instance can die between its start and the moment its session knows it. `check`: one attempt
    of a liveness probe. `logs_kept`: ended sessions whose console is kept, `log_tail` bytes of each.
    """

    runtime: Runtime
    clock: Clock
    sweeper: Sweeper
    events: EventLog
    ledger: Ledger
    default_ready: int = 1
    early_exits: dict[str, Exit] = field(default_factory=dict)
    check: Check = readiness.check
    logs_kept: int = 100
    log_tail: int = 128 * 1024

    @functools.cached_property
    def consoles(self) -> Consoles:
        consoles = Consoles(self.runtime, self.logs_kept, self.log_tail)
        self.events.listeners.append(consoles.heard)
        return consoles

    @functools.cached_property
    def remover(self) -> Remover:
        return Remover(self.runtime, self.clock, self.sweeper, self.events, self.consoles)


class Pool:
    """Lends each identifier a session of its own, within the pool's limits.

    Everything that decides runs between two awaits of one event loop, so no lock is held across a call to
    the runtime. Containers (sessions in any state, and warm ones) never exceed `max_sessions`.
    """

    def __init__(self, spec: SessionPool, shared: Shared) -> None:
        self.spec = spec
        self._shared = shared
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pauses = 0
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._prospects = Prospects(self, shared, self._spawn)
        self._closed = False
        self._slot_freed = asyncio.Event()
        self._draining: list[WarmSet] = []
        self.warm = self._new_warm()

    # -- what it looks like ------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it is being removed: nobody gets in any more."""
        return self._closed

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
        failure = self._prospects.failure or self.warm.failure
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

    @property
    def held(self) -> list[str]:
        """Guids of instances that run for this pool: of active sessions, and warm ones."""
        active = [one.guid for one in self._sessions.values() if one.state is State.ACTIVE]
        return active + self.warm.guids

    def find(self, identifier: str) -> Session | None:
        """The session of `identifier` if it can still serve; allocates nothing."""
        session = self._sessions.get(identifier)
        if session is None or session.state is not State.ACTIVE or self._end_if_overdue(session):
            return None
        return session

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
            if not self._resumed.is_set():  # a reset is under way: nobody slips in while it removes
                await self._resumed.wait()
                continue
            session = self._sessions.get(identifier)
            if session is None:
                self._refuse_when_full(identifier)
                session = self._admit(identifier)
                if session is None:  # every slot that is not serving is on its way out: wait for one
                    await self._slot_freed.wait()
                    continue
                new = True
            if session.state is State.ALLOCATING:
                await self._until_settled(session)
            elif session.state is State.ACTIVE:
                self._end_if_overdue(session)
            if session.state is State.ACTIVE:
                session.last_accessed_at = self._shared.clock.now()
                session.requests += 1
                return Lease(session, self, new_allocation=new, waited=time.perf_counter() - began)
            if session.state is State.EXPIRING:
                await session.gone.wait()
            # STOPPED or FAILED: it is out of the table by now, so ask again

    async def _until_settled(self, session: Session) -> None:
        """Wait for an allocation; waiting counts as a request, so the session cannot expire meanwhile."""
        session.in_flight += 1
        try:
            await session.settled.wait()
        finally:
            session.in_flight -= 1
            if session.state is State.ACTIVE:
                self._schedule(session)
        if session.failure is not None:
            raise self._as_service_error(session.failure)

    def _refuse_when_full(self, identifier: str) -> None:
        if self.serving < self.spec.max_sessions:
            return
        for session in list(self._sessions.values()):
            self._end_if_overdue(session)
        if self.serving < self.spec.max_sessions:
            return
        limit, name = self.spec.max_sessions, self.spec.name
        soonest = min(self.expires_at(s) for s in self._sessions.values()) - self._shared.clock.now()
        when = f"frees in {soonest:.0f} s" if soonest != float("inf") else "frees when a container exits"
        reason = f"pool {name} is full: {self.serving} of {limit} sessions; the next slot {when}"
        self._emit("refused", reason, identifier=identifier)
        refusal: ServiceError = PodAllocationRejected(
            f"Error happened when allocating pod for identifier {identifier} in pool {name}", reason=reason
        )
        if self.spec.container_type.built_in:
            refusal = SessionsCountExceedsLimit(
                f"The request sessions count is '1'. There are already '{self.serving}' active sessions "
                f"and the maximum active sessions count is '{limit}'.",
                reason=reason,
            )
        refusal.told = True
        raise refusal

    def _admit(self, identifier: str) -> Session | None:
        """Give `identifier` a slot: a warm instance, one that is starting, or a start of its own."""
        now = self._shared.clock.now()
        if (ready := self.warm.claim()) is not None:
            session = Session(identifier, ready.guid, self.spec.key, now, now)
            self._sessions[identifier] = session
            self._activate(session, ready, "claimed a warm instance", "claimed")
            self.warm.fill()
            return session
        starting = self.warm.claim_starting()
        if starting is None and self._instances >= self.spec.max_sessions:
            self._slot_freed.clear()
            return None
        session = Session(identifier, str(uuid.uuid4()), self.spec.key, now, now)
        self._sessions[identifier] = session
        if starting is not None:
            self._spawn(self._allocate(session, starting, "took over a starting instance", "took-over"))
        else:
            cold = self._cold_start(session)
            self._spawn(self._allocate(session, cold, "started an instance", "started"))
        return session

    async def _cold_start(self, session: Session) -> Instance:
        await self._shared.runtime.prepare(self.spec)
        return await self._shared.runtime.start(Start(self.spec, session.guid, session.identifier))

    async def _allocate(self, session: Session, start: Awaitable[Instance], cause: str, how: str) -> None:
        began = time.perf_counter()
        try:
            instance = await start
        except Exception as error:
            if isinstance(error, RuntimeFailure):
                self._prospects.failure = error
            session.failure = error
            session.move(State.FAILED)
            self._forget(session)
            self._emit("allocation.failed", str(error) or repr(error), session)
            self._shared.remover.keep_console(session.guid, error)
            return
        self._prospects.failure = None
        self.warm.recovered()
        session.guid = instance.guid
        session.created_at = self._shared.clock.now()  # its maximum age does not count the start
        self._activate(session, instance, cause, how, time.perf_counter() - began)
        if (exit_ := self._shared.early_exits.pop(session.guid, None)) is not None:
            self._session_exited(session, exit_)
        self.warm.fill()

    def _activate(
        self, session: Session, instance: Instance, cause: str, how: str, took: float = 0.0
    ) -> None:
        session.instance = instance
        session.last_accessed_at = self._shared.clock.now()
        try:  # on disk before anyone is answered: see Ledger
            self._shared.ledger.claim(
                Claim(session.guid, self.spec.key, session.identifier, session.created_at)
            )
        except OSError as error:  # a full disk: better a session that a crash would lose than none
            self._emit("ledger.failed", f"the claim could not be written: {error}", session)
        session.move(State.ACTIVE)
        session.settled.set()
        self._schedule(session)
        self._watch_liveness(session, instance)
        self._emit("allocated", cause, session, how=how, milliseconds=round(took * 1000, 3))

    def _watch_liveness(self, session: Session, instance: Instance) -> None:
        probes = self.spec.template.probes if self.spec.template is not None else ()
        probe = next((one for one in probes if one.type.lower() == "liveness"), None)
        if probe is not None:
            s = self._shared
            alive = functools.partial(_active, session)
            Liveness(instance, probe, s.clock, s.sweeper, s.check, alive, self.exited).begin()

    def adopt(self, instance: Instance, claim: Claim) -> bool:
        """Take back a session that an earlier process of this emulator had; its cooldown starts anew.

        False if the identifier has another session by now.
        """
        if self._closed or claim.identifier in self._sessions:
            return False
        now = self._shared.clock.now()
        session = Session(claim.identifier, claim.guid, self.spec.key, min(claim.created_at, now), now)
        self._sessions[claim.identifier] = session
        self._activate(session, instance, "adopted after a restart of the emulator", "adopted")
        return True

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
        moment = self.expires_at(session)
        if moment != float("inf") and (session.due is None or moment < session.due):
            session.due = moment
            self._shared.sweeper.at(moment, lambda: self._due(session, moment))

    def _due(self, session: Session, moment: float) -> Awaitable[None] | None:
        if session.due != moment:
            return None  # an earlier entry took over, because the pool's cooldown became shorter
        session.due = None
        if session.state is State.ACTIVE and not self._end_if_overdue(session) and not session.in_flight:
            self._schedule(session)
        return _gone(session) if session.state is State.EXPIRING else None

    def _end_if_overdue(self, session: Session) -> bool:
        """Expire a session whose time is over, also before the sweeper gets to it; True if it was."""
        hard = self.spec.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT
        if session.state is not State.ACTIVE or (session.in_flight and not hard):
            return False
        if self.expires_at(session) > self._shared.clock.now():
            return False
        span = self.spec.lifecycle.max_alive if hard else self.spec.lifecycle.cooldown
        what = "maximum alive period" if hard else "cooldown"
        with tracing.apart():  # whoever stumbles over it has nothing to do with it
            self._end(session, "expired", f"{what} of {span:g} s is over")
        return True

    async def stop(self, session: Session, cause: str, kind: str = "stopped") -> None:
        """End a session and return when its instance is gone; of one already ending: wait for it.

        `kind`: what the events call it, `stopped` or `expired`.
        """
        if session.state is State.ALLOCATING:
            await session.settled.wait()
        if session.state is State.ACTIVE:
            self._end(session, kind, cause)
        if session.state is State.EXPIRING:
            await session.gone.wait()

    async def kill(self, session: Session, cause: str, *, oom: bool = False) -> None:
        """Let the session's container die under it, as in a crash; returns once that is known.

        `oom`: it is told as for want of memory. Of one that does not serve: nothing to do. Raises
        `RuntimeFailure` when the runtime cannot.
        """
        await killing.kill(session, cause, self._shared.runtime, self.exited, oom=oom)

    def _end(self, session: Session, kind: str, cause: str) -> None:
        # The state changes now, before anything is awaited: whoever asks from here on gets a new session. So
        # does the ledger: a session that was said to be over must not come back after a crash.
        session.move(State.EXPIRING)
        self._release_claim(session)
        self._emit(kind, cause, session)
        self._spawn(self._dismantle(session))

    async def _dismantle(self, session: Session) -> None:
        # The slot is given back even if the instance resists; the remover goes on trying.
        await self._shared.remover.remove(session.guid, pool=self.spec.name)
        session.move(State.STOPPED)
        self._forget(session)

    def _release_claim(self, session: Session) -> None:
        try:
            self._shared.ledger.release(session.guid)
        except OSError as error:
            self._emit("ledger.failed", f"the release could not be written: {error}", session)

    def _forget(self, session: Session) -> None:
        self._release_claim(session)
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
        how += f" ({session.killed_by})" if session.killed_by else ""
        clean = self.spec.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT and exit_.code == 0
        if clean:
            self._end(session, "ended", f"container {how}")
            return
        session.move(State.FAILED)
        self._emit("crashed", f"container {how}", session, code=exit_.code, oom=exit_.oom)
        self._forget(session)
        self._spawn(self._remove_leftovers(session))

    async def _remove_leftovers(self, session: Session) -> None:
        await self._shared.remover.remove(session.guid, pool=self.spec.name)

    # -- the pool itself ---------------------------------------------------------------------------------

    def _new_warm(self) -> WarmSet:
        s = self._shared
        early = s.early_exits
        warm = WarmSet(
            self.spec,
            s.runtime,
            s.remover,
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
        """Start filling the warm set, or, where there is none, find out whether the pool could start."""
        self.warm.fill()
        if self._ready_target() == 0:
            self._prospects.find_out()

    def images_changed(self) -> None:
        """The runtime's images came, went or moved: see whether this pool can start, and from what."""
        self._prospects.images_changed()

    async def update(self, spec: SessionPool) -> None:
        """Run by `spec` from now on: new sessions get it, running sessions keep what they have."""
        same = _what_runs(spec) == _what_runs(self.spec)
        self.spec = spec
        self._prospects.failure = None
        if same:
            self.warm.pool = spec
            self.warm.target = self._ready_target()
            self.warm.recovered()
            self.warm.trim(max(0, min(self.warm.target, self.warm.ready + self._room())))
            self.warm.fill()
        else:
            await asyncio.shield(self._spawn_for(self._replace_warm()))
        for session in self._sessions.values():
            self._schedule(session)  # the cooldown may be shorter now
        self._emit("pool.updated", "sessions and limits follow the new document")

    def pause(self) -> None:
        """Let nobody in until `resume` was called as often: who asks for a session meanwhile waits."""
        self._pauses += 1
        self._resumed.clear()

    def resume(self) -> None:
        self._pauses -= 1
        if self._pauses == 0:
            self._resumed.set()

    async def reset(self, cause: str) -> list[Removed]:
        """Stop every session and warm instance, then start afresh; returns what was removed.

        Goes on to its end when its caller is cancelled. Nobody is let in meanwhile.
        """
        return await asyncio.shield(self._spawn_for(self._reset(cause)))

    async def _reset(self, cause: str) -> list[Removed]:
        self.pause()
        try:
            replacing = self._spawn_for(self._replace_warm())
            name, sessions = self.spec.name, self.sessions
            await asyncio.gather(*(self.stop(session, cause) for session in sessions))
            removed = [Removed(session.guid, name, session.identifier) for session in sessions]
            return removed + [Removed(guid, name) for guid in await replacing]
        finally:
            self.resume()

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

    async def close(self, cause: str) -> list[Removed]:
        """Let nobody in, stop everything; returns what was removed."""
        self._closed = True
        self._slot_freed.set()
        removed = await self.reset(cause)
        await self._work_done()
        return removed

    async def detach(self) -> None:
        """Stop working without stopping a session (the emulator ends with `--keep`)."""
        self._closed = True
        self._slot_freed.set()
        await self.warm.drain()
        await self._work_done()

    async def _work_done(self) -> None:
        """Allocations and removals under way are finished, so that nothing goes on behind our back."""
        while others := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(others)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn_for(work)

    def _spawn_for(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _emit(
        self,
        kind: str,
        cause: str,
        session: Session | None = None,
        identifier: str | None = None,
        **detail: Any,
    ) -> None:
        self._shared.events.emit(
            f"session.{kind}" if "." not in kind else kind,
            cause,
            pool=self.spec.name,
            identifier=session.identifier if session else identifier,
            session=session.guid if session else None,
            **detail,
        )


async def _gone(session: Session) -> None:
    await session.gone.wait()


def _active(session: Session) -> bool:
    return session.state is State.ACTIVE


def _what_runs(spec: SessionPool) -> tuple[object, ...]:
    return (spec.container_type, spec.template, spec.network, spec.emulator)
