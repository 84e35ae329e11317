"""Being process 1: a container without an init leaves its orphans to the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

# Processes that somebody in the proxy waits for.
_owned: set[int] = set()


def own(pid: int) -> None:
    """Says that its starter waits for this process."""
    _owned.add(pid)


def disown(pid: int) -> None:
    """Says that it has been waited for."""
    _owned.discard(pid)


def reap_strays(loop: asyncio.AbstractEventLoop) -> None:
    """As process 1, buries every other dead child from now on; does nothing as any other process."""
    if os.getpid() == 1:
        loop.add_signal_handler(signal.SIGCHLD, _reap)


def _reap() -> None:
    with contextlib.suppress(OSError):
        for pid in map(int, Path("/proc/self/task/1/children").read_text().split()):
            if pid not in _owned:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
