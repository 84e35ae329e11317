"""The emulator's own log: text for people or JSON for machines, each line with the request it belongs to."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from typing import Any, Final, TextIO

from emulator import tracing
from emulator.texts import visible, visible_lines, without_tokens

log = logging.getLogger("emulator")

MEMBERS: Final = ("pool", "identifier", "session", "operation", "trace")
"""What a line says about the request or the event it belongs to, where it is known."""

_SHORT: Final = 8


def set_up(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (default: standard error) in `log_format` text or json, from `log_level` on.

    Libraries are heard from info on, whatever the level: their debug lines hold what callers sent.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    level = log_level.upper()
    root = max(logging.INFO, logging.getLevelNamesMapping()[level])
    logging.basicConfig(level=root, handlers=[handler])
    logging.getLogger("emulator").setLevel(level)


def say(text: str) -> None:
    """Tell whoever started the emulator: on standard error, as a line of the log where that is JSON."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    if any(isinstance(formatter, JsonLines) for formatter in formatters):
        log.info("%s", text)
    else:
        print(visible(text), file=sys.stderr, flush=True)


def members(record: logging.LogRecord) -> dict[str, str]:
    """Pool, identifier, session, operation and trace of a line: of its event, else of its request."""
    event = getattr(record, "event", None)
    if event is not None:
        return {name: value for name in MEMBERS if (value := getattr(event, name, None)) is not None}
    trace = tracing.current()
    return {} if trace is None else {name: trace.about[name] for name in MEMBERS if name in trace.about}


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, with `event` or `request` where the record carries one."""

    def format(self, record: logging.LogRecord) -> str:
        """Nothing a caller sent can end the line: everything outside printable ASCII is escaped."""
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_tokens(record.getMessage()),
            **members(record),
        }
        if (event := getattr(record, "event", None)) is not None:
            line["event"] = event.as_dict()
        if (request := getattr(record, "request", None)) is not None:
            line["request"] = request
        if text := _exception(self, record):
            line["exception"] = text
        return json.dumps(line).replace("\x7f", "\\u007f")


class TextLines(logging.Formatter):
    """`time LEVEL message (pool identifier session op=… trace=…)`, long ids by their first characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Lines of a traceback begin with a bar, so that no text in it can pass for a line of the log."""
        stamp = _stamp(int(record.created), "%H:%M:%S")
        text = f"{stamp} {record.levelname:<7} {visible(without_tokens(record.getMessage()))}"
        if who := _compact(members(record)):
            text += f" ({who})"
        if trouble := _exception(self, record):
            text += "".join(f"\n  | {line}" for line in visible_lines(trouble).split("\n"))
        return text


@functools.lru_cache(4)  # once a second, not once a line
def _stamp(seconds: int, how: str) -> str:
    return time.strftime(how, time.localtime(seconds))


def _moment(seconds: float) -> str:
    """ISO 8601 in local time with milliseconds."""
    whole = int(seconds)
    offset = _stamp(whole, "%z")
    milliseconds = int((seconds - whole) * 1000)
    return f"{_stamp(whole, '%Y-%m-%dT%H:%M:%S')}.{milliseconds:03d}{offset[:3]}:{offset[3:]}"


def _compact(known: dict[str, str]) -> str:
    parts = [known[name] for name in ("pool", "identifier") if name in known]
    if "session" in known:
        parts.append(known["session"][:_SHORT])
    parts += [f"{name}={known[key][:_SHORT]}" for name, key in _NAMED if key in known]
    return visible(" ".join(parts))


_NAMED: Final = (("op", "operation"), ("trace", "trace"))


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    return without_tokens("\n".join(parts))
