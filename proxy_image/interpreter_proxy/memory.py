"""Telling "out of memory" from other deaths: the kernel's own counters of processes it killed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

# cgroup v2, cgroup v1 (both as a container sees its own), and the whole machine as the last resort.
_SOURCES = (
    ("/sys/fs/cgroup/memory.events", "oom_kill"),
    ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"),
    ("/proc/vmstat", "oom_kill"),
)


def killed_so_far() -> dict[str, int]:
    """How many processes each counter says were killed for memory; unreadable counters are left out."""
    counters: dict[str, int] = {}
    for path, name in _SOURCES:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == name:
                    counters[path] = int(value)
    return counters


def killed_since(before: Mapping[str, int]) -> bool:
    """Whether any counter moved; with no counter to read, a SIGKILL nobody here sent counts as yes."""
    now = killed_so_far()
    return not now or any(value > before.get(path, 0) for path, value in now.items())


def volunteer(pid: int) -> None:
    """Makes a process (and its later children) the first to be killed at the memory limit."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
