"""What happened and why: one ring buffer that the log, the journal, the page and `doctor` all read."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

from emulator.clock import Clock

log = logging.getLogger("emulator.events")


@dataclass(frozen=True)
class Event:
    """One thing that happened. `time` in emulated seconds since the epoch; `cause` in plain words."""

    sequence: int
    time: float
    kind: str
    cause: str
    pool: str | None = None
    identifier: str | None = None
    session: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}


class EventLog:
    """Keeps the newest `capacity` events and hands each to whoever follows."""

    def __init__(self, clock: Clock, capacity: int = 10_000) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=capacity)
        self._sequence = 0
        self._followers: set[asyncio.Queue[Event]] = set()

    def emit(
        self,
        kind: str,
        cause: str,
        *,
        pool: str | None = None,
        identifier: str | None = None,
        session: str | None = None,
        **detail: Any,
    ) -> Event:
        self._sequence += 1
        event = Event(self._sequence, self._clock.now(), kind, cause, pool, identifier, session, detail)
        self._events.append(event)
        log.info("%s: %s", kind, cause, extra={"event": event})
        for queue in self._followers:
            if queue.full():  # a follower that does not read loses its oldest event, never ours
                queue.get_nowait()
            queue.put_nowait(event)
        return event

    def recent(self, since: int = 0) -> list[Event]:
        """Events after sequence number `since`, oldest first."""
        return [event for event in self._events if event.sequence > since]

    def clear(self) -> int:
        """Forget everything; returns how many there were."""
        count = len(self._events)
        self._events.clear()
        return count

    async def follow(self) -> AsyncIterator[Event]:
        """Events from now on, until the iteration is closed."""
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=1_000)
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)
