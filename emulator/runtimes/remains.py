"""What dead emulators left on an engine, told apart from what living ones have there."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker import errors as docker_errors

from emulator.lock import Lock
from emulator.runtimes import names
from emulator.runtimes.options import StartOptions

log = logging.getLogger("emulator.runtimes.docker")

CONTAINER_ID = re.compile(r"[0-9a-f]{12}")
"""What Docker calls the host inside a container that nobody named."""


class Remains:
    """Containers and networks that carry this instance name and another owner's label.

    An emulator with another --state-dir made them. Where it lives, they are left alone, neither adopted nor
    removed; where it is dead, nobody else will ever remove them.
    """

    def __init__(
        self,
        api: docker.APIClient,
        options: StartOptions,
        remove_container: Callable[[str], None],
        remove_network: Callable[[str], None],
    ) -> None:
        self._api = api
        self._options = options
        self._remove_container = remove_container
        self._remove_network = remove_network
        self._alive: dict[str, bool] = {}

    def sweep(self) -> None:
        """Remove what the dead left; say once what the living have. Blocks."""
        filters = {"label": [f"{names.INSTANCE}={self._options.instance}"]}
        containers, networks = (
            [one for one in listed if one["Labels"].get(names.OWNER) != self._options.owner]
            for listed in (
                self._api.containers(all=True, filters=filters),
                self._api.networks(filters=filters),
            )
        )
        for removing, found in ((self._remove_container, containers), (self._remove_network, networks)):
            for one in found:
                if not self._lives(one["Labels"]):
                    removing(one["Id"])
        if living := sum(self._lives(one["Labels"]) for one in containers):
            log.warning(
                "%d containers belong to another emulator of instance %s, with another --state-dir: they are "
                "left alone; give one of the two another --instance",
                living,
                self._options.instance,
            )

    def _lives(self, labels: dict[str, Any]) -> bool:
        holder = str(labels.get(names.HOLDER, ""))
        if holder not in self._alive:
            self._alive[holder] = self._is_running(holder)
        return self._alive[holder]

    def _is_running(self, holder: str) -> bool:
        """Whether an emulator with that label may still be running."""
        host, _, path = holder.partition(":")
        if host == socket.gethostname():
            return Lock(Path(path)).is_held()
        if not CONTAINER_ID.fullmatch(host):
            return bool(host)  # another machine that shares this engine: nobody here can tell
        try:
            return bool(self._api.inspect_container(host)["State"]["Running"])
        except docker_errors.NotFound:
            return False
