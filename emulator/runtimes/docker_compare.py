"""What the engine runs, compared with what the emulator thinks it runs; what belongs to nobody is removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from emulator.runtimes import names
from emulator.runtimes.base import Exit, RuntimeFailure, RuntimeUnavailable
from emulator.runtimes.docker_calls import Calls
from emulator.runtimes.docker_container import Containers
from emulator.runtimes.docker_known import RESTARTED, RUNNING_STATES, Known, Phase, trouble

log = logging.getLogger("emulator.runtimes.docker")

NEWS_SECONDS = 1.0
"""What the engine's list shows must have been heard of by then; else the event stream is stuck."""


class Comparison:
    """Looks at an engine for the instances in `known`; `stop` removes one of them.

    Every method raises `RuntimeUnavailable` when the engine does not answer.
    """

    def __init__(
        self,
        calls: Calls,
        containers: Containers,
        known: dict[str, Known],
        stop: Callable[[str], Awaitable[None]],
    ) -> None:
        self._calls = calls
        self._containers = containers
        self._known = known
        self._stop = stop

    async def missed(self, *, sweep: bool) -> list[Exit]:
        """Exits nobody told of. With `sweep`, what belongs to no instance is removed as well."""
        running = [guid for guid, known in self._known.items() if known.phase is Phase.RUNNING]
        listed = {one["Labels"][names.SESSION]: one for one in await self._calls.run(self._containers.all)}
        suspects = [guid for guid in running if await self._over(guid, listed.get(guid))]
        if suspects:
            await asyncio.sleep(NEWS_SECONDS)  # the news of it may be on its way
        exits = [await self._told(guid, listed.get(guid)) for guid in suspects]
        if sweep:
            for guid in listed:
                if guid not in self._known:
                    await self._try_again(guid)
            await self.tidy()
            await self.sweep_networks()
        return [one for one in exits if one is not None]

    async def look(self, guid: str) -> Exit | None:
        """How an instance that should run ended, if it did and nobody has heard of it."""
        known = self._known.get(guid)
        if known is None or known.phase is not Phase.RUNNING or known.told:
            return None
        found = await self._calls.run(self._containers.all, guid)
        return await self._told(guid, found[0] if found else None)

    async def tidy(self) -> list[str]:
        """Try once more to remove what could not be removed; returns the guids that remain."""
        for guid, known in list(self._known.items()):
            if known.phase is Phase.LEFT:
                await self._try_again(guid)
        return [guid for guid, known in self._known.items() if known.phase is Phase.LEFT]

    async def sweep_networks(self) -> None:
        """Remove networks of instances that are not known."""
        for network in await self._calls.run(self._containers.networks):
            if network["Labels"].get(names.SESSION, "") not in self._known:
                await self._calls.run(self._containers.remove_network, network["Id"])

    async def _try_again(self, guid: str) -> None:
        try:
            await self._stop(guid)
        except RuntimeFailure as error:
            log.debug("%s could not be removed: %s", guid, error)

    async def _told(self, guid: str, container: dict[str, Any] | None) -> Exit | None:
        exit_ = await self._over(guid, container)
        if exit_ is not None:
            self._known[guid].told = True
        return exit_

    async def _over(self, guid: str, container: dict[str, Any] | None) -> Exit | None:
        known = self._known.get(guid)
        if known is None or known.phase is not Phase.RUNNING or known.told:
            return None
        if (why := trouble(known, container)) is not None:
            return Exit(guid, None, reason=why)
        if container is None or container["State"] in RUNNING_STATES:
            return None
        try:
            state = await self._calls.run(self._containers.state, container["Id"])
        except RuntimeUnavailable:
            raise
        except RuntimeFailure:
            return Exit(guid, None, reason="was removed")
        if state["Running"]:  # by now again
            return Exit(guid, None, reason=RESTARTED)
        return Exit(guid, int(state["ExitCode"]), oom=bool(state.get("OOMKilled")) or known.as_oom)
