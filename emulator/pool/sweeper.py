"""One heap of deadlines and one task that waits for the earliest; nothing else sleeps on time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from emulator.clock import Clock

log = logging.getLogger("emulator.pool")

Due = Callable[[], Awaitable[None] | None]
"""What to do when a deadline is reached; an awaitable it returns is finished before `run_due` returns."""


class Sweeper:
    """Calls back when a moment of the clock has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Due]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()
        self._running: set[asyncio.Future[None]] = set()

    def at(self, moment: float, due: Due) -> None:
        """Call `due` once, when the clock reaches `moment` (emulated seconds since the epoch)."""
        heapq.heappush(self._heap, (moment, next(self._order), due))
        if self._heap[0][0] == moment:
            self._earlier.set()

    def shift(self, seconds: float) -> None:
        """The clock was set back by `-seconds`: every deadline moves with it."""
        self._heap = [(moment + seconds, order, due) for moment, order, due in self._heap]
        self._earlier.set()

    async def run(self) -> None:
        """Serve deadlines until cancelled."""
        while True:
            self._earlier.clear()
            self._start_due()
            sleep = self._clock.sleep_until(self._heap[0][0]) if self._heap else None
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._earlier.wait())]
            if sleep is not None:
                waits.append(asyncio.ensure_future(sleep))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def run_due(self) -> None:
        """Do everything that is due now, and return only when it is done (also what a callback adds)."""
        self._start_due()
        while self._running:
            await asyncio.wait(self._running)
            self._start_due()

    def _start_due(self) -> None:
        while self._heap and self._heap[0][0] <= self._clock.now():
            _, _, due = heapq.heappop(self._heap)
            try:
                result = due()
            except Exception:
                log.exception("a deadline's action failed")
                continue
            if result is not None:
                future = asyncio.ensure_future(result)
                self._running.add(future)
                future.add_done_callback(self._finished)

    def _finished(self, future: asyncio.Future[None]) -> None:
        self._running.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("a deadline's action failed", exc_info=error)
