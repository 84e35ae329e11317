"""Rules that pools declare come and go with them; killing and expiring a session tell their causes apart."""

from __future__ import annotations

import asyncio

import pytest

from emulator.faults import Faults, Request
from emulator.pool import killing
from emulator.resources.faults import rule_of
from emulator.resources.model import EmulatorOptions, SessionPool
from emulator.runtimes.base import Exit, RuntimeFailure
from tests.unit.pool.fake_runtime import FakeRuntime, World, settle, spec


def declaring(*effects: object, name: str = "pool", **more: object) -> SessionPool:
    rules = tuple(rule_of({"effect": effect}) for effect in effects)
    return spec(name, emulator=EmulatorOptions(faults=rules), **more)


REQUEST = Request("pool", "alice", "/executions", "POST")


async def test_declared_rules_come_first_and_keep_their_counters() -> None:
    world = World()
    pool = await world.open(declaring("cut", "error"))
    faults = Faults(lambda: world.registry.pools)
    faults.add({"effect": "expire"})
    assert [one.id for one in faults.rules] == ["pool-1", "pool-2", "fault-1"]
    assert [one.origin for one in faults.rules] == ["pool pool", "pool pool", "admin API"]
    assert faults.of(pool)[0].strikes(REQUEST)
    assert faults.rules[0].struck == 1
    await world.registry.close(keep=False)


async def test_a_changed_document_has_rules_of_its_own_and_an_equal_one_the_same() -> None:
    world = World()
    pool = await world.open(declaring("cut"))
    faults = Faults(lambda: world.registry.pools)
    faults.of(pool)[0].strikes(REQUEST)
    await world.registry.put(declaring("cut", size=2))
    assert faults.rules[0].struck == 1
    await world.registry.put(declaring({"type": "cut", "afterBytes": 3}))
    assert [(one.options, one.struck) for one in faults.rules] == [({"afterBytes": 3}, 0)]
    await world.registry.close(keep=False)


async def test_rules_go_with_their_pool_and_do_not_haunt_the_next_of_its_name() -> None:
    world = World()
    pool = await world.open(declaring("cut"))
    faults = Faults(lambda: world.registry.pools)
    faults.of(pool)[0].strikes(REQUEST)
    await world.registry.delete(pool.spec.key)
    assert faults.rules == []
    await world.registry.put(declaring("cut"))
    assert [one.struck for one in faults.rules] == [0]
    await world.registry.close(keep=False)


async def test_clearing_removes_all_and_a_reset_brings_back_what_pools_declare() -> None:
    world = World()
    pool = await world.open(declaring("cut"))
    faults = Faults(lambda: world.registry.pools)
    faults.of(pool)[0].strikes(REQUEST)
    faults.add({"effect": "error"})
    assert faults.clear() == 2
    assert faults.rules == []
    faults.add({"effect": "error"})
    assert faults.reset() == 1
    assert [(one.id, one.struck) for one in faults.rules] == [("pool-1", 0)]
    assert faults.remove("pool-1")
    assert faults.rules == []
    await world.registry.close(keep=False)


async def test_ids_of_two_pools_do_not_collide() -> None:
    world = World()
    twin = declaring("cut", resource_group="other")
    await world.open(declaring("cut"), twin)
    assert [one.id for one in Faults(lambda: world.registry.pools).rules] == ["pool-1", "pool-1-2"]
    await world.registry.close(keep=False)


async def test_a_killed_container_is_a_crash_that_says_who_killed_it() -> None:
    world = World()
    pool = await world.open()
    async with await pool.acquire("alice") as lease:
        await pool.kill(lease.session, "fault fault-1", oom=True)
        assert lease.session.exit == Exit(lease.session.guid, 137, True)
    (crash,) = [event for event in world.events.recent() if event.kind == "session.crashed"]
    assert crash.cause == "container exited with code 137, out of memory (fault fault-1)"
    assert pool.sessions == []
    await world.registry.close(keep=False)


async def test_a_kill_whose_news_are_lost_is_known_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(FakeRuntime):
        async def die(self, guid: str, code: int, oom: bool = False) -> None:
            self.dead.add(guid)

    monkeypatch.setattr(killing, "EXIT_NEWS", 0.01)
    world = World(Deaf())
    pool = await world.open()
    async with await pool.acquire("alice") as lease:
        await pool.kill(lease.session, "a test")
        assert lease.session.exit is not None
    await world.registry.close(keep=False)


async def test_a_runtime_that_cannot_kill_leaves_the_session_as_it_is() -> None:
    world = World()
    pool = await world.open()
    async with await pool.acquire("alice") as lease:
        world.runtime.refusal = RuntimeFailure("the engine does not answer")
        with pytest.raises(RuntimeFailure):
            await pool.kill(lease.session, "a test")
        assert pool.find("alice") is lease.session
        assert lease.session.killed_by is None
        world.runtime.refusal = None
    await world.registry.close(keep=False)


async def test_killing_waits_for_a_session_that_is_being_allocated() -> None:
    world = World()
    pool = await world.open()
    world.runtime.gate.clear()
    asking = asyncio.create_task(pool.acquire("alice"))
    await settle()
    killer = asyncio.create_task(pool.kill(pool.sessions[0], "a test"))
    await settle()
    assert world.runtime.calls.count("kill") == 0
    world.runtime.gate.set()
    await killer
    assert world.runtime.calls.count("kill") == 1
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await world.registry.close(keep=False)


async def test_a_session_that_is_made_to_expire_says_so() -> None:
    world = World()
    pool = await world.open()
    async with await pool.acquire("alice") as lease:
        await pool.stop(lease.session, "as if its cooldown were over", "expired")
    assert "session.expired" in world.kinds()
    assert "session.stopped" not in world.kinds()
    await world.registry.close(keep=False)
