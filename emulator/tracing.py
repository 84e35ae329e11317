"""Which request is being served: its W3C trace and what is known of it, for each line and event it causes.

A context variable holds it, so that it follows the request into the tasks and threads that it starts and
into no others. Work that a request only happens to set off (refilling the warm set, an expiry it stumbles
over) is done `apart`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from emulator.texts import shortened

SCOPE = "emulator.trace"
"""Scope key of the `about` of a request's trace, for who has the scope and not the context."""

LONGEST = 256
"""Characters kept of what a caller wrote: identifiers and operation ids may be of any length."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


@dataclass(slots=True)
class Trace:
    """One request's place in a trace.

    `traceparent` is what goes into the session: the caller's own if it was valid (`given`), since nobody
    would ever see a span of ours; otherwise one made here. `about` holds pool, identifier, session and
    operation as they become known, and the trace's id. `told`: an event already says why it was refused.
    """

    id: str
    traceparent: str
    given: bool
    tracestate: str | None = None
    about: dict[str, Any] = field(default_factory=dict)
    told: bool = False
    reason: str | None = None


_current: ContextVar[Trace | None] = ContextVar("emulator_trace", default=None)


def begin(traceparents: Iterable[str], tracestates: Iterable[str] = ()) -> Trace:
    """The trace of a request with these header values; anything but one valid `traceparent` is ignored.

    `tracestate` belongs to its `traceparent` and goes with it (W3C Trace Context, section 3.4).
    """
    values = list(traceparents)
    known = parse(values[0]) if len(values) == 1 else None
    if known is not None:
        state = ",".join(tracestates) or None
        return Trace(known, values[0], True, state, {"trace": known})
    made = secrets.token_hex(16)
    return Trace(made, f"00-{made}-{secrets.token_hex(8)}-01", False, None, {"trace": made})


def parse(traceparent: str) -> str | None:
    """The trace id in a valid `traceparent`, else None; of versions after 00 only what 00 has is read."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[4] is not None):
        return None
    if match[2] == "0" * 32 or match[3] == "0" * 16:
        return None
    return match[2]


@contextmanager
def serving(trace: Trace) -> Iterator[None]:
    """Everything in the block, and the tasks it starts, belongs to `trace`."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def apart() -> Iterator[None]:
    """What happens in the block, and the tasks it starts, belongs to no request."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Trace | None:
    """The trace of the request that is being served here, if one is."""
    return _current.get()


def note(**about: str | None) -> None:
    """Say more about the current request: pool, identifier, session, operation."""
    if (trace := _current.get()) is not None:
        trace.about.update({name: shortened(value, LONGEST) for name, value in about.items() if value})


def refused(reason: str, *, told: bool = True) -> None:
    """Note the true reason of an error answer for the request's log line; `told`: an event says it."""
    if (trace := _current.get()) is not None:
        trace.reason, trace.told = reason, trace.told or told
