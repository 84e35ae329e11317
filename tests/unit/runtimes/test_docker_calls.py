"""Calls to an engine that answers, refuses, hangs and comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
import requests

from emulator.runtimes.base import RuntimeUnavailable
from emulator.runtimes.docker_calls import Calls, unavailable

PATIENCE = 0.05


class Engine:
    """Answers while its gate is open; `asked` counts the questions whether it does."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0

    def ping(self) -> None:
        self.asked += 1
        assert self.gate.wait(20)

    def work(self) -> str:
        assert self.gate.wait(20)
        return "done"


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


def test_a_hanging_engine_is_given_up_by_all_at_once_and_found_again() -> None:
    async def scenario() -> None:
        engine = Engine()
        calls = Calls(engine.ping, PATIENCE)
        assert await calls.run(engine.work) == "done"
        engine.gate.clear()
        outcomes = await asyncio.gather(*(calls.run(engine.work) for _ in range(100)), return_exceptions=True)
        assert {type(one) for one in outcomes} == {RuntimeUnavailable}
        assert "has not answered for 0.05 s" in str(outcomes[0])
        asked, threads = engine.asked, threading.active_count()
        for _ in range(100):
            with pytest.raises(RuntimeUnavailable):
                await calls.run(engine.work)
        assert (engine.asked, threading.active_count()) == (asked, threads)
        engine.gate.set()
        while True:
            try:
                assert await calls.run(engine.work) == "done"
                break
            except RuntimeUnavailable:
                await asyncio.sleep(0.01)
        calls.close()

    run(scenario())


def test_a_long_call_is_waited_for_while_the_engine_answers_others() -> None:
    async def scenario() -> None:
        engine, pull = Engine(), threading.Event()
        calls = Calls(engine.ping, PATIENCE)
        pulling = asyncio.create_task(calls.run(lambda: pull.wait(20)))
        while engine.asked < 3:
            await asyncio.sleep(0.01)
        assert not pulling.done()
        pull.set()
        assert await pulling is True

    run(scenario())


def test_the_innermost_reason_is_what_a_person_reads() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    error = requests.ConnectionError("Connection aborted.", refused)
    assert str(unavailable(error)) == "the Docker Engine does not answer: Connection refused"
    assert str(unavailable(OSError("odd"))) == "the Docker Engine does not answer: odd"
