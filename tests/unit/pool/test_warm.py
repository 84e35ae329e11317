"""The warm set: filled, refilled, replaced, never too many, never spinning."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from emulator.resources.model import EmulatorOptions
from emulator.runtimes.base import Exit, ImageMissing
from tests.unit.pool.fake_runtime import World, settle, spec


async def test_it_is_filled_at_start_and_refilled_after_a_claim() -> None:
    world = World(ready=2)
    pool = await world.open(spec(size=5))
    assert pool.warm.ready == 2
    await pool.acquire("alice")
    await settle()
    assert pool.warm.ready == 2
    assert len(world.runtime.alive) == 3


async def test_it_never_takes_the_pool_above_its_maximum() -> None:
    world = World(ready=5)
    pool = await world.open(spec(size=3))
    for name in ("alice", "bobby", "carol"):
        await pool.acquire(name)
        await settle()
    assert world.runtime.most == 3
    assert pool.warm.ready == 0


async def test_it_is_refilled_when_a_session_ends() -> None:
    world = World(ready=1)
    pool = await world.open(spec(size=1))
    (await pool.acquire("alice")).release()
    await world.advance(300)
    await settle()
    assert pool.warm.ready == 1


async def test_a_ready_instance_that_dies_is_replaced_but_not_in_a_tight_loop() -> None:
    world = World(ready=1)
    await world.open()
    (guid,) = world.runtime.alive
    await world.runtime.exits.put(Exit(guid, 1))
    await settle()
    assert world.runtime.calls.count("start") == 1
    await world.advance(1)
    await settle()
    assert world.runtime.calls.count("start") == 2
    assert list(world.runtime.alive) != [guid]


async def test_an_image_that_is_missing_does_not_spin_and_recovers_by_itself() -> None:
    world = World(ready=1)
    world.runtime.refusal = ImageMissing("image x is not there")
    pool = await world.open()
    assert (pool.provisioning_state, pool.failure) == ("Failed", "image x is not there")
    for seconds in (1, 2, 4, 8):
        await world.advance(seconds)
        await settle()
    assert world.kinds().count("instance.failed") == 1  # said once, not at every try
    world.runtime.refusal = None
    await world.advance(60)
    await settle()
    assert (pool.provisioning_state, pool.warm.ready) == ("Succeeded", 1)


async def test_a_changed_image_replaces_warm_instances_and_leaves_running_sessions() -> None:
    world = World(ready=1)
    pool = await world.open()
    lease = await pool.acquire("alice")
    await settle()
    before = set(world.runtime.alive)
    await pool.update(replace(pool.spec, emulator=EmulatorOptions(image="newer")))
    await settle()
    assert lease.session.guid in world.runtime.alive
    assert pool.find("alice") is lease.session
    assert before & set(world.runtime.alive) == {lease.session.guid}
    assert pool.warm.ready == 1


async def test_changed_limits_keep_warm_instances() -> None:
    world = World(ready=1)
    pool = await world.open()
    before = set(world.runtime.alive)
    await pool.update(replace(pool.spec, max_sessions=9))
    await settle()
    assert set(world.runtime.alive) == before


async def test_a_shorter_cooldown_holds_for_sessions_that_run() -> None:
    world = World()
    pool = await world.open()
    (await pool.acquire("alice")).release()
    await pool.update(spec(cooldown=10))
    await world.advance(10)
    assert pool.find("alice") is None


async def test_no_pool_lets_anybody_in_before_the_whole_reset_is_over() -> None:
    world = World()
    await world.open(spec("one"), spec("two"))
    one, two = world.registry.pools
    (await one.acquire("alice")).release()
    world.runtime.stop_gate.clear()
    told: list[str] = []
    resetting = asyncio.create_task(world.registry.reset(lambda: told.append("cleared")))
    await settle()
    asking = asyncio.create_task(two.acquire("bobby"))  # of a pool that had nothing to remove
    await settle()
    assert not asking.done()
    world.runtime.stop_gate.set()
    assert [(gone.pool, gone.identifier) for gone in await resetting] == [("one", "alice")]
    assert told == ["cleared"]
    (await asking).release()


async def test_a_reset_removes_everything_and_starts_afresh() -> None:
    world = World(ready=1)
    pool = await world.open()
    await pool.acquire("alice")
    await settle()
    before = set(world.runtime.alive)
    removed = await world.registry.reset()
    await settle()
    assert {one.guid for one in removed} == before
    assert [one.identifier for one in removed] == ["alice", None]
    assert before & set(world.runtime.alive) == set()
    assert pool.warm.ready == 1
