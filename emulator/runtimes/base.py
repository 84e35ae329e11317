"""The contract between `pool` and whatever runs a session's container."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from emulator.errors import EmulatorError
from emulator.resources.model import SessionPool


class RuntimeFailure(EmulatorError):
    """A container could not be started, stopped or listed; the message says why and what to do.

    `console`: the end of what it printed before it was removed, where there was one.
    """

    console: str | None = None


class RuntimeUnavailable(RuntimeFailure):
    """The engine does not answer at all (as against: it answered no)."""


class ImageMissing(RuntimeFailure):
    """The image is not on the engine and cannot be had."""


@dataclass(frozen=True)
class Address:
    """Where an instance listens: `http://host:port`, or a Unix socket (`uds`, a path)."""

    url: str
    uds: str | None = None


@dataclass(frozen=True)
class Start:
    """What to start: an instance for `pool`, named `guid`; `identifier` is None for a warm one."""

    pool: SessionPool
    guid: str
    identifier: str | None = None


@dataclass(frozen=True)
class Instance:
    """A running container (or child process) that can hold one session.

    `created_at` in seconds since the epoch, by the runtime's own clock. `image` is what it runs, by id.
    """

    guid: str
    pool_key: str
    address: Address
    image: str
    created_at: float
    identifier: str | None = None


@dataclass(frozen=True)
class Exit:
    """An instance ended without being asked to. `code` is its exit status where known."""

    guid: str
    code: int | None
    oom: bool = False
    reason: str = ""


@dataclass(frozen=True)
class ImagesChanged:
    """Images came, went or moved, or may have while nobody watched."""


class Runtime(Protocol):
    """Starts, stops and watches instances. Every call may raise `RuntimeFailure`."""

    name: str

    async def check_limits(self) -> None:
        """Return if sessions can have the limits that were asked for; else raise `RuntimeFailure`."""

    async def image(self, pool: SessionPool) -> str | None:
        """The id of the image that `pool` would run now; None when it would have to be got first."""

    async def prepare(self, pool: SessionPool) -> str:
        """Make sure `pool` can start; return the id of the image it will run. Raises `ImageMissing`."""

    async def start(self, start: Start) -> Instance:
        """Start an instance and return once it answers; on failure nothing is left behind."""

    async def stop(self, guid: str) -> None:
        """End an instance and remove all that belongs to it; of one that is gone: nothing to do."""

    async def kill(self, guid: str, *, oom: bool = False) -> None:
        """Let an instance die as in a crash, leaving its remains; of one that is gone: nothing to do.

        `watch` tells of the exit, with code 137 and, if `oom`, as for want of memory.
        """

    async def instances(self) -> list[Instance]:
        """Every running instance of this emulator, also those started by an earlier process."""

    def watch(self) -> AsyncIterator[Exit | ImagesChanged]:
        """Exits as they happen and those nobody told of, and news of images, until cancelled."""

    async def look(self, guid: str) -> Exit | None:
        """How an instance that should run ended, if it did and `watch` has not told; None: it can serve."""

    async def tidy(self) -> list[str]:
        """Try once more to remove what `stop` or a failed start could not; returns the guids that remain."""

    async def logs(self, guid: str, tail: int = 200) -> str | None:
        """The last `tail` lines of an instance's console, as far as they are kept; None: it is gone."""

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        """What is installed in the pool's sessions (`GET /metadata`), read from the image."""

    def notes(self) -> list[str]:
        """What this runtime isolates less well than Azure, for a person to read at start."""

    async def ping(self) -> None:
        """Return if the runtime can serve; raise `RuntimeUnavailable` with the reason if not."""

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        """Remove every instance and leftover of this instance name, whoever's it is.

        `tell` is called with the name of each as it goes; returns what could not be removed, and why.
        """

    async def aclose(self) -> None:
        """Let go of connections and threads (not of instances)."""
