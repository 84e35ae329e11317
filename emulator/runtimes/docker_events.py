"""The engine's event stream, as far as it concerns sessions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker

from emulator.runtimes import names
from emulator.runtimes.base import Exit, ImagesChanged, RuntimeFailure, RuntimeUnavailable

ACTIONS = ["die", "oom", "disconnect", "tag", "untag", "delete", "import", "load", "pull"]


@dataclass(frozen=True)
class Disconnected:
    """A container was taken off a network, which also happens when it ends."""

    container: str


News = Exit | Disconnected | ImagesChanged | RuntimeFailure
"""What is heard of the engine; a failure is the last of it."""


class Stream:
    """Carries the engine's events, a blocking iterator, over to the loop: `put` is called there."""

    def __init__(self, api: docker.APIClient, owner: tuple[str, str], put: Callable[[News], None]) -> None:
        self._api = api
        self._owner = owner
        self._put = put
        self._events: Any = None
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Ask the engine for events from now on. Blocks."""
        # Labels cannot be asked for: what networks and images tell carries none of ours.
        filters = {"type": ["container", "network", "image"], "event": ACTIONS}
        self._events = self._api.events(decode=True, filters=filters)
        threading.Thread(target=self._pump, name="docker-events", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._events.close()

    def _tell(self, news: News) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, news)

    def _pump(self) -> None:
        out_of_memory: set[str] = set()
        why = "it was closed"
        try:
            for event in self._events:
                kind, attributes = event["Type"], event["Actor"]["Attributes"]
                if kind == "image":
                    self._tell(ImagesChanged())
                elif kind == "network":
                    self._tell(Disconnected(attributes.get("container", "")))
                elif (attributes.get(names.INSTANCE), attributes.get(names.OWNER)) == self._owner:
                    self._container(event["Action"], attributes, out_of_memory)
        except Exception as error:  # docker-py lets urllib3's and the socket's own errors through here
            why = str(error)
        self._tell(RuntimeUnavailable(f"the Docker Engine's event stream ended: {why}"))

    def _container(self, action: str, attributes: dict[str, str], out_of_memory: set[str]) -> None:
        guid = attributes.get(names.SESSION, "")
        if action == "oom":
            out_of_memory.add(guid)
        elif action == "die":
            code = int(attributes.get("exitCode", "-1"))
            self._tell(Exit(guid, code, oom=code == 137 and guid in out_of_memory))
            out_of_memory.discard(guid)
