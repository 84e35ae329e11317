"""Uses up what a session may have: processes, memory, disk, cores; bounded, and let go of in seconds.

Nothing here goes on without a bound of its own, whether or not something stops it before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

MIB = 1024 * 1024
GIB = 1024 * MIB

FEW_PROCESSES = 50
MOST_PROCESSES = 2_000
BEYOND = 100
"""Processes where no limit is known; at most; and how far above a limit that is known."""

LITTLE_MEMORY = 64 * MIB
MOST_MEMORY = 4 * GIB
SPARE_MEMORY = 1 * GIB
STEP = 8 * MIB
"""Memory where no limit is known; at most; what the machine must have left over."""

MOST_DISK = 256 * MIB
SHARE_OF_DISK = 10
MOST_CORES = 64

LIMITS = {
    "processes": ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
    "memory": ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
}


def main(given: dict[str, Any]) -> list[list[str]]:
    """One row `T`: when the strain stood and when it ended (seconds since the epoch), outcome, text.

    `stage`: processes, memory, disk or cores; `hold`: seconds it stands; `bounded`: whether sessions have
    limits here that they can read; `quota`: bytes the disk should have, or null. Outcome: `stopped` (by a
    limit), `free` (nothing stopped it), `unlimited` (a limit should be there and is not), `untried` (there is
    not enough of it to try).
    """
    hold, bounded = float(given["hold"]), bool(given["bounded"])
    stages: dict[str, Callable[[], tuple[float, str, str]]] = {
        "processes": lambda: _processes(hold, bounded),
        "memory": lambda: _memory(hold, bounded),
        "disk": lambda: _disk(hold, given["quota"]),
        "cores": lambda: _cores(hold),
    }
    began, outcome, text = stages[given["stage"]]()
    return [["T", repr(began), repr(time.time()), outcome, text]]


def _limit(what: str) -> int | None:
    """The session's limit; None where none is set, 0 where nothing can be read."""
    for path in LIMITS[what]:
        with contextlib.suppress(OSError), open(path, encoding="ascii") as stream:
            text = stream.read().strip()
            return None if text == "max" or int(text) > 2**60 else int(text)
    return 0


def _outcome(limit: int | None, bound: int, bounded: bool, text: str) -> tuple[str, str]:
    """What it means that nothing stopped a strain up to `bound`."""
    if bounded and limit is None:
        return "unlimited", f"{text}; the session has no limit"
    if limit and bound < limit:
        return "untried", f"{text}; no more were tried, the limit is {limit}"
    if limit:
        return "unlimited", f"{text}, though the limit is {limit}"
    return "free", text


def _child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def _end(children: list[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def _processes(hold: float, bounded: bool) -> tuple[float, str, str]:
    limit = _limit("processes") if bounded else 0
    bound = min(limit + BEYOND, MOST_PROCESSES) if limit else FEW_PROCESSES
    children: list[int] = []
    refused = ""
    try:
        while len(children) < bound and not refused:
            try:
                children.append(_child(lambda: time.sleep(hold + 10)))
            except OSError as error:
                refused = os.strerror(error.errno or 0)
        began = time.time()
        time.sleep(hold)
    finally:
        _end(children)
    if refused:
        return began, "stopped", f"{len(children)} processes, then: {refused}"
    return began, *_outcome(limit, bound, bounded, f"{len(children)} processes were not refused")


def _memory(hold: float, bounded: bool) -> tuple[float, str, str]:
    limit = _limit("memory") if bounded else 0
    bound = limit + limit // 10 if limit else LITTLE_MEMORY
    began = time.time()
    available = _available()
    if bound > MOST_MEMORY or available < bound + SPARE_MEMORY:
        text = f"{bound // MIB} MiB would be needed to try; the machine has {available // MIB} MiB to spare"
        return began, "untried", f"{text}, and no more than {MOST_MEMORY // MIB} MiB are ever tried"
    while True:  # again until it stood long enough: what is killed for its memory is gone at once
        taken, killed = _allocate(bound, began + hold)
        if time.time() >= began + hold or not killed:
            break
    if killed:
        return began, "stopped", f"{taken // MIB} MiB, then: {killed}"
    return began, *_outcome(limit, bound, bounded, f"{taken // MIB} MiB were not refused")


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as stream:
        rows = dict(line.split(":", 1) for line in stream)
    return int(rows["MemAvailable"].split()[0]) * 1024


def _allocate(bound: int, until: float) -> tuple[int, str]:
    """Bytes a child could take, and how it was stopped (`""`: not at all)."""
    reader, writer = os.pipe()

    def take() -> None:
        # Of all processes of the session, the kernel's choice must be this one.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("1000")
        held: list[bytes] = []
        try:
            while len(held) * STEP < bound:
                held.append(b"x" * STEP)  # written to, so that there is memory behind it
                os.write(writer, b".")
        except MemoryError:
            os.write(writer, b"!")
            return
        time.sleep(max(0.0, until - time.time()))

    pid = _child(take)
    os.close(writer)
    said = b""
    while block := os.read(reader, 4096):
        said += block
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return said.count(b".") * STEP, f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return said.count(b".") * STEP, "refused" if b"!" in said else ""


def _disk(hold: float, quota: int | None) -> tuple[float, str, str]:
    disk = shutil.disk_usage(".")
    bound, path = min(MOST_DISK, disk.free // SHARE_OF_DISK), f"strain-{os.getpid()}"
    taken, refused = 0, ""
    try:
        with open(path, "wb") as stream:
            while taken < bound and not refused:
                try:
                    # Reserved, not written: the same blocks are gone, without the work.
                    os.posix_fallocate(stream.fileno(), taken, STEP)
                    taken += STEP
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                        raise
                    refused = os.strerror(error.errno)
            began = time.time()
            time.sleep(hold)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
    if refused:
        return began, "stopped", f"{taken // MIB} MiB, then: {refused}"
    if quota is not None and disk.total <= quota + quota // 10:
        return began, "stopped", f"the disk it sees has {disk.total // MIB} MiB"
    text = f"{taken // MIB} MiB of {disk.total // MIB} MiB were not refused"
    if quota is None:
        return began, "free", text
    # Some storage drivers keep to a quota and show the whole disk all the same.
    return began, "unlimited" if quota < bound else "untried", f"{text}; the quota is {quota // MIB} MiB"


def _cores(hold: float) -> tuple[float, str, str]:
    began = time.time()

    def spin() -> None:
        while time.time() < began + hold:
            pass

    children: list[int] = []
    try:
        children += [_child(spin) for _ in range(min(os.cpu_count() or 1, MOST_CORES))]
        time.sleep(hold)
    finally:
        _end(children)
    return began, "free", f"{len(children)} processes that do nothing but count"
