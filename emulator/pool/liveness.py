"""Liveness probes: an instance whose container runs but does not answer any more is ended, with the cause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from emulator.clock import Clock
from emulator.pool.sweeper import Sweeper
from emulator.resources.model import Probe
from emulator.runtimes.base import Address, Exit, Instance

Check = Callable[[Address, Probe | None], Awaitable[str]]
"""One attempt: `""` when it succeeded, otherwise what was seen; may raise OSError or TimeoutError."""


class Liveness:
    """Probes one instance every `period` seconds of the clock until it fails or `alive()` says it is over.

    Moving the clock by several periods is as good as waiting for them.

    `failed` is called once, with an `Exit` that says what was seen, after `failure_threshold` failures in
    a row.
    """

    def __init__(
        self,
        instance: Instance,
        probe: Probe,
        clock: Clock,
        sweeper: Sweeper,
        check: Check,
        alive: Callable[[], bool],
        failed: Callable[[Exit], object],
    ) -> None:
        self._instance = instance
        self._probe = probe
        self._clock = clock
        self._sweeper = sweeper
        self._check = check
        self._alive = alive
        self._failed = failed
        self._failures = 0
        self._due = 0.0

    def begin(self) -> None:
        self._due = self._clock.now() + (self._probe.initial_delay or self._probe.period)
        self._sweeper.at(self._due, self._probe_once)

    def _again(self) -> None:
        # A clock that jumped over several periods makes up for them, as far as they can decide anything.
        made_up = self._clock.now() - self._probe.period * self._probe.failure_threshold
        self._due = max(self._due + self._probe.period, made_up)
        self._sweeper.at(self._due, self._probe_once)

    async def _probe_once(self) -> None:
        if not self._alive():
            return
        try:
            async with asyncio.timeout(self._probe.timeout):
                seen = await self._check(self._instance.address, self._probe)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            seen = f"{type(error).__name__}: {error}".rstrip(": ")
        if not self._alive():
            return
        self._failures = self._failures + 1 if seen else 0
        if self._failures < self._probe.failure_threshold:
            self._again()
            return
        times = f"{self._failures} time{'s' if self._failures > 1 else ''} in a row"
        reason = f"failed its liveness probe (GET {self._probe.path}) {times}; last seen: {seen}"
        self._failed(Exit(self._instance.guid, None, reason=reason))
