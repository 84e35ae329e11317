"""W3C trace context: what is taken, what is made, what follows a request and what does not."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict

from emulator import tracing
from emulator.http.tracing import carry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("value", [GOOD, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what-comes-later"])
def test_a_valid_traceparent_is_taken(value: str) -> None:
    trace = tracing.begin([value], ["vendor=1"])
    assert (trace.id, trace.traceparent, trace.given) == (TRACE, value, True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f" {GOOD}",
        f"{GOOD}\n",
        f"00-{'１' * 32}-{SPAN}-01",
    ],
)
def test_an_invalid_one_is_ignored(value: str) -> None:
    trace = tracing.begin([value], ["vendor=1"])
    assert not trace.given
    assert tracing.parse(trace.traceparent) == trace.id != TRACE
    assert trace.tracestate is None  # it belonged to what was ignored


def test_two_of_them_are_none() -> None:
    assert not tracing.begin([GOOD, GOOD]).given


def test_the_callers_own_goes_on_unchanged() -> None:
    sent = CIMultiDict({"traceparent": GOOD, "tracestate": "a=1, b=2"})
    with tracing.serving(tracing.begin([GOOD], ["a=1, b=2"])):
        carry(sent)
    assert dict(sent) == {"traceparent": GOOD, "tracestate": "a=1, b=2"}


def test_one_is_added_where_there_is_none_or_none_that_is_valid() -> None:
    for given in ({}, {"traceparent": "nonsense", "tracestate": "a=1"}):
        headers: CIMultiDict[str] = CIMultiDict(given)
        with tracing.serving(tracing.begin(list(given.values())[:1])) as _:
            carry(headers)
            current = tracing.current()
        assert current is not None
        assert dict(headers) == {"traceparent": current.traceparent}


async def test_it_follows_into_tasks_and_threads_and_to_no_one_else() -> None:
    seen: dict[str, str | None] = {}
    go_on = asyncio.Event()

    def here() -> str | None:
        current = tracing.current()
        return current.id if current else None

    async def look(name: str) -> None:
        await go_on.wait()
        seen[name] = here()

    async def request(name: str) -> None:
        trace = tracing.begin([])
        with tracing.serving(trace):
            tasks = [asyncio.create_task(look(f"{name}'s task"))]
            with tracing.apart():
                tasks.append(asyncio.create_task(look(f"set off by {name}")))
            seen[f"{name}'s thread"] = await asyncio.to_thread(here)
            seen[name] = trace.id
            await asyncio.gather(*tasks)

    background = asyncio.create_task(look("background"))
    both = asyncio.gather(request("a"), request("b"))
    await asyncio.sleep(0)
    go_on.set()
    await both
    await background
    for name in ("a", "b"):
        assert seen[f"{name}'s task"] == seen[f"{name}'s thread"] == seen[name]
        assert seen[f"set off by {name}"] is None
    assert seen["a"] != seen["b"]
    assert seen["background"] is None
    assert here() is None


def test_what_a_caller_wrote_is_cut() -> None:
    with tracing.serving(tracing.begin([])) as _:
        tracing.note(identifier="x" * 100_000, session=None)
        current = tracing.current()
    assert current is not None
    assert len(current.about["identifier"]) < 300
    assert "session" not in current.about
