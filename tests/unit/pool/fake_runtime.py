"""A runtime whose containers are entries of a dict: starts can be held or refused, instances can die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from emulator.clock import VirtualClock
from emulator.pool.events import EventLog
from emulator.pool.ledger import Ledger
from emulator.pool.pool import Pool, Shared
from emulator.pool.registry import Registry
from emulator.pool.sweeper import Sweeper
from emulator.resources.model import ContainerType, Lifecycle, SessionPool
from emulator.runtimes.base import Address, Exit, Instance, RuntimeFailure, Start


class FakeRuntime:
    name = "fake"

    def __init__(self) -> None:
        self.alive: dict[str, Instance] = {}
        self.calls: list[str] = []
        self.refusal: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.stop_gate = asyncio.Event()
        self.stop_gate.set()
        self.dead: set[str] = set()
        self.most = 0
        self.exits: asyncio.Queue[Exit] = asyncio.Queue()
        self.consoles: dict[str, str | Exception] = {}
        self.log_gate = asyncio.Event()
        self.log_gate.set()

    async def image(self, pool: SessionPool) -> str | None:
        if isinstance(self.refusal, RuntimeFailure):
            raise self.refusal
        return "image"

    async def prepare(self, pool: SessionPool) -> str:
        if self.refusal is not None:
            raise self.refusal
        return "image"

    async def start(self, start: Start) -> Instance:
        self.calls.append("start")
        instance = Instance(
            start.guid, start.pool.key, Address("http://fake"), "image", 0.0, start.identifier
        )
        self.alive[start.guid] = instance
        self.most = max(self.most, len(self.alive.keys() - self.dead))
        await self.gate.wait()
        if self.refusal is not None:
            del self.alive[start.guid]
            raise self.refusal
        return instance

    async def stop(self, guid: str) -> None:
        self.calls.append("stop")
        await self.stop_gate.wait()
        self.alive.pop(guid, None)

    async def instances(self) -> list[Instance]:
        if isinstance(self.refusal, RuntimeFailure):
            raise self.refusal
        for guid in self.dead & self.alive.keys():  # as an engine's: what has exited is no instance any more
            del self.alive[guid]
        return list(self.alive.values())

    async def watch(self) -> AsyncIterator[Exit]:
        while True:
            yield await self.exits.get()

    async def tidy(self) -> list[str]:
        return []

    async def look(self, guid: str) -> Exit | None:
        return None

    async def die(self, guid: str, code: int, oom: bool = False) -> None:
        """The container ends by itself: it holds nothing any more, but its remains must still be removed."""
        self.dead.add(guid)
        await self.exits.put(Exit(guid, code, oom))

    async def kill(self, guid: str, *, oom: bool = False) -> None:
        self.calls.append("kill")
        if isinstance(self.refusal, RuntimeFailure):
            raise self.refusal
        await self.die(guid, 137, oom)

    async def logs(self, guid: str, tail: int = 200) -> str | None:
        self.calls.append("logs")
        await self.log_gate.wait()
        if guid not in self.alive:
            return None
        console = self.consoles.get(guid, f"printed by {guid}")
        if isinstance(console, Exception):
            raise console
        return console

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        return {}

    def notes(self) -> list[str]:
        return []

    async def ping(self) -> None:
        return None

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        return []

    async def aclose(self) -> None:
        return None


class World:
    """One pool (or more) over a fake runtime and a clock that stands still."""

    def __init__(
        self, runtime: FakeRuntime | None = None, ledger: Path | None = None, ready: int = 0
    ) -> None:
        self.runtime = runtime or FakeRuntime()
        self.clock = VirtualClock()
        self.events = EventLog(self.clock)
        self.shared = Shared(
            self.runtime, self.clock, Sweeper(self.clock), self.events, Ledger(ledger), default_ready=ready
        )
        self.registry = Registry(self.shared)

    async def open(self, *specs: SessionPool) -> Pool:
        await self.registry.open(specs or (spec(),))
        await settle()
        return self.registry.pools[0]

    def die(self) -> None:
        """The process is killed: no more work is done, and the kernel closes its files."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        self.shared.ledger.close()

    async def advance(self, seconds: float) -> None:
        """As the admin API does it: when this returns, everything that was due is done."""
        self.clock.advance(seconds)
        await self.shared.sweeper.run_due()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.recent()]


def spec(
    name: str = "pool", *, size: int = 3, cooldown: float = 300, custom: bool = False, **more: object
) -> SessionPool:
    kind = ContainerType.CUSTOM if custom else ContainerType.PYTHON
    more.setdefault("lifecycle", Lifecycle(cooldown=cooldown))
    return SessionPool(name, kind, max_sessions=size, **more)  # type: ignore[arg-type]


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)
