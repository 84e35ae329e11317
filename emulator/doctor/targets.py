"""Where a session may not get to: its neighbours, the emulator, this host; addresses, ports and names."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.doctor.judge import EGRESS, HOST, LOOPBACK
from emulator.doctor.listeners import Listeners
from emulator.doctor.session import Session
from emulator.runtimes.names import resource_name
from emulator.runtimes.options import PROXY_PORT

Target = tuple[str, str, str, int, str, str]
"""Probe, neighbour, host, port, path, and what the answer of a hit holds (`""`: a connection is a hit)."""

HTTP = "HTTP/1."
KERNEL_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def at_neighbour(one: Session, own_kernels: Sequence[dict[str, Any]] = ()) -> Iterator[Target]:
    """A neighbour's listener, its own API and its kernel's ports.

    `own_kernels`: of whoever tries, since on loopback a port of its own kernel may have the same number.
    """
    host = one.address or "127.0.0.1"
    if one.marks is not None and one.marks.port:
        yield "TCP to a neighbour", one.label, host, one.marks.port, "/", one.marks.answer
    if one.address is not None:
        port = int(one.pool.get("targetPort") or PROXY_PORT)
        yield "a neighbour's own API", one.label, host, port, "/health", HTTP
    for kernel in one.marks.kernels if one.marks is not None else ():
        if kernel.get("transport") == "ipc":
            continue
        mine = {
            own[name] for own in own_kernels if own.get("key") != kernel.get("key") for name in _ports(own)
        }
        for name in _ports(kernel):
            if one.address is not None or kernel[name] not in mine:
                yield "kernel ports", one.label, host, int(kernel[name]), "", ""


def _ports(kernel: dict[str, Any]) -> list[str]:
    return [name for name in KERNEL_PORTS if name in kernel and kernel.get("transport") != "ipc"]


def at_emulator(status: dict[str, Any], attacker: Session, everybody: Sequence[Session]) -> Iterator[Target]:
    """Data plane and admin API: on loopback, on every bridge the emulator made, and where it listens."""
    urls = [urlsplit(str(status[name])) for name in ("http", "https") if status.get(name)]
    ports = sorted({url.port for url in urls if url.port})
    hosts = ["127.0.0.1", "::1"]
    for one in everybody:
        # The host's address, and that of the emulator's own container where it runs in one.
        hosts += [
            host for host in (one.hosts if one is attacker else one.hosts[0:3:2]) if host != one.address
        ]
    hosts += [url.hostname for url in urls if url.hostname and _is_address(url.hostname)]
    hosts += local_addresses()
    for host in dict.fromkeys(hosts):
        for port in ports:
            yield "the emulator's admin API", "-", host, port, "/.emulator/alive", HTTP
            path = f"{attacker.pool['endpoint']}/metadata"
            yield "the emulator's data plane", "-", host, port, path, HTTP


def at_listeners(
    attacker: Session, everybody: Sequence[Session], listeners: Listeners
) -> tuple[list[Target], list[str]]:
    """Listeners of the doctor's own on loopback and on the bridges; and notes of what could not be opened."""
    targets: list[Target] = []
    notes = []
    for address in ("127.0.0.1", "::1"):
        if (port := listeners.open(address)) is not None:
            targets.append((LOOPBACK, "-", address, port, "/", listeners.nonce))
    own = attacker.hosts[:1]
    elsewhere = [one.hosts[0] for one in everybody if one.hosts and one.hosts[:1] != own]
    for address in [*own, *elsewhere[:1]]:
        if (port := listeners.open(address)) is None:
            notes.append(f"{HOST}: this machine has no address on the network of some sessions")
            continue
        targets.append((HOST, "-", address, port, "/", listeners.nonce))
        if address not in own:  # not on the session's own network, so it takes a route to get there
            targets.append((EGRESS, "-", address, port, "/", listeners.nonce))
    return targets, notes


def names_of(instance: str, neighbours: Sequence[Session]) -> list[tuple[str, str]]:
    """Names an engine's DNS would know, with whose they are."""
    return [(one.label, resource_name(instance, one.label, one.guid)) for one in neighbours if one.address]


def calls(attacker: Session, neighbours: Sequence[Session], text: str) -> dict[str, Any]:
    """What `inside.reach` sends to all on the attacker's own wire, and to the neighbours' wires.

    Sessions without a network of their own call on loopback only.
    """
    ports = sorted({one.marks.port for one in neighbours if one.marks is not None and one.marks.port})
    wires = [attacker, *neighbours] if attacker.address else [attacker]
    broadcast = list(dict.fromkeys(one.broadcast for one in wires))
    groups = [attacker.address] if attacker.address else []
    return {"text": text, "ports": ports, "broadcast": broadcast, "groups": groups}


def local_addresses() -> list[str]:
    """IPv4 and IPv6 addresses of this host, as its own users see them (Linux; else none).

    Those of bridges that come and go are left out: a probe must not run after one that is gone, into a
    network that nobody here made.
    """
    found: list[str] = []
    with contextlib.suppress(OSError):
        lines = Path("/proc/net/fib_trie").read_text(encoding="ascii").splitlines()
        found += [before.split()[-1] for before, line in pairwise(lines) if "host LOCAL" in line]
        routes = [line.split() for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()]
        passing = [_network(row[1], row[7]) for row in routes[1:] if row[0].startswith("br-")]
        found = [one for one in found if not any(ipaddress.ip_address(one) in net for net in passing)]
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            address = ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
            if not address.is_link_local and not line.split()[-1].startswith("br-"):
                found.append(str(address))
    return sorted(set(found))


def _network(address: str, mask: str) -> ipaddress.IPv4Network:
    """Of a line of /proc/net/route, whose numbers are in the machine's byte order."""
    numbers = (int.from_bytes(bytes.fromhex(text), sys.byteorder) for text in (address, mask))
    return ipaddress.IPv4Network("/".join(str(ipaddress.IPv4Address(number)) for number in numbers))


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(host).is_unspecified
    return False
