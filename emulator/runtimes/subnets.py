"""Hands out one small subnet a session from a configurable range."""

from __future__ import annotations

import ipaddress
from collections import deque

from emulator.runtimes.base import RuntimeFailure

PREFIX = 29  # gateway, session, the emulator's own container, and room for one more


class Subnets:
    """/29 networks out of `cidr`, least recently used first, so that an address is not soon used again."""

    def __init__(self, cidr: str) -> None:
        self.cidr = cidr
        network = ipaddress.IPv4Network(cidr)
        usable = network.prefixlen <= PREFIX
        self._free = deque(network.subnets(new_prefix=PREFIX) if usable else ())
        self._taken: dict[str, ipaddress.IPv4Network] = {}

    def take(self) -> ipaddress.IPv4Network:
        """A subnet nobody else was given. Raises `RuntimeFailure` when the range is used up."""
        if not self._free:
            raise RuntimeFailure(
                f"no address range is left for another session in {self.cidr} ({len(self._taken)} in use); "
                "give a larger one with --session-subnet"
            )
        subnet = self._free.popleft()
        self._taken[str(subnet)] = subnet
        return subnet

    def give_back(self, subnet: str) -> None:
        if (network := self._taken.pop(subnet, None)) is not None:
            self._free.append(network)

    def drop(self, subnet: str) -> None:
        """Never hand out `subnet` again: somebody else on this machine uses it."""
        self._taken.pop(subnet, None)

    def reserve(self, subnet: str) -> None:
        """Note that a session of an earlier process has `subnet`."""
        for network in self._free:
            if str(network) == subnet:
                self._free.remove(network)
                self._taken[subnet] = network
                return
