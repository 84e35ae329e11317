"""Log lines: what they carry, and that nobody but the emulator can write one."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from emulator import tracing
from emulator.clock import VirtualClock
from emulator.log_lines import JsonLines, TextLines
from emulator.pool.events import EventLog

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FORGED = "x\n12:00:00 INFO    all is well\r\x1b[2J\x9b31m\u2028\u202egnp.exe\x7f\x85"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiIxMjM0NTYifQ.c2lnbmF0dXJlLXRoYXQtaXMtc2VjcmV0"


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    return logging.getLogger("emulator.tests").makeRecord(
        "emulator.tests", logging.INFO, __file__, 1, message, args, more.pop("exc_info", None), extra=more
    )


def test_a_line_of_a_request_carries_what_is_known_of_it() -> None:
    with tracing.serving(tracing.begin([TRACEPARENT])):
        tracing.note(pool="python", identifier="alice", session="1234567890", operation="op-123456789")
        line = json.loads(JsonLines().format(record("done")))
        text = TextLines().format(record("done"))
    found = {name: line[name] for name in ("pool", "identifier", "session", "operation", "trace")}
    assert found == {
        "pool": "python",
        "identifier": "alice",
        "session": "1234567890",
        "operation": "op-123456789",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    assert text.endswith("done (python alice 12345678 op=op-12345 trace=4bf92f35)")
    assert "trace" not in json.loads(JsonLines().format(record("later")))


def test_an_events_line_is_about_the_event_and_not_about_who_set_it_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "emulator.events")
    events = EventLog(VirtualClock())
    with tracing.serving(tracing.begin([TRACEPARENT])):
        tracing.note(pool="python", identifier="alice")
        with tracing.apart():
            events.emit("session.expired", "over", pool="python", identifier="bobby", session="guid")
        line = json.loads(JsonLines().format(caplog.records[0]))
    assert (line["identifier"], line["session"], line["event"]["kind"]) == (
        "bobby",
        "guid",
        "session.expired",
    )
    assert "trace" not in line


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_nothing_a_caller_sends_begins_a_line_or_drives_a_terminal(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        said = record("a problem: %s", FORGED, exc_info=(type(error), error, error.__traceback__))
    with tracing.serving(tracing.begin([TRACEPARENT])):
        tracing.note(identifier=FORGED, operation=FORGED)
        text = formatter.format(said)
    first, *others = text.split("\n")
    assert "all is well" in first
    assert all(line.startswith("  | ") for line in others)
    assert all(char.isprintable() for line in (first, *others) for char in line)
    if isinstance(formatter, JsonLines):
        assert not others
        assert json.loads(text)["exception"].endswith(FORGED)


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_tokens_are_masked_wherever_they_stand(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"https://x/?access_token={TOKEN}")
    except ValueError as error:
        said = record(
            "header %s, Authorization: Bearer abcdef-opaque.token", TOKEN,
            exc_info=(type(error), error, error.__traceback__),
        )  # fmt: skip
    text = formatter.format(said)
    assert "c2lnbmF0dXJl" not in text
    assert "abcdef-opaque" not in text
    assert text.count("(masked)") == 3


def test_half_characters_do_not_break_a_line() -> None:
    for formatter in (TextLines(), JsonLines()):
        assert formatter.format(record("half \udcff of it")).encode("utf-8")
