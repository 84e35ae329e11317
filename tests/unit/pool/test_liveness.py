"""Liveness probes of custom pools, on the emulator's clock."""

from __future__ import annotations

from emulator.pool.session import State
from emulator.resources.model import ContainerTemplate, Probe, SessionPool
from emulator.runtimes.base import Address
from tests.unit.pool.fake_runtime import World, settle, spec


class Container:
    """Answers probes from a list, and the last of it from then on."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def check(self, address: Address, probe: Probe | None) -> str:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def probed(threshold: int = 3) -> SessionPool:
    probe = Probe("Liveness", "/health", 80, period=10, failure_threshold=threshold)
    return spec(custom=True, template=ContainerTemplate("image", 80, probes=(probe,)))


async def world_with(container: Container) -> World:
    world = World()
    object.__setattr__(world.shared, "check", container.check)
    await world.open(probed())
    return world


async def tick(world: World, times: int) -> None:
    for _ in range(times):
        await world.advance(10)
        await settle()


async def test_enough_failures_in_a_row_end_the_session_with_the_cause() -> None:
    container = Container("", "500 broken")
    world = await world_with(container)
    lease = await world.registry.pools[0].acquire("alice")
    await tick(world, 3)
    assert lease.session.state is State.ACTIVE
    await tick(world, 1)
    assert lease.session.state is State.FAILED
    told = [event.cause for event in world.events.recent() if event.kind == "session.crashed"]
    assert told == [
        "container failed its liveness probe (GET /health) 3 times in a row; last seen: 500 broken"
    ]
    assert world.runtime.alive == {}


async def test_one_jump_of_the_clock_is_as_good_as_waiting() -> None:
    container = Container("500 broken")
    world = await world_with(container)
    lease = await world.registry.pools[0].acquire("alice")
    await world.advance(20)
    assert lease.session.state is State.ACTIVE
    await world.advance(10)
    assert lease.session.state is State.FAILED


async def test_a_day_of_probes_is_not_made_up_one_by_one() -> None:
    container = Container("")
    world = await world_with(container)
    lease = await world.registry.pools[0].acquire("alice")
    await world.advance(86_400)
    assert lease.session.state is State.ACTIVE
    assert container.asked < 10


async def test_a_success_in_between_starts_the_count_anew() -> None:
    container = Container("500", "500", "", "500", "500", "", "")
    world = await world_with(container)
    lease = await world.registry.pools[0].acquire("alice")
    await tick(world, 8)
    assert lease.session.state is State.ACTIVE


async def test_probing_ends_with_the_session() -> None:
    container = Container("")
    world = await world_with(container)
    pool = world.registry.pools[0]
    lease = await pool.acquire("alice")
    await tick(world, 2)
    await pool.stop(lease.session, "test")
    asked = container.asked
    await tick(world, 3)
    assert container.asked == asked
