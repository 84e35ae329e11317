"""Connections into sessions end with them, and none is made to a session that has ended."""

from __future__ import annotations

import asyncio

import pytest

from emulator.errors import SessionContainerExited
from emulator.http.upstream import Upstreams
from emulator.pool.session import Session, State
from emulator.runtimes.base import Address, Exit, Instance


def test_nothing_is_opened_into_a_session_that_ended_after_it_was_lent() -> None:
    async def ask() -> None:
        session = Session("alice", "guid", "pool", 0.0, 0.0)
        session.instance = Instance("guid", "pool", Address("http://127.0.0.1:9"), "image", 0.0)
        session.move(State.ACTIVE)
        session.exit = Exit("guid", 137)
        session.ended.set()
        session.move(State.FAILED)
        upstreams = Upstreams()
        with pytest.raises(SessionContainerExited, match="exited with code 137"):
            async with upstreams.request(session, "GET", "/"):
                pass
        assert upstreams.open == 0

    asyncio.run(ask())
