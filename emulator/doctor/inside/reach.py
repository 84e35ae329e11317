"""Tries to reach addresses, ports and names from a session, and calls out on its own wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

AT_ONCE = 200
CONNECT = 3.0
ANSWER = 3.0
LOOK_UP = 5.0
"""Seconds for a connection, for its answer, and for a name."""
SHOWN = 60
HELD = 60_000

Rows = list[list[str]]


def main(given: dict[str, Any]) -> Rows:
    """Rows `R` for `targets`, `names` and `table`; `calls` are sent and leave no row.

    A target is a probe, a label, host, port, path and what a hit's answer holds (`""`: a connection is
    enough). With `whole` the answer itself is a row `A`. The table of neighbours is read last, when every
    address has been tried.
    """
    call(given.get("calls"))
    rows = asyncio.run(_all(given.get("targets", []), given.get("names", []), bool(given.get("whole"))))
    known = _table()
    for label, address in given.get("table", []):
        rows.append(["R", "broadcast", label, f"{address} answered ARP" if address in known else ""])
    return rows


async def _all(targets: list[list[Any]], names: list[list[str]], whole: bool) -> Rows:
    gate = asyncio.Semaphore(AT_ONCE)
    tried = [_try(gate, whole, *target) for target in targets]
    found: list[Rows] = await asyncio.gather(*tried, *(_look_up(*name) for name in names))
    return [row for rows in found for row in rows]


async def _try(
    gate: asyncio.Semaphore, whole: bool, probe: str, label: str, host: str, port: int, path: str, wanted: str
) -> Rows:
    async with gate:
        got = None
        # Whatever goes wrong on the way means that nothing was reached.
        with contextlib.suppress(OSError, asyncio.TimeoutError, ValueError):
            got = await asyncio.wait_for(_ask(host, port, path, wanted), CONNECT + ANSWER)
    if whole:
        return [["A", line] for line in (got or "").splitlines()]
    if got is None or wanted not in got:
        return [["R", probe, label, ""]]
    shown = got.splitlines()[0][:SHOWN] if got else "a connection"
    return [["R", probe, label, f"{host}:{port} answered {shown}"]]


async def _ask(host: str, port: int, path: str, wanted: str) -> str:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT)
    try:
        if not wanted:
            return ""
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        got = b""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            while len(got) < HELD and (block := await asyncio.wait_for(reader.read(4096), ANSWER)):
                got += block
        return got.decode("latin-1")
    finally:
        writer.close()


async def _look_up(label: str, name: str) -> Rows:
    loop = asyncio.get_running_loop()
    found = ""
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        # As bytes: an engine's names may be longer than the labels that Python takes for a name's.
        answer = await asyncio.wait_for(loop.getaddrinfo(name.encode(), None), LOOK_UP)
        found = f"{name} is {answer[0][4][0]}"
    return [["R", "DNS names", label, found]]


def call(given: dict[str, Any] | None) -> None:
    """Send `text` to each of `ports`: to the `broadcast` addresses, and to all hosts on each own wire.

    `groups`: own IPv4 addresses whose wires' all-hosts group is called; with any, IPv6's too.
    """
    if given is None:
        return
    text = given["text"].encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for port in given["ports"]:
            for address in given["broadcast"]:
                _send(sock, text, (address, port))
            for own in given["groups"]:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
                    _send(sock, text, ("224.0.0.1", port))
    if given["groups"]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            for index, name in socket.if_nameindex():
                for port in given["ports"] if name != "lo" else ():
                    _send(sock, text, ("ff02::1", port, 0, index))


def _send(sock: socket.socket, text: bytes, where: tuple[Any, ...]) -> None:
    with contextlib.suppress(OSError):
        sock.sendto(text, where)


def _table() -> set[str]:
    """Addresses whose hardware address the session knows: they are on its wire."""
    try:
        with open("/proc/net/arp", encoding="ascii") as stream:
            rows = [line.split() for line in stream.readlines()[1:]]
    except OSError:
        return set()
    return {row[0] for row in rows if len(row) > 2 and int(row[2], 16) & 2}
