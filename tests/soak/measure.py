"""What an emulator at rest holds: memory, descriptors, threads, tasks, children, containers, networks."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import requests

from tests.docker.engine import LABEL
from tests.harness import Emulator
from tests.soak.trouble import _children

SETTLE_SECONDS = 120.0
ESTABLISHED = "01"
"""As /proc/net/tcp writes it; a connection that the other end has closed is in another state."""


@dataclass(frozen=True)
class Held:
    """One look. `memory` in MiB; `sockets` without those on Unix paths (`engine_connections`: a pool of their
    own) and without those that callers have not closed.
    """

    memory: float
    files: int
    sockets: int
    engine_connections: int
    threads: int
    tasks: int
    children: int
    containers: int
    networks: int
    folders: int

    def row(self) -> str:
        return "  ".join(
            f"{name} {value:.1f}" if name == "memory" else f"{name} {value}"
            for name, value in vars(self).items()
        )


class Scales:
    """Looks at one emulator."""

    def __init__(self, running: Emulator, instance: str) -> None:
        self._running = running
        self._instance = instance
        self._engine = docker.from_env() if running.runtime == "docker" else None

    def at_rest(self, warm: int) -> Held:
        """Wait until every session is over and the warm sets (`warm` instances) are full, then look."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            self._running.advance(100_000)
            found = self._running.ask("GET", "/sessions")["sessions"]
            pools = self._running.ask("GET", "/status")["pools"]
            ready = sum(one["readyInstances"] for one in pools)
            if not found and ready == warm and not any(one["startingInstances"] for one in pools):
                break
            time.sleep(0.5)
        time.sleep(3)  # connections that callers kept open are closed, removals are over
        return self.look()

    def look(self) -> Held:
        process = Path(f"/proc/{self._running.process.pid}")
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
        )
        targets = [_target(one) for one in (process / "fd").iterdir()]
        sockets = {one.removeprefix("socket:[").rstrip("]") for one in targets if one.startswith("socket:")}
        unix = _unix_sockets(sockets)
        return Held(
            memory=int(status["VmRSS"].split()[0]) / 1024,
            files=sum(not one.startswith("socket:") for one in targets),
            sockets=len(sockets - unix - self._open_at_the_other_end(sockets)),
            engine_connections=len(unix),
            threads=int(status["Threads"]),
            tasks=self._tasks(),
            children=len(_children(self._running.process.pid)),
            containers=self._count(
                lambda engine, by: engine.containers.list(all=True, filters=by, ignore_removed=True)
            ),
            networks=self._count(lambda engine, by: engine.networks.list(filters=by)),
            folders=len(session_folders(self._running.process.pid)),
        )

    def _open_at_the_other_end(self, inodes: set[str]) -> set[str]:
        port = f":{urlsplit(self._running.http).port:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {row[9] for row in rows if row[1].endswith(port) and row[3] == ESTABLISHED} & inodes

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _tasks(self) -> int:
        text = requests.get(f"{self._running.admin}/metrics", timeout=30).text
        return next(
            (int(float(line.split()[1])) for line in text.splitlines() if line.startswith("emulator_tasks ")),
            0,
        )

    def _count(self, ask: Callable[[docker.DockerClient, Any], Sequence[object]]) -> int:
        if self._engine is None:
            return 0
        return len(ask(self._engine, {"label": f"{LABEL}={self._instance}"}))


def session_folders(pid: int) -> list[Path]:
    """Folders that an emulator on the process runtime keeps of its sessions; the lock says whose they are."""
    found = []
    for lock in Path(tempfile.gettempdir()).glob("dse-*/lock"):
        with contextlib.suppress(OSError):
            if lock.read_text().split()[-1:] == [str(pid)]:
                found += list(lock.parent.glob("*/run"))
    return found


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""


def _unix_sockets(inodes: set[str]) -> set[str]:
    rows = Path("/proc/net/unix").read_text().splitlines()[1:]
    return {row.split()[6] for row in rows} & inodes
