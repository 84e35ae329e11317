"""Killing a session of the process runtime leaves nothing of it, also where there is no bubblewrap."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from emulator.resources.model import ContainerType, SessionPool
from emulator.runtimes.base import Exit, Start
from emulator.runtimes.options import StartOptions
from emulator.runtimes.process import ProcessRuntime, _descendants


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_kernel_that_cannot_end_itself_is_killed_along() -> None:
    async def killed() -> tuple[Exit, list[int]]:
        runtime = ProcessRuntime(StartOptions(instance="process-kill"))
        runtime.bwrap = None
        try:
            await runtime.start(Start(SessionPool("python", ContainerType.PYTHON), "one"))
            there = _descendants(runtime._children["one"].process.pid)
            assert there != []
            for pid in there:
                os.kill(pid, signal.SIGSTOP)  # an ipykernel would notice that its parent is gone
            await runtime.kill("one", oom=True)
            news = runtime.watch()
            exit_ = await anext(news)
            while any(map(running, there)):
                await asyncio.sleep(0.02)
            return exit_, there
        finally:
            await runtime.aclose()

    exit_, _ = asyncio.run(asyncio.wait_for(killed(), 60))
    assert exit_ == Exit("one", 137, oom=True)
