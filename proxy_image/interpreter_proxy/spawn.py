"""Starting a kernel process. Imports little: it runs before everything else, even before asyncio."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import memory
from .environment import kernel_environment
from .kernelspec import KernelSpec
from .users import KernelUser

_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
# A Unix socket's path holds 107 bytes; a long TMPDIR would not leave room for ours.
_LONGEST_TMP = 60


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that is needed to start a kernel, as often as it takes."""

    spec: KernelSpec
    user: KernelUser
    directory: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spawned:
    """A kernel process just started: its sockets' directory and key, and the pipe of its stderr."""

    launch: Launch
    popen: subprocess.Popen[bytes]
    directory: str
    key: str
    stderr: int
    killed_before: Mapping[str, int]

    def address(self, port: str) -> str:
        """The ZeroMQ address of one of its channels, e.g. `shell_port`."""
        return f"ipc://{self.directory}/k-{_PORTS[port]}"

    @property
    def connection_file(self) -> str:
        """What any Jupyter client needs to connect to it."""
        return f"{self.directory}/connection.json"


def spawn(launch: Launch) -> Spawned:
    """Starts the kernel as its user, in its own session and a private directory; raises OSError."""
    before = memory.killed_so_far()
    key = os.urandom(32).hex()
    directory = _private_directory()
    connection = {"transport": "ipc", "ip": f"{directory}/k", "key": key, **_PORTS}
    connection |= {"signature_scheme": "hmac-sha256", "kernel_name": launch.spec.name}
    file = Path(directory, "connection.json")
    file.write_text(json.dumps(connection))
    user = launch.user
    if user.other:
        os.chown(file, user.uid, user.gid)
        os.chown(directory, user.uid, user.gid)
    stderr, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(stderr, False)
    try:
        popen = _popen(launch, str(file), writing)
    except BaseException:
        os.close(stderr)
        remove(directory)
        raise
    finally:
        os.close(writing)
    memory.volunteer(popen.pid)
    return Spawned(launch, popen, directory, key, stderr, before)


def remove(directory: str) -> None:
    """Removes a kernel's directory with its sockets."""
    with contextlib.suppress(OSError):
        for path in Path(directory).iterdir():
            path.unlink()
        Path(directory).rmdir()


def _private_directory() -> str:
    tmp = os.environ.get("TMPDIR", "")
    path = f"{tmp if 0 < len(tmp) <= _LONGEST_TMP else '/tmp'}/kernel-{os.urandom(6).hex()}"  # noqa: S108
    Path(path).mkdir(mode=0o700)
    return path


def _popen(launch: Launch, connection_file: str, stderr: int) -> subprocess.Popen[bytes]:
    user = launch.user
    return subprocess.Popen(
        launch.spec.command(connection_file),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=launch.directory,
        env=kernel_environment(launch.environment, launch.spec, user),
        start_new_session=True,
        user=user.uid if user.other else None,
        group=user.gid if user.other else None,
        extra_groups=user.groups if user.other else None,
    )
