"""The event log: nobody misses anything, nobody is held up, nothing grows."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from emulator import tracing
from emulator.clock import VirtualClock
from emulator.pool.events import Event, EventLog


def log(capacity: int = 100) -> EventLog:
    return EventLog(VirtualClock(), capacity)


async def take(events: EventLog, count: int, since: int | None) -> list[int]:
    found = []
    async with aclosing(events.follow(since)) as following:
        async for event in following:
            found.append(event.sequence)
            if len(found) == count:
                break
    return found


def test_traffic_does_not_push_out_what_ended_a_session() -> None:
    events = log(10)
    events.emit("session.crashed", "out of memory", session="guid")
    for _ in range(1000):
        events.emit("execution.ended", "done")
    kinds = [event.kind for event in events.recent()]
    assert kinds == ["session.crashed"] + ["execution.ended"] * 10
    assert events.kept == 11


def test_recent_is_in_order_across_both_rings() -> None:
    events = log()
    for kind in ("session.allocated", "execution.began", "clock.moved", "execution.ended"):
        events.emit(kind, "cause")
    assert [event.sequence for event in events.recent(1)] == [2, 3, 4]


async def test_a_listener_hears_of_every_event_also_of_a_burst() -> None:
    events, heard = log(10), list[Event]()
    events.listeners.append(heard.append)
    for _ in range(5_000):  # no await in between: a queue of any length would overflow
        events.emit("execution.ended", "done")
    assert [event.sequence for event in heard] == list(range(1, 5_001))


def test_a_listener_that_fails_keeps_nobody_from_hearing() -> None:
    events, heard = log(), list[Event]()

    def broken(_: Event) -> None:
        raise RuntimeError("a bug")

    events.listeners += [broken, heard.append]
    events.emit("clock.moved", "cause")
    assert len(heard) == 1


async def test_nothing_is_lost_or_doubled_between_what_was_and_what_comes() -> None:
    events = log()
    for _ in range(3):
        events.emit("clock.moved", "before")
    following = asyncio.create_task(take(events, 6, 0))
    await asyncio.sleep(0)
    for _ in range(3):
        events.emit("execution.ended", "after")
    assert await following == [1, 2, 3, 4, 5, 6]


async def test_who_names_no_place_hears_what_is_new_and_who_names_one_goes_on_there() -> None:
    events = log()
    for _ in range(5):
        events.emit("clock.moved", "before")
    new = asyncio.create_task(take(events, 1, None))
    await asyncio.sleep(0)
    assert await take(events, 2, 3) == [4, 5]
    events.emit("clock.moved", "after")
    assert await new == [6]


async def test_a_follower_that_leaves_leaves_nothing() -> None:
    events = log()
    tasks = [asyncio.create_task(take(events, 1, None)) for _ in range(20)]
    await asyncio.sleep(0)
    assert events.followers == 20
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert events.followers == 0


async def test_closing_ends_followers_after_the_last_event() -> None:
    events = log()
    following = asyncio.create_task(take(events, 10, 0))
    await asyncio.sleep(0)
    events.emit("clock.moved", "last")
    events.close()
    assert await following == [1]


def test_events_carry_the_requests_trace_and_bounded_text() -> None:
    events = log()
    with tracing.serving(tracing.begin([])) as _:
        tracing.note(operation="op")
        trace = tracing.current()
        event = events.emit("request.refused", "x" * 100_000, identifier="y" * 100_000, name="z" * 100_000)
    assert trace is not None
    assert (event.trace, event.operation) == (trace.id, "op")
    assert len(str(event.as_dict())) < 5_000
    assert events.emit("clock.moved", "by nobody").trace is None
