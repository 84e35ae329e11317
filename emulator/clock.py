"""The one source of time: everything that waits or expires asks a `Clock`, so tests can move it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Protocol

LONGEST_WAIT = 30.0
"""Real seconds after which a sleeper looks at the time again."""


class Clock(Protocol):
    """Seconds since the epoch, and a way to wait for a moment of it."""

    def now(self) -> float: ...

    async def sleep_until(self, moment: float) -> None: ...

    def advance(self, seconds: float) -> None: ...


class _Movable:
    """Wakes sleepers whenever the clock is moved; they look at the time again and sleep on."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def _announce(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _wait(self, at_most: float | None) -> None:
        moved = self._moved
        try:
            await asyncio.wait_for(moved.wait(), at_most)
        except TimeoutError:
            return


def _check_forward(seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a clock only moves forward, by a finite time; got {seconds} seconds")


def _monotonic() -> float:
    # CLOCK_BOOTTIME runs on while a laptop sleeps, as Azure's cooldown does; and like every monotonic
    # clock it does not follow a jump of the host's wall clock, which must not end sessions.
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SystemClock(_Movable):
    """Real time, optionally scaled and shifted.

    `scale` is emulated seconds per real second (> 0); `offset` is what `advance` added, in seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0
        self.offset = 0.0
        self._real = _monotonic()
        self._base = time.time()

    def now(self) -> float:
        return self._base + (_monotonic() - self._real) * self.scale

    async def sleep_until(self, moment: float) -> None:
        while (left := moment - self.now()) > 0:
            # The loop's own timers stand still while the machine is suspended; this clock does not.
            await self._wait(min(left / self.scale, LONGEST_WAIT))

    def advance(self, seconds: float) -> None:
        _check_forward(seconds)
        self._base += seconds
        self.offset += seconds
        self._announce()

    def set_scale(self, scale: float) -> None:
        if not 0 < scale <= 1_000_000:
            raise ValueError(f"scale must be above 0 and at most 1,000,000; got {scale}")
        self._base, self._real = self.now(), _monotonic()
        self.scale = scale
        self._announce()

    def reset(self) -> None:
        """Back to the real time, at its real pace."""
        self.scale, self.offset = 1.0, 0.0
        self._real, self._base = _monotonic(), time.time()
        self._announce()


class VirtualClock(_Movable):
    """Stands still until told to move; for tests."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        super().__init__()
        self._now = start

    def now(self) -> float:
        return self._now

    async def sleep_until(self, moment: float) -> None:
        while self._now < moment:
            await self._wait(None)

    def advance(self, seconds: float) -> None:
        _check_forward(seconds)
        self._now += seconds
        self._announce()
