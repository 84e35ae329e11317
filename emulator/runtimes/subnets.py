"""Hands out one small subnet a session from a configurable range."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from emulator.runtimes.base import RuntimeFailure

PREFIX = 29  # gateway, session, the emulator's own container, and room for one more


def routes() -> list[ipaddress.IPv4Network]:
    """Networks that this machine has a route to, also those of other engines; none where Linux is not."""
    try:
        rows = [line.split() for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return []
    return [ipaddress.IPv4Network((_address(row[1]), _address(row[7]))) for row in rows]


def _address(digits: str) -> str:
    return socket.inet_ntoa(struct.pack("=I", int(digits, 16)))


class Subnets:
    """/29 networks out of `cidr`, least recently used first, so that an address is not soon used again.

    `others` tells which networks the machine uses: what overlaps one of them is passed over. Routes wider
    than the range (a default route, a company's whole VPN) do not count. Safe to call from any thread.
    """

    def __init__(self, cidr: str, others: Callable[[], Iterable[ipaddress.IPv4Network]] = routes) -> None:
        self.cidr = cidr
        self._range = ipaddress.IPv4Network(cidr)
        self._others = others
        usable = self._range.prefixlen <= PREFIX
        self._free = deque(self._range.subnets(new_prefix=PREFIX) if usable else ())
        self._taken: dict[str, ipaddress.IPv4Network] = {}
        self._busy: list[ipaddress.IPv4Network] = []
        self._lock = threading.Lock()

    def take(self) -> ipaddress.IPv4Network:
        """A subnet nobody else was given. Raises `RuntimeFailure` when the range is used up."""
        others = [one for one in self._others() if one.prefixlen >= self._range.prefixlen]
        with self._lock:
            while self._free:
                subnet = self._free.popleft()
                if any(subnet.overlaps(other) for other in others):
                    self._busy.append(subnet)
                    continue
                self._taken[str(subnet)] = subnet
                return subnet
            busy, self._busy = self._busy, []
            self._free.extend(busy)  # next time they may be free
            raise RuntimeFailure(
                f"no address range is left for another session in {self.cidr}: {len(self._taken)} are in use "
                f"here, {len(busy)} by others on this machine; end a session, or give a larger range with "
                "--session-subnet"
            )

    def give_back(self, subnet: str) -> None:
        with self._lock:
            if (network := self._taken.pop(subnet, None)) is not None:
                self._free.append(network)

    def skip(self, subnet: str) -> None:
        """Somebody else uses `subnet`: do not hand it out before every other one was tried."""
        with self._lock:
            if (network := self._taken.pop(subnet, None)) is not None:
                self._busy.append(network)

    def reserve(self, subnet: str) -> None:
        """Note that a session of an earlier process has `subnet`."""
        with self._lock:
            for network in self._free:
                if str(network) == subnet:
                    self._free.remove(network)
                    self._taken[subnet] = network
                    return
