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

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
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
    connection: Mapping[str, str | int]
    stderr: int
    killed_before: Mapping[str, int]

    def address(self, port: str) -> str:
        """The ZeroMQ address of one of its channels, e.g. `shell_port`."""
        known = self.connection
        between = "-" if known["transport"] == "ipc" else ":"
        return f"{known['transport']}://{known['ip']}{between}{known[port]}"

    @property
    def key(self) -> str:
        """The key that signs messages."""
        return str(self.connection["key"])

    @property
    def connection_file(self) -> str:
        """What any Jupyter client needs to connect to it."""
        return f"{self.directory}/connection.json"


def spawn(launch: Launch) -> Spawned:
    """Starts the kernel as its user, in its own session and a private directory; raises OSError."""
    before = memory.killed_so_far()
    directory = private_directory("kernel")
    connection = _connection(launch, directory)
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
    return Spawned(launch, popen, directory, connection, stderr, before)


def remove(directory: str) -> None:
    """Removes a kernel's directory with its sockets."""
    with contextlib.suppress(OSError):
        for path in Path(directory).iterdir():
            path.unlink()
        Path(directory).rmdir()


def private_directory(purpose: str) -> str:
    """A new directory that only its owner may enter, short enough for sockets to be in it."""
    tmp = os.environ.get("TMPDIR", "")
    path = f"{tmp if 0 < len(tmp) <= _LONGEST_TMP else '/tmp'}/{purpose}-{os.urandom(6).hex()}"  # noqa: S108
    Path(path).mkdir(mode=0o700)
    return path


def _connection(launch: Launch, directory: str) -> dict[str, str | int]:
    common: dict[str, str | int] = {
        "key": os.urandom(32).hex(),
        "signature_scheme": "hmac-sha256",
        "kernel_name": launch.spec.name,
    }
    if launch.spec.ipc:
        return {
            "transport": "ipc",
            "ip": f"{directory}/k",
            **dict(zip(_PORTS, range(1, 6), strict=True)),
            **common,
        }
    return {"transport": "tcp", "ip": "127.0.0.1", **dict(zip(_PORTS, _free_ports(), strict=True)), **common}


def _free_ports() -> list[int]:
    """Five ports that are free at this moment; should one be taken meanwhile, the next start has others."""
    import socket

    with contextlib.ExitStack() as stack:
        ports = []
        for _ in _PORTS:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports


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
