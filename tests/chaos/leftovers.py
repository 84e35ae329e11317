"""What an engine of the tests leaves on a machine, also one whose test was killed, and how all of it goes."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "dse-engine-"
ENGINES = 200
"""Engines of tests that can be on one machine at a time."""


def subnet(number: int) -> str:
    """Addresses of the sessions of engine `number`."""
    return f"10.244.{number}.0/25"


def bridge(number: int) -> str:
    return f"dse-e{number}"


def bridge_address(number: int) -> str:
    """Of its default bridge: outside `subnet`."""
    return f"10.244.{number}.241/28"


def claim_folder() -> tuple[Path, int]:
    """A folder nobody else has, and its number; short, since a Unix socket's path has at most 107 bytes."""
    for number in range(ENGINES):
        folder = _home(number)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o711)
            (folder / "owner").write_text(str(os.getpid()), encoding="ascii")
            return folder, number
    raise AssertionError(f"{ENGINES} engines of tests are there already; remove {_home(0)} and so on")


def _home(number: int) -> Path:
    return Path(tempfile.gettempdir()) / f"{PREFIX}{number}"


def sweep_dead() -> None:
    """Remove engines of test runs that were killed themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            owner = (folder / "owner").read_text(encoding="ascii")
        except OSError:
            owner = ""
        unowned = not owner and time.time() - folder.stat().st_mtime > 60  # it may just be being made
        if unowned or (owner and not Path(f"/proc/{owner}").exists()):
            remove(folder)


def remove(folder: Path) -> None:
    """End every process of the engine in `folder`, then remove its mounts, interfaces, cgroups and files."""
    _kill(_processes(folder, "dockerd"))
    _kill(containerds(folder))
    shims = _processes(folder, "containerd-shim-runc-v2")
    _kill([child for shim in shims for child in _children(shim)])  # each the first process of its container
    _kill(shims)
    containers = [one.name for one in (folder / "data" / "containers").glob("*")]
    sockets = [one.read_text(encoding="utf-8") for one in (folder / "exec").rglob("address")]
    bridges = _bridges(folder)
    for mount in sorted(_mounts(folder), reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, timeout=30, check=False)
    for interface in bridges:
        subprocess.run(["ip", "link", "delete", interface], capture_output=True, timeout=30, check=False)
    for container in containers:
        for cgroup in Path("/sys/fs/cgroup").glob(f"**/docker/{container}"):
            with contextlib.suppress(OSError):
                cgroup.rmdir()
    for socket in sockets:
        Path(socket.removeprefix("unix://")).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def containerds(folder: Path) -> list[int]:
    """The process of the engine's own containerd, if it runs."""
    return _processes(folder, "containerd")


def _processes(folder: Path, program: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if Path(words[0]).name == program and f"{folder}/" in " ".join(words):
                found.append(int(entry.name))
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]
    return []


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        state = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[0]
        )
    except OSError:
        return False
    return state != "Z"


def _mounts(folder: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


def interfaces() -> set[str]:
    """Names of this machine's network interfaces."""
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, timeout=30, check=True)
    return {line.split(": ")[1].split("@")[0] for line in shown.stdout.splitlines()}


def _bridges(folder: Path) -> list[str]:
    """The engine's bridge, and those of its networks: what its database knows, and what has its addresses.

    An engine whose disk was full has bridges that its database does not know.
    """
    number = int(folder.name.removeprefix(PREFIX))
    known = b""
    with contextlib.suppress(OSError):
        known = (folder / "data" / "network" / "files" / "local-kv.db").read_bytes()
    ids = {found.decode()[:12] for found in re.findall(rb"[0-9a-f]{64}", known)}
    names = {bridge(number), *(f"br-{one}" for one in ids)}
    own = ipaddress.ip_network(subnet(number))
    shown = subprocess.run(
        ["ip", "-o", "-4", "address"], capture_output=True, text=True, timeout=30, check=True
    )
    for words in map(str.split, shown.stdout.splitlines()):
        if words[1].startswith("br-") and ipaddress.ip_interface(words[3]).ip in own:
            names.add(words[1])
    return sorted(names & interfaces())
