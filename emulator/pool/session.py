"""One session: an identifier's hold on an instance, and the only place where its state changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from emulator.runtimes.base import Exit, Instance


class State(StrEnum):
    """`ALLOCATING → ACTIVE → EXPIRING → STOPPED`, or `FAILED` from any of the first three.

    EXPIRING exists so that no request is ever given a session that is being stopped.
    """

    ALLOCATING = "Allocating"
    ACTIVE = "Active"
    EXPIRING = "Expiring"
    STOPPED = "Stopped"
    FAILED = "Failed"


_NEXT = {
    State.ALLOCATING: {State.ACTIVE, State.FAILED},
    State.ACTIVE: {State.EXPIRING, State.FAILED},
    State.EXPIRING: {State.STOPPED},
    State.STOPPED: set[State](),
    State.FAILED: set[State](),
}


class IllegalTransition(RuntimeError):
    """A bug in the emulator: a session was moved along an edge that does not exist."""


@dataclass(eq=False)
class Session:
    """An identifier's session. Times in emulated seconds since the epoch; `in_flight` requests hold it.

    `gone` is set once the session will never serve again and its instance was asked to stop; `ended` as
    soon as its container is known to have exited, with `exit` saying how; `killed_by` says who wanted that,
    if somebody did. `due` is the moment at which the sweeper looks at it.
    """

    identifier: str
    guid: str
    pool_key: str
    created_at: float
    last_accessed_at: float
    state: State = State.ALLOCATING
    instance: Instance | None = None
    in_flight: int = 0
    requests: int = 0
    exit: Exit | None = None
    killed_by: str | None = None
    due: float | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None

    def move(self, to: State) -> None:
        """Change state. Raises `IllegalTransition` on an edge that is not drawn above."""
        if to not in _NEXT[self.state]:
            raise IllegalTransition(f"session {self.guid} ({self.identifier}): {self.state} → {to}")
        self.state = to

    @property
    def etag(self) -> str:
        """As recorded on Shell pools: `0--<guid>`; it changes whenever the underlying container does."""
        return f"0--{self.guid}"

    @property
    def running(self) -> Instance:
        """The instance of a session that has one."""
        if self.instance is None:
            raise IllegalTransition(f"session {self.guid} has no instance in state {self.state}")
        return self.instance


@dataclass(frozen=True)
class Removed:
    """An instance that was removed from a pool; `identifier` is None for a warm one."""

    guid: str
    pool: str
    identifier: str | None = None


class LeaseReleaser(Protocol):
    """Who is told when a lease ends."""

    def released(self, session: Session) -> None: ...


class Lease:
    """A request's hold on a session: while it is open the session does not expire.

    `new_allocation` tells whether this request caused the allocation; `waited` how long (real seconds)
    it took to get the session.
    """

    def __init__(
        self, session: Session, release: LeaseReleaser, *, new_allocation: bool, waited: float
    ) -> None:
        self.session = session
        self.new_allocation = new_allocation
        self.waited = waited
        self._release: LeaseReleaser | None = release
        session.in_flight += 1

    def hold(self) -> Lease:
        """A second hold on the same session, e.g. for an asynchronous execution that outlives its request."""
        if self._release is None:
            raise IllegalTransition("a released lease cannot be held again")
        return Lease(self.session, self._release, new_allocation=False, waited=0.0)

    def release(self) -> None:
        """Let go; again: nothing happens."""
        release, self._release = self._release, None
        if release is not None:
            self.session.in_flight -= 1
            release.released(self.session)

    async def __aenter__(self) -> Lease:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
