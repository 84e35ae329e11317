"""One kernel process on the event loop: signalled, watched, its death explained."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import children, memory
from .spawn import Launch, Spawned, remove, spawn

_LAST_OUTPUT = 0.05  # seconds a kernel has for passing on what its worker wrote before it ended
_TAIL = 8_192  # bytes of the kernel's own stderr kept for explaining a death


@dataclass(frozen=True, slots=True)
class Death:
    """How a kernel process ended: an exit code, or the signal that ended it, or with its worker."""

    exit_code: int | None
    signal_number: int | None
    out_of_memory: bool = False
    with_worker: bool = False

    def __str__(self) -> str:
        if self.out_of_memory:
            return "it was ended for want of memory"
        if self.with_worker:
            return "the code ended the interpreter's process"
        if self.signal_number is None:
            return f"it exited with code {self.exit_code}"
        try:
            name = signal.Signals(self.signal_number).name
        except ValueError:
            name = "unknown"
        return f"it was ended by signal {self.signal_number} ({name})"


class KernelProcess:
    """A started kernel: the one given, or a new one."""

    def __init__(self, launch: Launch, spawned: Spawned | None = None) -> None:
        self.spawned = spawned or spawn(launch)
        self.launch = launch
        self.killed = False
        self._worker_lost = False
        self._popen = self.spawned.popen
        children.own(self._popen.pid)
        self._stderr = self.spawned.stderr
        self._tail = b""

    @property
    def pid(self) -> int:
        """The kernel's process id, which is also its process group."""
        return self._popen.pid

    def signal(self, number: int) -> None:
        """Signals the kernel and what it started; nothing happens when it is gone."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """Ends it at once; `wait` still tells when it is gone."""
        self.killed = True
        self.signal(signal.SIGKILL)

    async def wait(self) -> Death:
        """Waits for the end, keeping the end of its stderr; then removes its sockets and strays."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._stderr, self._read_stderr)
        try:
            await _exited(self._popen)
        finally:
            loop.remove_reader(self._stderr)
        self._read_stderr()
        return self._bury()

    async def wait_for_worker(self) -> None:
        """Waits until the kernel's child is gone, where the code runs in one; then ends the kernel, too."""
        loop = asyncio.get_running_loop()
        descriptor = _child(self.pid)
        if descriptor is None:
            return
        await _readable(loop, descriptor)
        await asyncio.sleep(_LAST_OUTPUT)
        if self._popen.returncode is None and not self.killed:
            self._worker_lost = True
            self.kill()

    def end(self) -> None:
        """Kills it and waits, for the very end of the proxy; it is SIGKILL, so the wait is milliseconds."""
        self.kill()
        self._popen.wait()
        self._bury()

    @property
    def last_words(self) -> str:
        """The last lines it wrote to its own stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def _bury(self) -> Death:
        children.disown(self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it started and left behind in its group
        with contextlib.suppress(OSError):
            os.close(self._stderr)
        remove(self.spawned.directory)
        code = self._popen.returncode
        if self._worker_lost:
            return Death(None, None, memory.killed_since(self.spawned.killed_before), with_worker=True)
        if code is None or code >= 0:
            return Death(code, None)
        out_of_memory = (
            code == -signal.SIGKILL and not self.killed and memory.killed_since(self.spawned.killed_before)
        )
        return Death(None, -code, out_of_memory)

    def _read_stderr(self) -> None:
        # A user's code may flood it: one read a turn of the loop, only the end is kept.
        with contextlib.suppress(OSError):
            data = os.read(self._stderr, 65_536)
            if not data:
                asyncio.get_running_loop().remove_reader(self._stderr)
            self._tail = (self._tail + data)[-_TAIL:]


def _child(pid: int) -> int | None:
    """A descriptor of the process's first child, where there is one and the system can tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return os.pidfd_open(int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]))
    return None


async def _exited(popen: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(popen.pid)
    except OSError:  # an old kernel, or a sandbox that does not know the call
        await loop.run_in_executor(None, popen.wait)
        return
    await _readable(loop, descriptor)
    popen.wait()


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    """Waits for a process's descriptor to become readable, which it does at its end, and closes it."""
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
