"""The warm set: instances started before anybody asked, so that a claim costs no engine call."""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections import deque
from collections.abc import Callable

from emulator import tracing
from emulator.clock import Clock
from emulator.pool.events import EventLog
from emulator.pool.removal import Remover
from emulator.pool.sweeper import Sweeper
from emulator.resources.model import SessionPool
from emulator.runtimes.base import Exit, Instance, Runtime, RuntimeFailure, Start

log = logging.getLogger("emulator.pool")

FIRST_RETRY = 1.0
LAST_RETRY = 60.0


class WarmSet:
    """Ready and starting instances of one pool.

    `room` says how many instances the pool may still have started; the set never starts more. `freed` is
    called when an instance of the set is gone; `lost` tells of an exit that was heard of before its start was
    over. A start that fails, or a ready instance that dies, is retried after 1, 2, 4 … at most 60 seconds of
    the clock.
    """

    def __init__(
        self,
        pool: SessionPool,
        runtime: Runtime,
        remover: Remover,
        clock: Clock,
        sweeper: Sweeper,
        events: EventLog,
        room: Callable[[], int],
        freed: Callable[[], None],
        lost: Callable[[str], Exit | None],
    ) -> None:
        self.pool = pool
        self.target = 0
        self.failure: BaseException | None = None
        self._runtime = runtime
        self._remover = remover
        self._clock = clock
        self._sweeper = sweeper
        self._events = events
        self._room = room
        self._freed = freed
        self._lost = lost
        self._ready: deque[Instance] = deque()
        self._starting: deque[asyncio.Task[Instance]] = deque()
        self._stopping: set[asyncio.Task[bool]] = set()
        self._retry = FIRST_RETRY
        self._waiting_to_retry = False
        self._closed = False
        self._crashing = False
        self._last_trouble = float("-inf")
        self._image: str | None = None
        self._leaving = 0  # starts that `drain` waits for
        self.changed = asyncio.Event()

    @property
    def ready(self) -> int:
        return len(self._ready)

    @property
    def starting(self) -> int:
        return len(self._starting)

    @property
    def guids(self) -> list[str]:
        """Of the instances that are ready."""
        return [instance.guid for instance in self._ready]

    @property
    def size(self) -> int:
        """Instances that exist or are about to, for the pool's total."""
        return len(self._ready) + len(self._starting) + len(self._stopping) + self._leaving

    def claim(self) -> Instance | None:
        """A ready instance, or None. It is the caller's from here on."""
        return self._ready.popleft() if self._ready else None

    def claim_starting(self) -> asyncio.Task[Instance] | None:
        """A start already under way, or None; the caller gets its result instead of the set."""
        return self._starting.popleft() if self._starting else None

    def fill(self) -> None:
        """Start what is missing, in the background."""
        if self._closed or self._waiting_to_retry:
            return
        while len(self._ready) + len(self._starting) < self.target and self._room() > 0:
            guid = str(uuid.uuid4())
            with tracing.apart():  # it is for whoever comes next, not for the request that made room
                task = asyncio.create_task(self._start(guid), name=f"warm {self.pool.name}")
                task.add_done_callback(functools.partial(self._started, guid))
            self._starting.append(task)

    async def _start(self, guid: str) -> Instance:
        await self._runtime.prepare(self.pool)
        return await self._runtime.start(Start(self.pool, guid))

    def _started(self, guid: str, task: asyncio.Task[Instance]) -> None:
        if task not in self._starting:
            return  # claimed while it started: its outcome is the claimer's
        self._starting.remove(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._failed(error, guid)
            return
        instance = task.result()
        if self._clock.now() - self._last_trouble > LAST_RETRY or not self._crashing:
            self.failure, self._crashing = None, False
        if self._image is not None and instance.image != self._image:
            self._replace(instance)
            return
        self._ready.append(instance)
        if self._room() < 0:  # the pool became smaller while it started
            self.trim(len(self._ready) - 1)
            return
        if (exit_ := self._lost(instance.guid)) is not None:
            self.exited(exit_)
            return
        self._events.emit(
            "instance.ready", "warm instance started", pool=self.pool.name, session=instance.guid
        )
        self.changed.set()

    def run_only(self, image: str) -> None:
        """Stop ready instances of another image than that with id `image`, which the pool means by now."""
        self._image = image
        for instance in [one for one in self._ready if one.image != image]:
            self._ready.remove(instance)
            self._replace(instance)

    def _replace(self, instance: Instance) -> None:
        cause = "the pool's image is another one by now"
        self._events.emit("instance.replaced", cause, pool=self.pool.name, session=instance.guid)
        self._stop(instance)

    def _failed(self, failure: BaseException, guid: str) -> None:
        if self.failure is None or str(self.failure) != str(failure):
            cause = str(failure) or repr(failure)
            self._events.emit("instance.failed", cause, pool=self.pool.name, session=guid)
            self._remover.keep_console(guid, failure)
        self.failure = failure
        self.changed.set()
        self._freed()
        self._back_off()

    def recovered(self) -> None:
        """What stood in the way is gone, or may be: try again at once."""
        self.failure, self._retry, self._crashing = None, FIRST_RETRY, False
        self._waiting_to_retry = False

    def _back_off(self) -> None:
        if self._waiting_to_retry or self._closed:
            return
        self._waiting_to_retry = True
        now = self._clock.now()
        if now - self._last_trouble > LAST_RETRY + self._retry:
            self._retry = FIRST_RETRY
        self._last_trouble = now
        self._sweeper.at(self._clock.now() + self._retry, self._try_again)
        self._retry = min(self._retry * 2, LAST_RETRY)

    def _try_again(self) -> None:
        self._waiting_to_retry = False
        self.fill()

    def exited(self, exit_: Exit) -> bool:
        """Forget a ready instance that died; True if it was one of ours."""
        for instance in self._ready:
            if instance.guid == exit_.guid:
                self._ready.remove(instance)
                if self._clock.now() - self._last_trouble <= LAST_RETRY:  # once is an accident
                    how = exit_.reason or f"exited with code {exit_.code}"
                    self.failure = RuntimeFailure(f"ready instances do not last; the last one {how}")
                    self._crashing = True
                self._events.emit(
                    "instance.exited",
                    f"warm instance exited with code {exit_.code}{', out of memory' if exit_.oom else ''}",
                    pool=self.pool.name,
                    session=exit_.guid,
                )
                self._stop(instance)
                self._back_off()
                return True
        return False

    def _stop(self, instance: Instance) -> None:
        task = asyncio.create_task(self._remover.remove(instance.guid, pool=self.pool.name))
        self._stopping.add(task)
        task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[bool]) -> None:
        self._stopping.discard(task)
        self.changed.set()
        self._freed()
        self.fill()

    def trim(self, to: int) -> None:
        """Stop ready instances beyond `to`."""
        while len(self._ready) > to:
            self._stop(self._ready.pop())

    async def drain(self) -> list[str]:
        """Stop every warm instance, also those still starting; returns their guids."""
        self._closed = True
        removed = [instance.guid for instance in self._ready]
        starts = list(self._starting)
        self._starting.clear()
        self.trim(0)
        self._leaving = len(starts)
        for outcome in await asyncio.gather(*starts, return_exceptions=True):
            self._leaving -= 1
            if isinstance(outcome, Instance):
                removed.append(outcome.guid)
                self._stop(outcome)
        while self._stopping:
            await asyncio.wait(self._stopping)
        return removed
