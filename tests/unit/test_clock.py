"""Clocks: moved on purpose, never backwards, and sleepers notice."""

from __future__ import annotations

import asyncio
import math

import pytest

from emulator.clock import SystemClock, VirtualClock


def test_a_virtual_clock_wakes_sleepers_only_when_it_gets_there() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        sleeper = asyncio.create_task(clock.sleep_until(clock.now() + 10))
        await asyncio.sleep(0)
        clock.advance(9)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not sleeper.done()
        clock.advance(1)
        async with asyncio.timeout(5):
            await sleeper

    asyncio.run(scenario())


def test_the_system_clock_can_be_advanced_scaled_and_reset() -> None:
    async def scenario() -> None:
        clock = SystemClock()
        sleeper = asyncio.create_task(clock.sleep_until(clock.now() + 3_600))
        await asyncio.sleep(0)
        clock.advance(3_600)
        async with asyncio.timeout(5):
            await sleeper
        clock.set_scale(1_000_000)
        async with asyncio.timeout(5):
            await clock.sleep_until(clock.now() + 1_000)
        clock.reset()
        assert (clock.scale, clock.offset) == (1.0, 0.0)

    asyncio.run(scenario())


@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock()])
@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_no_clock_goes_back_or_nowhere(clock: SystemClock | VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(seconds)


@pytest.mark.parametrize("scale", [0, -1, 2_000_000])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be above 0"):
        SystemClock().set_scale(scale)
