"""Metrics: every event counted, readable by Prometheus, no label that a caller can choose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from emulator.http.metrics import Metrics
from emulator.pool.registry import Registry
from tests.unit.pool.fake_runtime import World, settle, spec

AZURES = ("PoolReadyPodCount", "PoolExecutingPodCount", "PoolPendingPodCount")


def watched(world: World) -> Metrics:
    metrics = Metrics(world.registry, {"emulator_events_kept": ("Events", lambda: world.events.kept)})
    world.events.listeners.append(metrics.count)
    return metrics


def samples(metrics: Metrics) -> Iterator[Sample]:
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, f"{key} stands there twice, which Prometheus refuses"
            seen.add(key)
            yield sample


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = [
        one.value for one in samples(metrics) if one.name == name and labels.items() <= one.labels.items()
    ]
    return sum(found)


async def test_azures_names_stand_exactly_so() -> None:
    world = World(ready=1)
    metrics = watched(world)
    pool = await world.open(spec(size=5))
    await pool.acquire("alice")
    await settle()
    assert [value(metrics, name, pool="pool") for name in AZURES] == [1.0, 1.0, 0.0]
    world.runtime.gate.clear()
    await pool.update(spec(size=5, custom=True, ready_sessions=3))
    await settle()
    assert value(metrics, "PoolPendingPodCount", pool="pool") == 3.0
    world.runtime.gate.set()


async def test_an_allocation_says_how_and_an_end_says_which() -> None:
    world = World(ready=1)
    metrics = watched(world)
    pool = await world.open(spec(size=5))
    for lease in await asyncio.gather(*(pool.acquire(name) for name in ("claims", "takes", "starts"))):
        lease.release()
    await settle()
    hows = {"claimed": 1.0, "took-over": 1.0, "started": 1.0}
    assert {how: value(metrics, "emulator_allocation_seconds_count", how=how) for how in hows} == hows
    await world.advance(300)
    assert value(metrics, "emulator_sessions_ended_total", pool="pool", kind="expired") == 3.0


async def test_every_event_is_counted_whatever_the_burst() -> None:
    world = World()
    metrics = watched(world)
    for _ in range(5_000):
        world.events.emit("execution.ended", "done", pool="p", status="Succeeded", milliseconds=1500.0)
    assert value(metrics, "emulator_events_total", kind="execution.ended") == 5_000
    assert value(metrics, "emulator_execution_seconds_count", status="Succeeded") == 5_000
    assert value(metrics, "emulator_execution_seconds_sum") == 7_500


async def test_refusals_and_faults_are_classed() -> None:
    world = World()
    metrics = watched(world)
    for status in (401, 403, 404, 418, 400, 502):
        kind = "request.refused" if status < 500 else "request.failed"
        world.events.emit(kind, "why", pool="p", status=status, code="whatever the session chose")
    world.events.emit("session.refused", "full", pool="p")
    world.events.emit("fault.latency", "fault fault-1", pool="p")
    world.events.emit("fault.added", "fault-1: latency")
    classes = {
        one.labels["reason"]
        for one in samples(metrics)
        if one.name == "emulator_refusals_total" and one.value
    }
    assert classes == {"unauthenticated", "forbidden", "notFound", "other", "invalid", "session", "full"}
    assert value(metrics, "emulator_faults_total") == value(
        metrics, "emulator_faults_total", effect="latency"
    )


async def test_no_label_is_a_callers() -> None:
    world = World()
    metrics = watched(world)
    pool = await world.open(spec(size=100))
    for number in range(50):
        (await pool.acquire(f"somebody-{number}")).release()
    for status in range(100, 1000):
        metrics.observe("pool", status, 0.1)
    await settle()
    text = metrics.text().decode()
    assert "somebody" not in text
    statuses = {one.labels["status"] for one in samples(metrics) if "status" in one.labels}
    assert len(statuses) < 75


async def test_namesakes_are_one_series_and_a_deleted_pools_series_go() -> None:
    world = World()
    metrics = watched(world)
    registry: Registry = world.registry
    first, second = spec("same"), spec("same", resource_group="other")
    await world.open(first, second)
    (await registry.pools[0].acquire("alice")).release()
    (await registry.pools[1].acquire("alice")).release()
    assert value(metrics, "PoolExecutingPodCount", pool="same") == 2.0
    metrics.observe("same", 200, 0.1)
    await registry.delete(first.key)
    assert value(metrics, "emulator_request_seconds_count", pool="same") == 1.0  # its namesake lives
    await registry.delete(second.key)
    assert not [one for one in samples(metrics) if one.labels.get("pool") == "same"]
    assert value(metrics, "emulator_events_total", kind="pool.deleted") >= 1.0


async def test_what_a_soak_watches_is_there() -> None:
    metrics = watched(World())
    names = {one.name for one in samples(metrics)}
    assert {"process_resident_memory_bytes", "process_open_fds", "emulator_tasks"} <= names
    assert value(metrics, "emulator_tasks") >= 1
