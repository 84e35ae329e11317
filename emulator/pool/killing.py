"""Killing a session's container on purpose, so that everybody learns of it as of a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emulator.pool.session import Session, State
from emulator.runtimes.base import Exit, Runtime, RuntimeFailure

EXIT_NEWS = 5.0
"""Real seconds that the runtime may take to tell of an exit it was asked for."""


async def kill(
    session: Session, cause: str, runtime: Runtime, exited: Callable[[Exit], object], *, oom: bool
) -> None:
    """Return once the container is known to have died; `exited` is called if the news of it gets lost."""
    if session.state is State.ALLOCATING:
        await session.settled.wait()
    if session.state is not State.ACTIVE:
        return
    session.killed_by = cause
    try:
        await runtime.kill(session.guid, oom=oom)
    except RuntimeFailure:
        session.killed_by = None
        raise
    try:
        async with asyncio.timeout(EXIT_NEWS):
            await session.gone.wait()
    except TimeoutError:
        exited(Exit(session.guid, 137, oom))
