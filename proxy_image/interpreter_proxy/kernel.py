"""The session's kernel: always one, started anew when it dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from .instance import Ending, KernelInstance
from .languages import Language, language
from .output import Collector
from .process import Death, KernelProcess
from .spawn import Launch, Spawned

log = logging.getLogger("interpreter_proxy")

_LONGEST_PAUSE = 10.0
# The service's own words, seen live in 2026.
OUT_OF_MEMORY = "Execution aborted"
TIMED_OUT = "Request timed out waiting for code execution to complete"
_LOST = "variables are gone, files are kept."


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long a run may take, in seconds; the message names the number only if the caller gave it."""

    seconds: float
    given: bool = False

    @property
    def message(self) -> str:
        """What stderr says when it is over."""
        return f"{TIMED_OUT} after {self.seconds:g} seconds" if self.given else TIMED_OUT


class Kernel:
    """Runs code in the session's kernel; `run` is the task that keeps it alive."""

    def __init__(self, launch: Launch, first: Spawned, *, grace: float, start_timeout: float) -> None:
        self._launch = launch
        self._first: Spawned | None = first
        self._grace = grace
        self._start_timeout = start_timeout
        self._instance: KernelInstance | None = None
        self._ready = asyncio.Event()
        self.trouble = "The kernel is starting."
        # Who wants to know of each new kernel, as soon as it can be used.
        self.on_ready: list[Callable[[KernelInstance], Coroutine[Any, Any, None]]] = []
        self._told: set[asyncio.Task[None]] = set()
        self._alone: set[KernelInstance] = set()
        self._doomed = False

    @property
    def language(self) -> Language:
        """The language of the running kernel, or of its specification until one runs."""
        return self._instance.language if self._instance else language(self._launch.spec.language)

    @property
    def instance(self) -> KernelInstance | None:
        """The kernel that is ready for use, if one is."""
        return self._instance if self._ready.is_set() else None

    async def run(self) -> None:
        """Starts the kernel and starts it again whenever it dies, until cancelled."""
        pause = 0.0
        try:
            while True:
                process = KernelProcess(self._launch, self._first)
                self._first = None
                instance = self._instance = KernelInstance(process, self._grace)
                usable = await self._bring_up(instance)
                death = await instance.death
                self._ready.clear()
                self._explain(process, death, usable)
                pause = 0.0 if usable else min(_LONGEST_PAUSE, pause * 2 or 0.5)
                await asyncio.sleep(pause)
        finally:
            self._ready.clear()
            if self._instance is not None:
                self._instance.process.end()
                await asyncio.wait([self._instance.death])
            elif self._first is not None:
                KernelProcess(self._launch, self._first).end()

    async def execute(
        self, code: str, collector: Collector, limit: TimeLimit, *, aside: bool = False
    ) -> None:
        """Runs code in the shared kernel within the limit and completes the collector."""
        try:
            instance = await asyncio.wait_for(self._usable(), self._start_timeout)
        except TimeoutError:
            collector.fail("ConnectionError", self.trouble)
            return
        self._strike(instance)
        ending = await instance.execute(code, collector, limit.seconds, aside=aside)
        over = instance.death.done() or ending in {Ending.DIED, Ending.TIMED_OUT_AND_KILLED}
        if (
            over and instance is self._instance
        ):  # else the next one is ready already, and nobody says so again
            self._ready.clear()
        conclude(collector, ending, instance, limit)

    async def execute_alone(self, code: str, collector: Collector, limit: TimeLimit) -> None:
        """Runs code in a fresh kernel of its own that is ended afterwards."""
        instance = KernelInstance(KernelProcess(self._launch), self._grace)
        self._alone.add(instance)
        try:
            await asyncio.wait_for(instance.prepare(), self._start_timeout)
            self._strike(instance)
            ending = await instance.execute(code, collector, limit.seconds)
            conclude(collector, ending, instance, limit)
        except (TimeoutError, ConnectionError):
            collector.fail(
                "ConnectionError", f"The fresh kernel did not start. {instance.process.last_words}"
            )
        finally:
            self._alone.discard(instance)
            instance.close()
            await asyncio.wait([instance.death])

    async def die(self, *, with_next_run: bool) -> bool:
        """Kills every kernel of the session at once, or the one that takes the next run's code, as it does.

        For tests of what depends on the session; False when there is no kernel to kill.
        """
        if with_next_run:
            self._doomed = True
            return True
        there = [one for one in (self.instance, *self._alone) if one is not None and not one.death.done()]
        for instance in there:
            instance.close()
        if there:  # what is asked for from here on runs in a new kernel
            await asyncio.wait([instance.death for instance in there])
        return bool(there)

    def _strike(self, instance: KernelInstance) -> None:
        if self._doomed:
            self._doomed = False
            instance.close()

    async def _usable(self) -> KernelInstance:
        """Waits for a kernel that is ready and alive, as far as anybody knows."""
        while True:
            await self._ready.wait()
            if self._instance is not None and not self._instance.death.done():
                return self._instance
            self._ready.clear()

    async def _bring_up(self, instance: KernelInstance) -> bool:
        try:
            await asyncio.wait_for(instance.prepare(), self._start_timeout)
        except TimeoutError:
            self.trouble = f"The kernel did not answer within {self._start_timeout:g} seconds of its start."
            instance.close()
            return False
        except ConnectionError:
            return False
        log.debug("The kernel is ready (process %d).", instance.process.pid)
        self._ready.set()
        self._told = {asyncio.create_task(tell(instance)) for tell in self.on_ready}
        return True

    def _explain(self, process: KernelProcess, death: Death, usable: bool) -> None:
        words = f" Its last words: {process.last_words}" if process.last_words else ""
        when = "died" if usable else "did not start"
        self.trouble = f"The kernel {when}: {death}.{words[-1_000:]} It is being started again."
        log.warning("The kernel %s: %s.%s It is being started again.", when, death, words)


def conclude(collector: Collector, ending: Ending, instance: KernelInstance, limit: TimeLimit) -> None:
    """Puts into words how a run ended that did not end by itself."""
    if ending is Ending.TIMED_OUT:
        collector.fail("Timeout", limit.message)
    elif ending is Ending.TIMED_OUT_AND_KILLED:
        collector.fail("Timeout", limit.message)
        collector.stderr.line(f"The kernel could not be interrupted and was restarted: {_LOST}")
    elif ending is Ending.DIED:
        death = instance.death.result()
        if death.out_of_memory:
            collector.fail("ConnectionClosed", OUT_OF_MEMORY)
        else:
            collector.fail("ConnectionClosed", f"The kernel died: {death}. It was restarted: {_LOST}")
