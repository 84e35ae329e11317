"""Commands that Shell sessions have run, by operation id: the API inside a Shell image keeps none."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from emulator.http.versions import Execution
from emulator.pool.session import Session

TEXT_KEPT = 16 * 1024 * 1024
"""Characters of output kept for a session; the session's code is not trusted with the emulator's memory."""

Ran = tuple[Execution, dict[str, str], tuple[float, float]]
"""An execution, the headers that came with it, and how long asking and reading took (seconds)."""


class Commands:
    """Finished commands of every session, the newest `kept` of each, for as long as the session lives."""

    def __init__(self, kept: int = 1000) -> None:
        self._kept = kept
        self._of: WeakKeyDictionary[Session, OrderedDict[str, asyncio.Future[Ran]]] = WeakKeyDictionary()

    async def once(self, session: Session, operation: str, start: Callable[[], Awaitable[Ran]]) -> Ran:
        """What `start` returns, or what it returned when `operation` was first asked for (⚑ ours).

        A repeat that comes while the first is still running waits for it; one that failed is run again.
        """
        runs = self._of.setdefault(session, OrderedDict())
        while (first := runs.get(operation)) is not None:
            await asyncio.wait([first])
            if not first.cancelled():
                return first.result()
        mine = runs[operation] = asyncio.get_running_loop().create_future()
        try:
            ran = await start()
        except BaseException:
            del runs[operation]
            mine.cancel()
            raise
        mine.set_result(ran)
        _trim(runs, self._kept)
        return ran

    def find(self, session: Session, operation: str) -> Execution | None:
        """A finished command."""
        run = self._of.get(session, OrderedDict[str, asyncio.Future[Ran]]()).get(operation)
        return run.result()[0] if run is not None and run.done() and not run.cancelled() else None


def _trim(runs: OrderedDict[str, asyncio.Future[Ran]], kept: int) -> None:
    finished = [name for name, run in runs.items() if run.done()]
    sizes = {name: _size(runs[name].result()[0]) for name in finished}
    text = sum(sizes.values())
    for name in finished[:-1]:  # the newest is kept whatever its size
        if len(runs) <= kept and text <= TEXT_KEPT:
            return
        text -= sizes[name]
        del runs[name]


def _size(execution: Execution) -> int:
    return len(execution.stdout) + len(execution.stderr)
