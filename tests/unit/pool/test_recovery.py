"""An emulator that was killed: the next one takes its sessions back and removes what belongs to no one."""

from __future__ import annotations

from pathlib import Path

from emulator.runtimes.base import RuntimeUnavailable
from tests.unit.pool.fake_runtime import World, settle, spec


async def test_claimed_sessions_are_adopted_and_unclaimed_instances_swept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sessions.jsonl"
    before = World(ledger=path, ready=1)
    pool = await before.open()
    lease = await pool.acquire("alice")
    await settle()
    warm = set(before.runtime.alive) - {lease.session.guid}
    assert len(warm) == 1
    before.die()
    after = World(before.runtime, ledger=path)
    adopted = await after.open()
    session = adopted.find("alice")
    assert session is not None
    assert session.guid == lease.session.guid
    assert set(after.runtime.alive) == {session.guid}
    await after.advance(300)
    assert after.runtime.alive == {}
    after.die()


async def test_a_line_torn_by_the_kill_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    pool = await before.open()
    await pool.acquire("alice")
    before.die()
    path.write_text(path.read_text(encoding="utf-8") + '{"guid": "half', encoding="utf-8")
    after = World(before.runtime, ledger=path)
    assert (await after.open()).find("alice") is not None
    after.die()


async def test_a_session_whose_pool_is_gone_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    await (await before.open(spec("old"))).acquire("alice")
    before.die()
    after = World(before.runtime, ledger=path)
    await after.open(spec("new"))
    assert after.runtime.alive == {}
    after.die()


async def test_a_session_that_ended_is_not_taken_for_running(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    pool = await before.open()
    (await pool.acquire("alice")).release()
    await before.advance(300)
    before.die()
    after = World(before.runtime, ledger=path)
    assert (await after.open()).find("alice") is None
    after.die()


async def test_an_engine_that_is_away_at_start_is_no_error(tmp_path: Path) -> None:
    world = World(ledger=tmp_path / "sessions.jsonl", ready=1)
    world.runtime.refusal = RuntimeUnavailable("no engine")
    pool = await world.open()
    assert pool.failure == "no engine"
    world.runtime.refusal = None
    await world.advance(60)
    await settle()
    assert pool.warm.ready == 1
    world.die()


async def test_an_orderly_end_leaves_nothing_and_a_kept_one_its_sessions(tmp_path: Path) -> None:
    for keep, left in ((False, 0), (True, 1)):
        world = World(ledger=tmp_path / f"{keep}.jsonl", ready=1)
        pool = await world.open()
        await pool.acquire("alice")
        await settle()
        await world.registry.close(keep=keep)
        assert len(world.runtime.alive) == left


async def test_a_session_that_did_not_outlive_its_emulator_is_told_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    before = World(ledger=path)
    lease = await (await before.open()).acquire("alice")
    before.die()
    del before.runtime.alive[lease.session.guid]
    after = World(before.runtime, ledger=path)
    await after.open()
    (lost,) = [event for event in after.events.recent() if event.kind == "session.lost"]
    assert (lost.pool, lost.identifier, lost.session) == ("pool", "alice", lease.session.guid)
    ended = after.shared.consoles.find(lease.session.guid)
    assert ended is not None and "was gone" in ended.note
    after.die()


async def test_an_engine_that_is_away_is_told_once_and_not_at_every_look(tmp_path: Path) -> None:
    world = World(ledger=tmp_path / "sessions.jsonl")
    world.runtime.refusal = RuntimeUnavailable("the engine is away")
    await world.open()
    for _ in range(5):
        await world.registry._adopt()
    told = [event.cause for event in world.events.recent() if event.kind == "runtime.unavailable"]
    assert told == ["sessions cannot be listed: the engine is away"]
    world.die()
