"""Looks for neighbours' marks and for ways out of a session, and takes stock of what the session may do."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any

DEPTH = 6
SECONDS = 10.0
"""How deep, and how long, folders are searched for marks."""

Rows = list[list[str]]

PLACES = (".", "/mnt", "/tmp", "/run", "/home", "/root", "/var/tmp", "/dev/shm")  # noqa: S108
ENGINES = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
)
SECRET_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|^IDENTITY_|^AZURE_|^AWS_")
BEARER = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ")
KERNEL_SETTINGS = ("kernel/printk", "vm/overcommit_memory", "kernel/core_pattern")
TRIGGERS = ("/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/memory/release_agent")


def main(given: dict[str, Any]) -> Rows:
    """Rows `R`; of the stock: `S` a line of the process's status, `M` a mount, `N` a way out."""
    environments = [one.replace("\0", " ") for one in _of_processes("environ")]
    rows = _neighbours(given, environments)
    rows += [["R", "host files", "-", one if os.path.exists(one) else ""] for one in given["canaries"]]
    for path in given["written"]:
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as stream:
            stream.write("written\n")
    rows.append(["R", "engine socket", "-", " ".join(one for one in ENGINES if _is_socket(one))])
    rows.append(["R", "secrets in environment", "-", _suspicious(environments)])
    rows.append(["R", "/proc/sys writes", "-", " ".join(_writable_settings())])
    rows.append(["R", "devices", "-", " ".join(_devices())])
    rows.append(["R", "raw sockets", "-", " ".join(_raw_sockets())])
    return rows + list(_stock())


def _neighbours(given: dict[str, Any], environments: list[str]) -> Rows:
    files = list(_named(given["run"]))
    commands = [one.replace("\0", " ") for one in _of_processes("cmdline")]
    connections = "".join(_read(path) for path in _named("connection", "kernel-") if path.endswith(".json"))
    sockets = _read("/proc/net/unix")
    rows = []
    for one in given["neighbours"]:
        label, data, scratch = one["label"], f"data-{one['file']}", f"tmp-{one['file']}"
        rows.append(["R", "files", label, _first(_places(data, "/mnt/data"), files, data)])
        rows.append(["R", "/tmp", label, _first(_places(scratch, "/tmp"), files, scratch)])  # noqa: S108
        seen = any(f"command-{one['process']}" in command for command in commands)
        rows.append(["R", "processes", label, "a process's command line" if seen else ""])
        seen = any(f"environment-{one['process']}" in text for text in environments)
        rows.append(["R", "environment", label, "a process's environment" if seen else ""])
        for key, path in one["kernels"]:
            found = ["its connection file"] if key and key in connections else []
            if path:
                found += [f"its ZeroMQ socket {path}-1"] if _is_socket(f"{path}-1") else []
                found += [f"its ZeroMQ socket {path} in /proc/net/unix"] if path in sockets else []
            rows.append(["R", "kernel connection", label, ", ".join(found)])
    return rows


def _places(name: str, folder: str) -> list[str]:
    """Where a file of a neighbour's folder may be, also through other processes' roots."""
    through = glob.glob(f"/proc/[0-9]*/root{folder}/{name}") + glob.glob(f"/proc/[0-9]*/cwd/{name}")
    return [name, f"{folder}/{name}", *through]


def _first(places: Iterable[str], files: Iterable[str], name: str) -> str:
    there = [path for path in places if os.path.exists(path)]
    return next(iter([*there, *(path for path in files if path.endswith(name))]), "")


def _named(*starts: str) -> Iterator[str]:
    """Files below the usual places whose names hold one of `starts`; bounded in depth and time."""
    until = time.monotonic() + SECONDS
    for place in PLACES:
        level = place.rstrip("/").count("/")
        for folder, folders, names in os.walk(place):
            if folder.count("/") - level >= DEPTH - 1:
                folders.clear()
            if time.monotonic() > until:
                return
            yield from (os.path.join(folder, name) for name in names if any(one in name for one in starts))


def _of_processes(what: str) -> list[str]:
    return [text for path in glob.glob(f"/proc/[0-9]*/{what}") if (text := _read(path))]


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(2_000_000)
    return ""


def _is_socket(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISSOCK(os.stat(path).st_mode)
    return False


def _suspicious(environments: list[str]) -> str:
    names = [name for name in sorted(os.environ) if SECRET_NAMES.search(name)]
    return " ".join((["a bearer token"] if any(map(BEARER.search, environments)) else []) + names)


def _writable_settings() -> Iterator[str]:
    for name in KERNEL_SETTINGS:
        # The value it has is written back, so that a hole is found without changing anything.
        with contextlib.suppress(OSError), open(f"/proc/sys/{name}", "r+b", buffering=0) as stream:
            value = stream.read()
            stream.seek(0)
            stream.write(value)
            yield name
    yield from (path for path in TRIGGERS if os.access(path, os.W_OK) and _opens(path, os.O_WRONLY))


def _devices() -> Iterator[str]:
    for path in glob.glob("/dev/*") + glob.glob("/dev/mapper/*"):
        with contextlib.suppress(OSError):
            if stat.S_ISBLK(os.stat(path).st_mode):
                yield path
    yield from (path for path in ("/dev/mem", "/dev/kmem", "/dev/kmsg") if _opens(path, os.O_RDONLY))


def _opens(path: str, mode: int) -> bool:
    with contextlib.suppress(OSError):
        os.close(os.open(path, mode | os.O_NONBLOCK))
        return True
    return False


def _raw_sockets() -> Iterator[str]:
    for family, protocol in ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_PACKET, 0)):
        with contextlib.suppress(OSError):
            socket.socket(family, socket.SOCK_RAW, protocol).close()
            yield family.name


def _stock() -> Iterator[list[str]]:
    for line in _read("/proc/net/route").splitlines()[1:]:
        if line.split()[1] == "00000000":
            yield ["N", "default route"]
    for line in _read("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name in ("CapEff", "CapBnd", "NoNewPrivs"):
            yield ["S", name, value.strip()]
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, point, options = left.split(" ")[:6]
        yield ["M", root, point, options.split(",")[0], right.split(" ")[0]]
