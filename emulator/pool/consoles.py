"""What ended sessions printed: kept for a while after their containers are gone, for who asks why."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace

from emulator.pool.events import Event
from emulator.runtimes.base import Runtime

log = logging.getLogger("emulator.pool")

FETCH_SECONDS = 2.0
"""Real seconds that a removal waits for the last lines, at most."""
LINES = 2_000

ENDS = frozenset(
    {
        *("session.expired", "session.stopped", "session.ended", "session.crashed", "session.lost"),
        *("instance.exited", "instance.failed", "instance.swept", "allocation.failed"),
    }
)
"""Kinds of events after which an instance serves nobody any more."""

GONE = "(its container was gone before its console could be read; the emulator did not remove it)"


@dataclass(frozen=True)
class Ended:
    """A session, or an instance that never became one, that is over: how, when, and its console's end.

    `ended_at` in emulated seconds since the epoch. `console` is None where it could not be read; `note`
    says why, or that its beginning was cut.
    """

    guid: str
    pool: str | None
    identifier: str | None
    kind: str
    cause: str
    ended_at: float
    console: str | None = None
    note: str = "(its console is being read)"


class Consoles:
    """The newest `kept` ended sessions with the last `tail` bytes of each one's console."""

    def __init__(self, runtime: Runtime, kept: int = 100, tail: int = 128 * 1024) -> None:
        self._runtime = runtime
        self._kept = kept
        self._tail = tail
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        self._fetching: set[asyncio.Task[str | None]] = set()
        self._closed = False

    @property
    def ended(self) -> list[Ended]:
        """Newest first."""
        return list(reversed(self._ended.values()))

    @property
    def size(self) -> int:
        """Characters of console kept in all."""
        return sum(len(one.console or "") for one in self._ended.values())

    def find(self, guid: str) -> Ended | None:
        return self._ended.get(guid)

    def heard(self, event: Event) -> None:
        """A listener of the event log: begins the record of what ends, before its instance is removed."""
        if event.kind not in ENDS or event.session is None or self._kept == 0 or self._closed:
            return
        ended = Ended(event.session, event.pool, event.identifier, event.kind, event.cause, event.time)
        self._ended.pop(event.session, None)
        self._ended[event.session] = ended
        while len(self._ended) > self._kept:
            self._ended.popitem(last=False)

    def keep(self, guid: str, console: str | None, note: str = "") -> None:
        """The console of an instance that is known to have ended; of others nothing is kept."""
        if (ended := self._ended.get(guid)) is None:
            return
        if console is not None:
            console, note = _end_of(console, self._tail, note)
        self._ended[guid] = replace(ended, console=console, note=note)

    async def fetch(self, guid: str) -> None:
        """Read the console of an instance that is about to be removed; never raises, never takes long."""
        ended = self._ended.get(guid)
        if ended is None or ended.console is not None or self._closed:
            return
        task = asyncio.create_task(self._runtime.logs(guid, LINES))
        self._fetching.add(task)
        task.add_done_callback(self._fetched)
        done, _ = await asyncio.wait({task}, timeout=FETCH_SECONDS)
        if not done:
            task.cancel()
            self.keep(guid, None, f"(its console could not be read within {FETCH_SECONDS:g} s)")
        elif task.cancelled() or (error := task.exception()) is not None:
            why = "the emulator was stopping" if task.cancelled() else str(error) or repr(error)
            self.keep(guid, None, f"(its console could not be read: {why})")
        else:
            console = task.result()
            self.keep(guid, console, GONE if console is None else "")

    def _fetched(self, task: asyncio.Task[str | None]) -> None:
        self._fetching.discard(task)
        if not task.cancelled():
            task.exception()  # looked at in `fetch`, or too late to matter

    def clear(self) -> int:
        """Forget everything; returns how many there were."""
        count = len(self._ended)
        self._ended.clear()
        return count

    def close(self) -> None:
        """The emulator stops and its memory goes with it: nothing is worth reading any more."""
        self._closed = True


def _end_of(console: str, limit: int, note: str) -> tuple[str, str]:
    raw = console.encode("utf-8", "replace")
    if len(raw) <= limit:
        return console, note
    cut = raw[-limit:].decode("utf-8", "ignore")
    return cut, f"(the last {limit} of {len(raw)} bytes)"
