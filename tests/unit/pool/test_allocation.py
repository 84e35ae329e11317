"""Who gets which session, and who is refused."""

from __future__ import annotations

import asyncio

import pytest

from emulator.errors import (
    AllocationFailed,
    PodAllocationRejected,
    PoolUnavailable,
    SessionsCountExceedsLimit,
)
from emulator.pool.session import State
from emulator.runtimes.base import RuntimeFailure, RuntimeUnavailable
from tests.unit.pool.fake_runtime import World, settle, spec


async def test_two_requests_for_one_new_identifier_allocate_once() -> None:
    world = World()
    pool = await world.open()
    world.runtime.gate.clear()
    both = [asyncio.create_task(pool.acquire("alice")) for _ in range(2)]
    await settle()
    world.runtime.gate.set()
    first, second = await asyncio.gather(*both)
    assert first.session is second.session
    assert world.runtime.calls == ["start"]
    assert [first.new_allocation, second.new_allocation] == [True, False]


async def test_two_identifiers_never_share_an_instance() -> None:
    world = World(ready=1)
    pool = await world.open()
    leases = [await pool.acquire(name) for name in ("alice", "bobby")]
    assert len({lease.session.running.guid for lease in leases}) == 2


async def test_a_claim_costs_no_call_to_the_runtime() -> None:
    world = World(ready=1)
    pool = await world.open()
    world.runtime.gate.clear()  # a start would hang
    world.runtime.calls.clear()
    lease = await pool.acquire("alice")
    assert world.runtime.calls == []
    assert lease.session.state is State.ACTIVE


async def test_a_warm_instance_that_is_still_starting_is_taken_over() -> None:
    world = World(ready=1)
    world.runtime.gate.clear()
    pool = await world.open()
    waiting = asyncio.create_task(pool.acquire("alice"))
    await settle()
    assert world.runtime.calls == ["start"]
    world.runtime.gate.set()
    lease = await waiting
    assert lease.session.guid in world.runtime.alive


async def test_a_full_builtin_pool_refuses_at_once_in_the_services_words() -> None:
    world = World()
    pool = await world.open(spec(size=2))
    for name in ("alice", "bobby"):
        (await pool.acquire(name)).release()
    with pytest.raises(SessionsCountExceedsLimit) as refused:
        await pool.acquire("carol")
    assert str(refused.value) == (
        "The request sessions count is '1'. There are already '2' active sessions "
        "and the maximum active sessions count is '2'."
    )
    assert "300 s" in (refused.value.reason or "")
    assert (await pool.acquire("alice")).session.identifier == "alice"


async def test_a_full_custom_pool_refuses_in_its_own_words() -> None:
    world = World()
    pool = await world.open(spec(size=1, custom=True))
    await pool.acquire("alice")
    with pytest.raises(PodAllocationRejected, match="allocating pod for identifier bobby in pool pool"):
        await pool.acquire("bobby")


async def test_a_slot_on_its_way_out_is_waited_for() -> None:
    world = World()
    pool = await world.open(spec(size=1))
    (await pool.acquire("alice")).release()
    world.runtime.stop_gate.clear()
    stopping = asyncio.create_task(pool.stop(pool.sessions[0], "test"))
    await settle()
    waiting = asyncio.create_task(pool.acquire("bobby"))
    await settle()
    assert not waiting.done()
    world.runtime.stop_gate.set()
    await stopping
    assert (await waiting).session.identifier == "bobby"
    assert world.runtime.most == 1


async def test_a_start_that_fails_fails_everybody_who_waited_and_frees_the_slot() -> None:
    world = World()
    pool = await world.open(spec(size=1))
    world.runtime.gate.clear()
    both = [asyncio.create_task(pool.acquire("alice")) for _ in range(2)]
    await settle()
    world.runtime.refusal = RuntimeFailure("the image does not start")
    world.runtime.gate.set()
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert all(isinstance(one, AllocationFailed) and "does not start" in str(one) for one in outcomes)
    assert pool.provisioning_state == "Failed"
    world.runtime.refusal = None
    await pool.acquire("alice")
    assert pool.provisioning_state == "Succeeded"


async def test_an_unexpected_error_of_the_runtime_is_no_hang() -> None:
    world = World()
    pool = await world.open()
    world.runtime.refusal = ZeroDivisionError("a bug")
    with pytest.raises(AllocationFailed):
        await pool.acquire("alice")


async def test_a_runtime_that_does_not_answer_is_503() -> None:
    world = World()
    pool = await world.open()
    world.runtime.refusal = RuntimeUnavailable("no engine")
    with pytest.raises(PoolUnavailable, match="no engine"):
        await pool.acquire("alice")


async def test_a_caller_who_gives_up_does_not_lose_the_session_for_others() -> None:
    world = World()
    pool = await world.open()
    world.runtime.gate.clear()
    impatient = asyncio.create_task(pool.acquire("alice"))
    patient = asyncio.create_task(pool.acquire("alice"))
    await settle()
    impatient.cancel()
    world.runtime.gate.set()
    assert (await patient).session.in_flight == 1
    assert world.runtime.calls == ["start"]


async def test_a_pool_that_is_deleted_lets_nobody_in_and_leaves_nothing() -> None:
    world = World(ready=1)
    pool = await world.open()
    await pool.acquire("alice")
    removed = await world.registry.delete(pool.spec.key)
    assert removed is not None
    assert len(removed) == 2
    assert world.runtime.alive == {}
    with pytest.raises(PoolUnavailable):
        await pool.acquire("alice")
