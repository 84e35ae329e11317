"""Server-sent events over ASGI: what followers are sent, and that nothing is left of those who leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from emulator.clock import VirtualClock
from emulator.http import history
from emulator.http.history import EventStream
from emulator.pool.events import EventLog


class Follower:
    """A client of the stream; `leave` closes its connection."""

    def __init__(self, events: EventLog, since: int | None = None) -> None:
        self.said: list[str] = []
        self._left = asyncio.Event()
        self._news = asyncio.Event()
        self._unread = asyncio.Event()
        self._unread.set()
        scope: Any = {"type": "http"}
        self.task = asyncio.create_task(EventStream(events, since)(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._unread.wait()
        if body := message.get("body"):
            self.said.append(body.decode())
            self._news.set()

    async def hears(self, part: str) -> None:
        while not any(part in text for text in self.said):
            self._news.clear()
            await self._news.wait()

    def leave(self) -> None:
        self._left.set()

    def stop_reading(self) -> None:
        self._unread.clear()


async def test_an_event_has_an_id_to_resume_from() -> None:
    events = EventLog(VirtualClock())
    events.emit("clock.moved", "a cause\nof two lines")
    follower = Follower(events, 0)
    await follower.hears("clock.moved")
    (text,) = [text for text in follower.said if "clock.moved" in text]
    lines = text.split("\n")
    assert lines[0] == f"id: {events.epoch}-1"
    assert lines[1] == "event: clock.moved"
    assert lines[2].startswith("data: {")
    assert lines[3:] == ["", ""]  # what a cause says cannot end the event
    follower.leave()
    await follower.task


async def test_silence_is_broken_by_a_comment_and_no_event_is_lost_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "HEARTBEAT_SECONDS", 0.01)
    events = EventLog(VirtualClock())
    follower = Follower(events)
    await follower.hears(": nothing new")
    for _ in range(3):
        events.emit("clock.moved", "cause")
        await follower.hears(f"id: {events.epoch}-{events.last}\n")
    follower.leave()
    await follower.task
    ids = [text.partition("\n")[0] for text in follower.said if text.startswith("id: ")]
    assert ids == [f"id: {events.epoch}-{number}" for number in (1, 2, 3)]


async def test_nothing_is_left_of_who_leaves_also_without_reading() -> None:
    events = EventLog(VirtualClock())
    before = len(asyncio.all_tasks())
    followers = [Follower(events) for _ in range(10)]
    events.emit("clock.moved", "first")
    for follower in followers:
        await follower.hears("first")
    assert events.followers == 10
    for follower in followers[:5]:
        follower.stop_reading()
    events.emit("clock.moved", "cause")
    for follower in followers[5:]:
        follower.leave()
        await follower.task
    for follower in followers[:5]:  # the server ends these, since nobody reads what it sends
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
    assert events.followers == 0
    assert len(asyncio.all_tasks()) == before


async def test_the_end_of_the_emulator_is_the_end_of_the_stream() -> None:
    events = EventLog(VirtualClock())
    follower = Follower(events)
    await follower.hears("events of the emulator")
    events.emit("clock.moved", "last")
    events.close()
    await follower.task
    await follower.hears("last")
