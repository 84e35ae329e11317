"""One kernel process: started as the kernel's user, signalled, watched, its death explained."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import memory
from .environment import kernel_environment
from .kernelspec import KernelSpec
from .users import KernelUser

_TAIL = 8_192  # bytes of the kernel's own stderr kept for explaining a death
_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
# A Unix socket's path holds 107 bytes; a long TMPDIR would not leave room for ours.
_LONGEST_TMP = 60


@dataclass(frozen=True, slots=True)
class Death:
    """How a kernel process ended: an exit code, or the signal that ended it."""

    exit_code: int | None
    signal_number: int | None
    out_of_memory: bool = False

    def __str__(self) -> str:
        if self.signal_number is None:
            return f"it exited with code {self.exit_code}"
        try:
            name = signal.Signals(self.signal_number).name
        except ValueError:
            name = "unknown"
        return f"it was ended by signal {self.signal_number} ({name})"


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that is needed to start a kernel, as often as it takes."""

    spec: KernelSpec
    user: KernelUser
    directory: str
    environment: Mapping[str, str]


class KernelProcess:
    """A started kernel. Usable before an event loop runs, so that it starts while the proxy imports."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.key = os.urandom(32).hex()
        self.killed = False
        self._oom_before = memory.killed_so_far()
        tmp = tempfile.gettempdir()
        self.directory = tempfile.mkdtemp(prefix="kernel-", dir=tmp if len(tmp) <= _LONGEST_TMP else "/tmp")  # noqa: S108
        self.connection_file = f"{self.directory}/connection.json"
        connection = {"transport": "ipc", "ip": f"{self.directory}/k", "key": self.key, **_PORTS}
        connection |= {"signature_scheme": "hmac-sha256", "kernel_name": launch.spec.name}
        Path(self.connection_file).write_text(json.dumps(connection))
        user = launch.user
        if user.other:
            os.chown(self.connection_file, user.uid, user.gid)
            os.chown(self.directory, user.uid, user.gid)
        self._stderr, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        self._tail = b""
        try:
            self._popen = self._start(writing)
        except BaseException:
            os.close(self._stderr)
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        finally:
            os.close(writing)
        memory.volunteer(self._popen.pid)

    def _start(self, stderr: int) -> subprocess.Popen[bytes]:
        user = self.launch.user
        account = {"user": user.uid, "group": user.gid, "extra_groups": user.groups} if user.other else {}
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            self.launch.spec.command(self.connection_file),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=self.launch.directory,
            env=kernel_environment(self.launch.environment, self.launch.spec, user),
            start_new_session=True,
            **account,
        )

    @property
    def pid(self) -> int:
        """The kernel's process id, which is also its process group."""
        return self._popen.pid

    def address(self, port: str) -> str:
        """The ZeroMQ address of one of its channels, e.g. `shell_port`."""
        return f"ipc://{self.directory}/k-{_PORTS[port]}"

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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it started and left behind in its group
        with contextlib.suppress(OSError):
            os.close(self._stderr)
        shutil.rmtree(self.directory, ignore_errors=True)
        code = self._popen.returncode
        if code is None or code >= 0:
            return Death(code, None)
        out_of_memory = code == -signal.SIGKILL and not self.killed and memory.killed_since(self._oom_before)
        return Death(None, -code, out_of_memory)

    def _read_stderr(self) -> None:
        # A user's code may flood it: one read a turn of the loop, only the end is kept.
        with contextlib.suppress(OSError):
            data = os.read(self._stderr, 65_536)
            if not data:
                asyncio.get_running_loop().remove_reader(self._stderr)
            self._tail = (self._tail + data)[-_TAIL:]


async def _exited(popen: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(popen.pid)
    except OSError:  # an old kernel, or a sandbox that does not know the call
        await loop.run_in_executor(None, popen.wait)
        return
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    popen.wait()
