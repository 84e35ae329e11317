"""What ended sessions printed is kept for a while, costs a removal next to nothing, and never fails one."""

from __future__ import annotations

import asyncio

import pytest

from emulator import tracing
from emulator.pool import consoles
from emulator.pool.consoles import GONE, Ended
from emulator.pool.pool import Pool
from emulator.runtimes.base import RuntimeFailure
from tests.unit.pool.fake_runtime import FakeRuntime, World, settle, spec


async def session_of(pool: Pool, identifier: str) -> str:
    lease = await pool.acquire(identifier)
    lease.release()
    return lease.session.guid


def ended(world: World, guid: str) -> Ended:
    found = world.shared.consoles.find(guid)
    assert found is not None
    return found


async def test_an_expired_session_keeps_what_it_printed_and_why_it_ended() -> None:
    world = World()
    pool = await world.open()
    guid = await session_of(pool, "alice")
    await world.advance(300)
    one = ended(world, guid)
    assert (one.kind, one.identifier, one.console) == ("session.expired", "alice", f"printed by {guid}")
    assert one.cause == "cooldown of 300 s is over"
    assert one.ended_at == world.clock.now()
    assert world.runtime.alive == {}


async def test_one_that_crashed_and_a_warm_one_that_died_keep_theirs() -> None:
    world = World(ready=1)
    pool = await world.open()
    guid = await session_of(pool, "alice")
    await settle()
    (warm,) = pool.warm.guids
    await world.runtime.die(guid, 137, oom=True)
    await world.runtime.die(warm, 1)
    await settle()
    assert [(one.kind, one.console) for one in world.shared.consoles.ended] == [
        ("instance.exited", f"printed by {warm}"),
        ("session.crashed", f"printed by {guid}"),
    ]
    assert "out of memory" in ended(world, guid).cause


@pytest.mark.parametrize("ready", [0, 1])
async def test_a_start_that_failed_keeps_its_last_lines(ready: int) -> None:
    failure = RuntimeFailure("not ready after 120 s")
    failure.console = "no such module: flask"
    world = World(ready=ready)
    world.runtime.refusal = failure
    prepared = world.runtime.prepare
    world.runtime.prepare = lambda pool: _image()  # type: ignore[method-assign]
    pool = await world.open()
    if not ready:
        with pytest.raises(Exception, match="could not start a session"):
            await pool.acquire("alice")
    await settle()
    (one,) = world.shared.consoles.ended
    assert one.kind == ("instance.failed" if ready else "allocation.failed")
    assert one.console == "no such module: flask"
    world.runtime.prepare = prepared  # type: ignore[method-assign]


async def _image() -> str:
    return "image"


async def test_a_start_that_never_had_a_container_says_so() -> None:
    world = World()
    pool = await world.open()
    world.runtime.refusal = RuntimeFailure("there is no such image")
    with pytest.raises(Exception, match="no such image"):
        await pool.acquire("alice")
    (one,) = world.shared.consoles.ended
    assert one.console is None
    assert "no container" in one.note


async def test_what_somebody_else_removed_says_so() -> None:
    world = World()
    pool = await world.open()
    guid = await session_of(pool, "alice")
    await world.runtime.die(guid, 137)
    del world.runtime.alive[guid]
    await settle()
    assert (ended(world, guid).console, ended(world, guid).note) == (None, GONE)


async def test_an_engine_that_refuses_the_log_is_no_reason_to_keep_the_container() -> None:
    world = World()
    pool = await world.open()
    guid = await session_of(pool, "alice")
    world.runtime.consoles[guid] = RuntimeFailure("the log driver cannot be read")
    await pool.stop(pool.sessions[0], "asked for")
    assert world.runtime.alive == {}
    assert ended(world, guid).note == "(its console could not be read: the log driver cannot be read)"


async def test_a_log_that_does_not_come_delays_a_removal_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consoles, "FETCH_SECONDS", 0.01)
    world = World()
    pool = await world.open()
    guid = await session_of(pool, "alice")
    world.runtime.log_gate.clear()
    await pool.stop(pool.sessions[0], "asked for")
    assert world.runtime.alive == {}
    assert "could not be read within" in ended(world, guid).note
    await settle()
    assert not [task for task in asyncio.all_tasks() if "logs" in repr(task.get_coro())]


async def test_only_so_many_are_kept_and_so_much_of_each() -> None:
    world = World()
    world.shared.consoles._kept, world.shared.consoles._tail = 3, 10
    pool = await world.open(spec(size=10))
    guids = [await session_of(pool, f"user{number}") for number in range(5)]
    world.runtime.consoles[guids[4]] = "1234567890abcdé"
    await world.advance(300)
    kept = world.shared.consoles.ended
    assert [one.guid for one in kept] == guids[:1:-1]
    assert kept[0].console == "7890abcdé"
    assert kept[0].note == "(the last 10 of 16 bytes)"
    assert world.shared.consoles.size <= 30


async def test_what_is_drained_is_not_read_and_nothing_is_when_the_emulator_stops() -> None:
    world = World(ready=1)
    pool = await world.open()
    await session_of(pool, "alice")
    await settle()
    await pool.update(spec(size=3, custom=True))
    assert "logs" not in world.runtime.calls
    world.shared.consoles.close()
    await world.registry.close(keep=False)
    assert "logs" not in world.runtime.calls
    assert world.runtime.alive == {}


async def test_an_expiry_is_not_blamed_on_who_stumbles_over_it() -> None:
    world = World(FakeRuntime(), ready=1)
    pool = await world.open(spec(size=1))
    await session_of(pool, "alice")
    world.clock.advance(301)  # the sweeper has not looked yet
    with tracing.serving(tracing.begin([])):
        await session_of(pool, "bobby")
        current = tracing.current()
    await settle()
    told = {event.kind: event for event in world.events.recent() if event.identifier in ("alice", "bobby")}
    assert told["session.expired"].trace is None
    assert current is not None
    assert told["session.allocated"].trace == current.id


async def test_a_refill_is_not_the_claimers() -> None:
    world = World(ready=1)
    pool = await world.open()
    with tracing.serving(tracing.begin([])):
        await session_of(pool, "alice")
    await settle()
    ready = [event for event in world.events.recent() if event.kind == "instance.ready"]
    assert [event.trace for event in ready] == [None, None]
