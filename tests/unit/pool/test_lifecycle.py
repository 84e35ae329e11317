"""When a session ends, and what happens to those who ask just then."""

from __future__ import annotations

import asyncio

import pytest

from emulator.pool.session import IllegalTransition, State
from emulator.resources.model import Lifecycle, LifecycleType
from emulator.runtimes.base import Exit, RuntimeFailure
from tests.unit.pool.fake_runtime import World, settle, spec


async def test_the_cooldown_counts_from_the_end_of_the_last_request() -> None:
    world = World()
    pool = await world.open()
    lease = await pool.acquire("alice")
    await world.advance(1_000)
    assert lease.session.state is State.ACTIVE  # a request in flight
    lease.release()
    await world.advance(299)
    (await pool.acquire("alice")).release()
    await world.advance(299)
    assert pool.find("alice") is not None
    await world.advance(1)
    assert pool.find("alice") is None
    assert world.runtime.alive == {}


async def test_an_asynchronous_run_holds_its_session() -> None:
    world = World()
    pool = await world.open()
    lease = await pool.acquire("alice")
    held = lease.hold()
    lease.release()
    await world.advance(1_000)
    assert pool.find("alice") is not None
    held.release()
    held.release()  # again: nothing happens
    await world.advance(300)
    assert pool.find("alice") is None


async def test_advancing_the_clock_ends_every_idle_session_before_it_returns() -> None:
    world = World(ready=0)
    pool = await world.open(spec(size=10))
    for number in range(10):
        (await pool.acquire(f"user{number}")).release()
    await world.advance(300)
    assert pool.sessions == []
    assert world.runtime.alive == {}
    assert world.kinds().count("session.expired") == 10


async def test_looking_at_a_session_does_not_extend_it() -> None:
    world = World()
    pool = await world.open()
    (await pool.acquire("alice")).release()
    await world.advance(299)
    session = pool.find("alice")
    assert session is not None
    assert pool.expires_at(session) == world.clock.now() + 1
    await world.advance(1)
    assert pool.find("alice") is None


async def test_whoever_asks_while_a_session_is_stopped_gets_a_fresh_one() -> None:
    world = World()
    pool = await world.open()
    first = await pool.acquire("alice")
    first.release()
    world.runtime.stop_gate.clear()
    world.clock.advance(300)
    expiring = asyncio.create_task(world.shared.sweeper.run_due())
    await settle()
    assert first.session.state is State.EXPIRING
    asking = asyncio.create_task(pool.acquire("alice"))
    await settle()
    assert not asking.done()
    world.runtime.stop_gate.set()
    await expiring
    second = await asking
    assert second.new_allocation
    assert second.session.guid != first.session.guid


async def test_on_container_exit_ends_with_its_container_or_at_its_maximum_age() -> None:
    world = World()
    lifecycle = Lifecycle(LifecycleType.ON_CONTAINER_EXIT, cooldown=None, max_alive=600)
    pool = await world.open(spec(custom=True, lifecycle=lifecycle))
    first = await pool.acquire("alice")
    first.release()
    await world.advance(599)
    assert pool.find("alice") is not None
    pool.exited(Exit(first.session.guid, 0))
    await settle()
    assert first.session.state is State.STOPPED
    second = await pool.acquire("alice")  # never released: the maximum age holds all the same
    await world.advance(600)
    assert second.session.state is State.STOPPED
    assert world.runtime.alive == {}


async def test_a_crash_fails_the_session_and_the_next_request_gets_another() -> None:
    world = World()
    pool = await world.open()
    lease = await pool.acquire("alice")
    await world.runtime.exits.put(Exit(lease.session.guid, 137, oom=True))
    await settle()
    assert lease.session.state is State.FAILED
    assert lease.session.exit == Exit(lease.session.guid, 137, oom=True)
    assert (await pool.acquire("alice")).session.guid != lease.session.guid
    assert lease.session.guid not in world.runtime.alive  # its network and the like are removed


async def test_an_exit_that_is_heard_before_the_start_is_over_is_not_lost() -> None:
    world = World()
    pool = await world.open()
    world.runtime.gate.clear()
    waiting = asyncio.create_task(pool.acquire("alice"))
    await settle()
    (guid,) = world.runtime.alive
    await world.runtime.exits.put(Exit(guid, 1))
    await settle()
    world.runtime.gate.set()
    lease = await waiting
    assert lease.session.guid != guid or lease.session.state is State.FAILED


async def test_a_stop_that_fails_is_tried_again_and_blocks_nobody() -> None:
    world = World()
    pool = await world.open(spec(size=1))
    (await pool.acquire("alice")).release()
    guid = pool.sessions[0].guid
    stop = world.runtime.stop

    async def refuse(_: str) -> None:
        raise RuntimeFailure("not now")

    world.runtime.stop = refuse  # type: ignore[method-assign]
    await pool.stop(pool.sessions[0], "test")
    assert "stop.failed" in " ".join(world.kinds())
    world.runtime.stop = stop  # type: ignore[method-assign]
    assert guid in world.runtime.alive
    await world.advance(2)
    assert guid not in world.runtime.alive


async def test_every_end_has_an_event_with_its_cause() -> None:
    world = World()
    pool = await world.open()
    (await pool.acquire("alice")).release()
    await world.advance(300)
    lease = await pool.acquire("bobby")
    await pool.stop(lease.session, "somebody said so")
    told = {event.kind: event.cause for event in world.events.recent() if event.kind.startswith("session.")}
    assert told["session.expired"] == "cooldown of 300 s is over"
    assert told["session.stopped"] == "somebody said so"


async def test_a_transition_that_is_not_drawn_is_refused() -> None:
    world = World()
    pool = await world.open()
    lease = await pool.acquire("alice")
    with pytest.raises(IllegalTransition):
        lease.session.move(State.STOPPED)
