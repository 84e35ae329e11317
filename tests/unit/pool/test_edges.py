"""Corners in which a container leaked, a caller hung or a session came back; each was seen once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.pool import registry
from emulator.pool.session import State
from emulator.resources.model import Lifecycle, LifecycleType
from emulator.runtimes.base import ImageMissing, RuntimeFailure, RuntimeUnavailable
from tests.unit.pool.fake_runtime import World, settle, spec


async def test_a_caller_who_hangs_up_during_a_stop_does_not_stop_the_stop() -> None:
    world = World()
    pool = await world.open()
    (await pool.acquire("alice")).release()
    world.runtime.stop_gate.clear()
    stopping = asyncio.create_task(pool.stop(pool.sessions[0], "test"))
    await settle()
    stopping.cancel()
    await settle()
    world.runtime.stop_gate.set()
    await settle()
    assert world.runtime.alive == {}


async def test_a_reset_whose_caller_is_gone_goes_on_and_refills() -> None:
    world = World(ready=1)
    pool = await world.open()
    world.runtime.stop_gate.clear()
    resetting = asyncio.create_task(pool.reset("test"))
    await settle()
    resetting.cancel()
    world.runtime.stop_gate.set()
    await settle()
    assert pool.warm.ready == 1


async def test_a_session_past_its_time_is_over_even_before_the_sweeper_comes() -> None:
    world = World()
    pool = await world.open(spec(size=1))
    first = await pool.acquire("alice")
    first.release()
    world.clock.advance(300)  # and no run_due
    assert pool.find("alice") is None
    second = await pool.acquire("alice")
    assert second.session is not first.session
    second.release()
    world.clock.advance(300)
    assert (await pool.acquire("bobby")).session.state is State.ACTIVE


async def test_a_session_that_was_said_to_be_over_does_not_come_back_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    pool = await before.open()
    (await pool.acquire("alice")).release()
    before.runtime.stop_gate.clear()
    before.clock.advance(300)
    sweeping = asyncio.create_task(before.shared.sweeper.run_due())
    await settle()
    sweeping.cancel()
    before.die()
    before.runtime.stop_gate.set()
    after = World(before.runtime, ledger=path)
    assert (await after.open()).find("alice") is None
    assert after.runtime.alive == {}
    after.die()


async def test_an_engine_that_comes_back_gives_its_sessions_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ADOPTION_PAUSE", 0.001)
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    lease = await (await before.open()).acquire("alice")
    before.die()
    before.runtime.refusal = RuntimeUnavailable("no engine")
    after = World(before.runtime, ledger=path)
    pool = await after.open()
    assert pool.find("alice") is None
    after.runtime.refusal = None
    while pool.find("alice") is None:
        await asyncio.sleep(0.001)
    assert pool.sessions[0].guid == lease.session.guid
    after.die()


@pytest.mark.parametrize(
    "line", ["5", "[]", '{"guid": "x"}', '{"released": 5}', "\udcff", '{"guid": null, "x": 1}']
)
async def test_a_broken_line_of_the_ledger_is_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "sessions.jsonl"
    path.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")
    world = World(ledger=path)
    assert (await world.open()).sessions == []
    world.die()


async def test_one_instance_that_resists_does_not_keep_others_from_being_adopted(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path, ready=1)
    await (await before.open()).acquire("alice")
    await settle()
    before.die()
    stop = before.runtime.stop

    async def refuse(_: str) -> None:
        raise RuntimeFailure("not now")

    before.runtime.stop = refuse  # type: ignore[method-assign]
    after = World(before.runtime, ledger=path)
    pool = await after.open()
    assert pool.find("alice") is not None
    after.runtime.stop = stop  # type: ignore[method-assign]
    await after.advance(2)
    assert len(after.runtime.alive) == 1
    after.die()


async def test_stopping_a_session_that_starts_stops_it() -> None:
    world = World()
    pool = await world.open()
    world.runtime.gate.clear()
    asking = asyncio.create_task(pool.acquire("alice"))
    await settle()
    stopping = asyncio.create_task(pool.stop(pool.sessions[0], "test"))
    await settle()
    world.runtime.gate.set()
    await stopping
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await settle()
    assert "session.stopped" in world.kinds()


async def test_the_maximum_age_does_not_count_the_start() -> None:
    world = World()
    lifecycle = Lifecycle(LifecycleType.ON_CONTAINER_EXIT, cooldown=None, max_alive=600)
    pool = await world.open(spec(custom=True, lifecycle=lifecycle))
    world.runtime.gate.clear()
    asking = asyncio.create_task(pool.acquire("alice"))
    await settle()
    world.clock.advance(700)
    world.runtime.gate.set()
    lease = await asking
    assert pool.expires_at(lease.session) == world.clock.now() + 600


async def test_a_pool_that_becomes_smaller_while_instances_start_keeps_to_it() -> None:
    world = World(ready=3)
    world.runtime.gate.clear()
    pool = await world.open(spec(size=3))
    await pool.update(replace(pool.spec, max_sessions=1))
    world.runtime.gate.set()
    await settle()
    assert len(world.runtime.alive) == 1
    assert pool.warm.ready == 1


async def test_instances_that_do_not_last_are_a_failure_and_are_not_started_over_and_over() -> None:
    world = World(ready=1)
    pool = await world.open()
    for _ in range(60):
        for guid in list(world.runtime.alive):
            await world.runtime.die(guid, 1)
        await settle()
        await world.advance(1)
        await settle()
    assert world.runtime.calls.count("start") < 10
    assert pool.provisioning_state == "Failed"
    assert "do not last" in (pool.failure or "")


async def test_a_pool_without_warm_instances_knows_whether_its_image_is_there() -> None:
    world = World()
    world.runtime.refusal = ImageMissing("no image x")
    pool = await world.open()
    assert (pool.provisioning_state, pool.failure) == ("Failed", "no image x")
    world.runtime.refusal = None
    await world.advance(60)
    await settle()
    assert pool.provisioning_state == "Succeeded"


async def test_updating_a_failed_pool_tries_again_at_once() -> None:
    world = World(ready=1)
    world.runtime.refusal = ImageMissing("no image x")
    pool = await world.open()
    world.runtime.refusal = None
    await pool.update(pool.spec)
    await settle()
    assert (pool.provisioning_state, pool.warm.ready) == ("Succeeded", 1)


async def test_deadlines_move_with_a_clock_that_is_set_back() -> None:
    world = World()
    pool = await world.open()
    world.clock.advance(3_600)
    (await pool.acquire("alice")).release()
    world.clock._now -= 3_600
    for session in pool.sessions:
        session.last_accessed_at -= 3_600
    world.shared.sweeper.shift(-3_600)
    await world.advance(300)
    assert pool.find("alice") is None


async def test_nobody_slips_in_while_a_pool_is_reset() -> None:
    world = World()
    pool = await world.open()
    old = await pool.acquire("alice")
    world.runtime.stop_gate.clear()
    resetting = asyncio.create_task(pool.reset("test"))
    await settle()
    asking = asyncio.create_task(pool.acquire("bobby"))
    await settle()
    assert not asking.done()
    world.runtime.stop_gate.set()
    assert [one.guid for one in await resetting] == [old.session.guid]
    assert (await asking).session.identifier == "bobby"


async def test_a_kept_emulator_leaves_no_allocation_running(tmp_path: Path) -> None:
    world = World(ledger=tmp_path / "sessions.jsonl")
    pool = await world.open()
    world.runtime.gate.clear()
    asking = asyncio.create_task(pool.acquire("alice"))
    await settle()
    closing = asyncio.create_task(world.registry.close(keep=True))
    await settle()
    assert not closing.done()
    world.runtime.gate.set()
    await closing
    await asyncio.gather(asking, return_exceptions=True)
    after = World(world.runtime, ledger=tmp_path / "sessions.jsonl")
    assert (await after.open()).find("alice") is not None
    after.die()
