"""What became of executions, in events: begun, ended (and how), or answered again without running."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from emulator.errors import ServiceError, SessionContainerExited, UpstreamError, UpstreamTimeout
from emulator.http.versions import Execution
from emulator.pool.events import EventLog
from emulator.pool.session import Session

OUT_OF_MEMORY = "Execution aborted"

CAUSES: Mapping[str, str] = {
    "completed": "the code ran to its end",
    "exception": "the code raised an exception",
    "exitCode": "the command ended with another exit code than 0",
    "timeout": "its time limit was reached",
    "outOfMemory": "the kernel ran out of memory",
    "kernelDied": "the kernel died",
    "kernelUnavailable": "the session had no kernel that could run it",
    "proxyFailed": "the session's own server failed",
    "containerExited": "the session ended while it ran",
    "noAnswer": "the session did not answer in time",
    "unreachable": "the session could not be reached",
    "refused": "the session refused it",
    "callerGone": "the caller hung up; what it started may go on",
    "emulatorFailed": "a bug of the emulator",
}
"""How an execution can end."""

_PROXY_FAILURES = {"Timeout": "timeout", "ConnectionError": "kernelUnavailable"}


def how_code_ended(inner: Mapping[str, Any]) -> str:
    """A key of `CAUSES` from the full body of the session's own API.

    Only what its server says of itself has no stack trace: an exception that is called Timeout has one.
    """
    if inner.get("status") == "Succeeded":
        return "completed"
    raw = inner.get("rawResult") or {}
    if raw.get("error_stack_trace"):
        return "exception"
    name = raw.get("error_name")
    if name == "ConnectionClosed":
        return "outOfMemory" if raw.get("error_message") == OUT_OF_MEMORY else "kernelDied"
    return _PROXY_FAILURES.get(str(name), "proxyFailed")


def how_command_ended(inner: Mapping[str, Any]) -> str:
    """A key of `CAUSES` from a Shell session's answer."""
    if inner.get("errorName") == "Timeout":
        return "timeout"
    return "completed" if inner.get("exitCode") == 0 else "exitCode"


def _how_failed(error: BaseException) -> str:
    match error:
        case SessionContainerExited():
            return "containerExited"
        case UpstreamTimeout():
            return "noAnswer"
        case UpstreamError():
            return "unreachable"
        case ServiceError():
            return "refused"
        case asyncio.CancelledError():
            return "callerGone"
    return "emulatorFailed"


class Running:
    """One execution between its two events; `end` is told once."""

    def __init__(self, events: EventLog, operation: str, **facts: str) -> None:
        self._events = events
        self._facts: dict[str, Any] = {**facts, "operation": operation}
        self._began = time.perf_counter()
        self._over = False
        events.emit("execution.began", "the session was asked to run it", **self._facts)

    def end(self, execution: Execution) -> None:
        """Tell of a finished execution; of one that still runs: nothing yet."""
        if not execution.running:
            status = "Succeeded" if execution.succeeded else "Failed"
            self._tell(execution.how, status, exitCode=execution.exit_code, truncated=execution.truncated)

    def fail(self, error: BaseException) -> None:
        """Tell of an execution whose end nobody will hear of."""
        how = _how_failed(error)
        said = error.true_reason if isinstance(error, ServiceError) else None
        self._tell(how, "Failed", reason=said)

    def _tell(self, how: str, status: str, **detail: Any) -> None:
        if self._over:
            return
        self._over = True
        milliseconds = round((time.perf_counter() - self._began) * 1000, 3)
        self._events.emit(
            "execution.ended",
            CAUSES[how],
            status=status,
            how=how,
            milliseconds=milliseconds,
            **detail,
            **self._facts,
        )


@contextmanager
def running(events: EventLog, operation: str, **facts: str) -> Iterator[Running]:
    """An execution that begins here; if the block fails, it has ended with that.

    `facts`: pool, identifier and session for its events.
    """
    run = Running(events, operation, **facts)
    try:
        yield run
    except BaseException as error:
        run.fail(error)
        raise


class Repeats:
    """The operation ids that callers gave, the newest `kept` of each session."""

    def __init__(self, kept: int = 1000) -> None:
        self._kept = kept
        self._given: WeakKeyDictionary[Session, OrderedDict[str, None]] = WeakKeyDictionary()

    def is_one(self, session: Session, operation: str) -> bool:
        """Whether the session was given this id before; it is remembered."""
        given = self._given.setdefault(session, OrderedDict())
        known = operation in given
        given[operation] = None
        while len(given) > self._kept:
            given.popitem(last=False)
        return known

    def forget(self, session: Session, operation: str) -> None:
        """The run came to nothing: the next one with this id is none."""
        self._given.get(session, OrderedDict[str, None]()).pop(operation, None)
