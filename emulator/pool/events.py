"""What happened and why: one log of events that listeners, followers, the journal and `doctor` all read."""

from __future__ import annotations

import asyncio
import heapq
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from emulator import tracing
from emulator.clock import Clock
from emulator.texts import shortened

log = logging.getLogger("emulator.events")

ROUTINE = ("execution.", "file.", "request.")
"""Kinds of single requests. They are many, so they have a ring of their own and push out nothing else."""

CAUSE, DETAIL = 2_000, 500
"""Characters kept of a cause and of a text in the details: both may quote what a caller sent."""

Listener = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """One thing that happened. `time` in emulated seconds since the epoch; `cause` in plain words.

    `trace` (W3C trace id) and `operation` are those of the request that it happened to.
    """

    sequence: int
    time: float
    kind: str
    cause: str
    pool: str | None = None
    identifier: str | None = None
    session: str | None = None
    operation: str | None = None
    trace: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}


class EventLog:
    """Keeps the newest `capacity` routine events and as many others, and tells whoever wants to know.

    `epoch` names this log: sequence numbers of another one (of an emulator before) mean nothing here.
    """

    def __init__(self, clock: Clock, capacity: int = 10_000) -> None:
        self._clock = clock
        self._routine: deque[Event] = deque(maxlen=capacity)
        self._others: deque[Event] = deque(maxlen=capacity)
        self._sequence = 0
        self._news: set[asyncio.Event] = set()
        self._closed = False
        self.epoch = secrets.token_hex(4)
        self.listeners: list[Listener] = []

    @property
    def last(self) -> int:
        """The newest event's sequence number; 0 before the first."""
        return self._sequence

    @property
    def kept(self) -> int:
        return len(self._routine) + len(self._others)

    @property
    def followers(self) -> int:
        return len(self._news)

    def emit(
        self,
        kind: str,
        cause: str,
        *,
        pool: str | None = None,
        identifier: str | None = None,
        session: str | None = None,
        operation: str | None = None,
        **detail: Any,
    ) -> Event:
        """Keep, log and tell an event; every listener has heard of it when this returns."""
        self._sequence += 1
        trace = tracing.current()
        about = trace.about if trace is not None else {}
        event = Event(
            self._sequence,
            self._clock.now(),
            kind,
            shortened(cause, CAUSE),
            pool,
            identifier and shortened(identifier, tracing.LONGEST),
            session,
            shortened(operation or about.get("operation", ""), tracing.LONGEST) or None,
            about.get("trace"),
            {name: _bounded(value) for name, value in detail.items() if value is not None},
        )
        routine = kind.startswith(ROUTINE)
        (self._routine if routine else self._others).append(event)
        # A request's own line says what became of it; its single steps are for who looks closer.
        log.log(
            logging.DEBUG if routine else logging.INFO, "%s: %s", kind, event.cause, extra={"event": event}
        )
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # what happened has happened, whatever a listener makes of it
                log.exception("a listener failed at %s", kind)
        for news in self._news:
            news.set()
        return event

    def recent(self, since: int = 0) -> list[Event]:
        """Events after sequence number `since`, oldest first."""
        rings = (_after(self._routine, since), _after(self._others, since))
        return list(heapq.merge(*rings, key=lambda event: event.sequence))

    def clear(self) -> int:
        """Forget what is kept, and return how many that were; sequence numbers go on."""
        count = self.kept
        self._routine.clear()
        self._others.clear()
        return count

    def close(self) -> None:
        """Nothing will happen any more: every iteration of `follow` ends."""
        self._closed = True
        for news in self._news:
            news.set()

    async def follow(self, since: int | None = None) -> AsyncGenerator[Event, None]:
        """Events after `since` (None: from now on) until the log is closed.

        A follower is a place in the log, not a queue of its own: one that is slow holds up nobody, and
        misses only what the log itself no longer keeps (a gap in the sequence numbers).
        """
        last = self._sequence if since is None else since
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                for event in self.recent(last):
                    last = event.sequence
                    yield event
                if self._closed:
                    return
                if not self._news_after(last):
                    news.clear()
                    await news.wait()
        finally:
            self._news.discard(news)

    def _news_after(self, last: int) -> bool:
        return any(ring and ring[-1].sequence > last for ring in (self._routine, self._others))


def _after(ring: deque[Event], since: int) -> list[Event]:
    found = []
    for event in reversed(ring):
        if event.sequence <= since:
            break
        found.append(event)
    return found[::-1]


def _bounded(value: Any) -> Any:
    return shortened(value, DETAIL) if isinstance(value, str) else value
