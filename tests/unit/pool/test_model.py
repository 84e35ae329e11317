"""A model of the pool, driven at random: whatever happens in whatever order, these promises hold.

Containers never exceed the maximum; one session an identifier; no lease is on a session that was stopped
behind its back; every instance that was started is stopped in the end; each end has a cause; a process that
is killed and started again has every session that it had.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emulator.errors import ServiceError
from emulator.pool.pool import Pool
from emulator.pool.session import Lease, State
from emulator.resources.model import EmulatorOptions, SessionPool
from emulator.runtimes.base import RuntimeFailure
from tests.unit.pool.fake_runtime import World, settle, spec

SIZE = 3
names = st.sampled_from(["alice", "bobby", "carol", "david", "erica"])


class PoolMachine(RuleBasedStateMachine):
    world: World
    pool: Pool

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.leases: list[Lease] = []
        self.asking: list[asyncio.Task[Lease]] = []
        self.ended_on_purpose: set[str] = set()
        self.folder = tempfile.TemporaryDirectory()
        self.ready = 0
        self.image = 0

    def go(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(10):
                result = await work
                await settle()
                return result

        result = self.loop.run_until_complete(bounded())
        self.collect()
        return result

    def collect(self) -> None:
        for task in [task for task in self.asking if task.done()]:
            self.asking.remove(task)
            error = task.exception()
            assert error is None or isinstance(error, ServiceError), error
            if error is None:
                self.leases.append(task.result())

    @initialize(ready=st.integers(0, 2))
    def begin(self, ready: int) -> None:
        self.ready = ready
        self.go(self.opened(World(ready=ready, ledger=self.ledger)))

    @property
    def ledger(self) -> Path:
        return Path(self.folder.name) / "sessions.jsonl"

    def document(self) -> SessionPool:
        return spec(size=SIZE, cooldown=60, emulator=EmulatorOptions(image=f"image-{self.image}"))

    async def opened(self, world: World) -> None:
        self.world = world
        self.pool = await world.open(self.document())

    @rule(name=names)
    def ask(self, name: str) -> None:
        async def asked() -> None:
            self.asking.append(asyncio.ensure_future(self.pool.acquire(name)))

        self.go(asked())

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        if self.leases:
            lease = self.leases.pop(which % len(self.leases))

            async def released() -> None:
                lease.release()

            self.go(released())

    @rule(seconds=st.sampled_from([1, 30, 60, 200]))
    def time_passes(self, seconds: int) -> None:
        if self.world.runtime.stop_gate.is_set():
            self.go(self.world.advance(seconds))

    @rule(name=names)
    def stop(self, name: str) -> None:
        session = self.pool.find(name)
        if session is not None:
            self.ended_on_purpose.add(session.guid)

            async def stopped() -> None:
                asyncio.ensure_future(self.pool.stop(session, "test"))  # noqa: RUF006

            self.go(stopped())

    @rule(which=st.integers(0, 9), code=st.sampled_from([0, 1, 137]))
    def die(self, which: int, code: int) -> None:
        runtime = self.world.runtime
        alive = [guid for guid in runtime.alive if guid not in runtime.dead]  # in the order of their starts
        if alive:
            guid = alive[which % len(alive)]
            self.ended_on_purpose.add(guid)
            self.go(runtime.die(guid, code))

    @rule()
    def starts_hang(self) -> None:
        self.world.runtime.gate.clear()

    @rule()
    def starts_go_on(self) -> None:
        async def opened() -> None:
            self.world.runtime.gate.set()

        self.go(opened())

    @rule()
    def stops_hang(self) -> None:
        self.world.runtime.stop_gate.clear()

    @rule()
    def stops_go_on(self) -> None:
        async def opened() -> None:
            self.world.runtime.stop_gate.set()

        self.go(opened())

    @rule()
    def starts_fail(self) -> None:
        self.world.runtime.refusal = RuntimeFailure("refused")

    @rule()
    def starts_succeed(self) -> None:
        self.world.runtime.refusal = None

    @rule()
    def reset(self) -> None:
        runtime = self.world.runtime
        if runtime.gate.is_set() and runtime.stop_gate.is_set():
            self.ended_on_purpose |= set(runtime.alive)
            self.go(self.world.registry.reset())

    @rule()
    def another_image(self) -> None:
        """Running sessions keep theirs; what waits for an identifier is replaced."""
        runtime = self.world.runtime
        if runtime.gate.is_set() and runtime.stop_gate.is_set():
            held = {one.guid for one in self.pool.sessions if one.state is State.ACTIVE}
            self.image += 1
            self.go(self.pool.update(self.document()))
            assert held <= {one.guid for one in self.pool.sessions}

    @rule()
    def killed_and_started_again(self) -> None:
        """Also while instances start: what was answered is there again, whatever nobody holds is not."""
        runtime = self.world.runtime
        if not runtime.stop_gate.is_set() or runtime.refusal is not None:
            return
        held = {one.identifier: one.guid for one in self.pool.sessions if one.state is State.ACTIVE}

        async def again() -> None:
            self.world.die()
            await settle()
            self.leases.clear()
            self.asking.clear()
            world = World(runtime, ready=self.ready, ledger=self.ledger)
            world.clock.advance(self.world.clock.now() - world.clock.now())
            runtime.gate.set()
            await self.opened(world)

        self.go(again())
        assert {one.identifier: one.guid for one in self.pool.sessions} == held
        assert set(runtime.alive) == {*held.values(), *self.pool.warm.guids}

    @invariant()
    def never_more_containers_than_allowed(self) -> None:
        assert self.world.runtime.most <= SIZE

    @invariant()
    def one_session_an_identifier(self) -> None:
        live = [one.identifier for one in self.pool.sessions if one.state in (State.ACTIVE, State.ALLOCATING)]
        assert len(live) == len(set(live))

    @invariant()
    def a_lease_is_on_a_session_that_lives_or_was_ended_on_purpose(self) -> None:
        for lease in self.leases:
            session = lease.session
            assert session.state is State.ACTIVE or session.guid in self.ended_on_purpose
            assert session.in_flight > 0

    def teardown(self) -> None:
        async def closed() -> None:
            runtime = self.world.runtime
            runtime.gate.set()
            runtime.stop_gate.set()
            await settle()
            for lease in self.leases:
                lease.release()
            await self.world.registry.close(keep=False)
            for task in self.asking:
                await asyncio.gather(task, return_exceptions=True)
            assert runtime.alive == {}, "an instance was started and never stopped"
            for event in self.world.events.recent():
                assert event.cause

        try:
            if hasattr(self, "world"):
                self.loop.run_until_complete(asyncio.wait_for(closed(), 10))
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            self.folder.cleanup()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
