"""Removing an instance, again and again until it is gone: no container is ever given up on."""

from __future__ import annotations

import logging

from emulator.clock import Clock
from emulator.pool.consoles import Consoles
from emulator.pool.events import EventLog
from emulator.pool.sweeper import Sweeper
from emulator.runtimes.base import Runtime, RuntimeFailure

log = logging.getLogger("emulator.pool")

FIRST_RETRY = 2.0
LAST_RETRY = 60.0
NO_CONSOLE = "(no container came so far that it could print anything)"


class Remover:
    """Stops instances; one that cannot be stopped is tried again after 2, 4 … at most 60 s of the clock.

    What an ended one printed is read first: afterwards there is nothing left to read.
    """

    def __init__(
        self, runtime: Runtime, clock: Clock, sweeper: Sweeper, events: EventLog, consoles: Consoles
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._sweeper = sweeper
        self._events = events
        self._consoles = consoles
        self.resisting: set[str] = set()
        """Guids of instances that could not be removed yet and will be tried again."""

    async def remove(self, guid: str, *, pool: str | None = None) -> bool:
        """Stop the instance; never raises. False if that has to be tried again, which is seen to."""
        await self._consoles.fetch(guid)
        return await self._try(guid, pool, FIRST_RETRY)

    def keep_console(self, guid: str, failure: BaseException) -> None:
        """Keep what an instance printed whose start failed; its runtime has removed it already."""
        console = failure.console if isinstance(failure, RuntimeFailure) else None
        self._consoles.keep(guid, console, NO_CONSOLE)

    async def _try(self, guid: str, pool: str | None, delay: float) -> bool:
        try:
            await self._runtime.stop(guid)
        except Exception as error:  # also a bug in a runtime must not leave a container behind
            self.resisting.add(guid)
            if delay == FIRST_RETRY:
                self._events.emit("stop.failed", str(error) or repr(error), pool=pool, session=guid)

            async def again() -> None:
                await self._try(guid, pool, min(delay * 2, LAST_RETRY))

            self._sweeper.at(self._clock.now() + delay, again)
            return False
        self.resisting.discard(guid)
        return True
