"""Gathering what a run puts out: streams up to a limit, the value, figures, the error."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import bigtext
from .languages import NO_VALUE, Language, plain
from .wire import Message

# A value larger than this many bytes on the wire is not unpacked: it would be several times that in memory.
_LARGEST_VALUE = 40_000_000
_ANSI = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_IMAGES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/svg+xml": "svg",
}


class Text:
    """A stream kept up to `limit` characters and counted to its end."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self._parts: list[str] = []
        self._kept = 0
        self._newline = True

    def write(self, text: str, length: int | None = None) -> None:
        """Appends text; `length` is its full length where `text` is only its beginning."""
        whole = len(text) if length is None else length
        if not whole:
            return
        if room := self.room:
            part = text[:room]
            self._parts.append(part)
            self._kept += len(part)
            if len(self._parts) > 4_096:  # a million one-character prints should not cost a list each
                self._parts = ["".join(self._parts)]
        self.length += whole
        self._newline = whole == len(text) and text.endswith("\n")

    @property
    def room(self) -> int:
        """How many characters more it would keep."""
        return max(0, self.limit - self._kept)

    def line(self, text: str) -> None:
        """Appends text on a line of its own."""
        self.write(text if self._newline else "\n" + text)

    def __str__(self) -> str:
        return "".join(self._parts)


@dataclass(slots=True)
class Failure:
    """An exception in the user's code, or a failure to run it."""

    name: str
    message: str
    trace: str = ""


@dataclass(slots=True)
class Collector:
    """Everything one run has put out so far."""

    language: Language
    limit: int
    stdout: Text = field(init=False)
    stderr: Text = field(init=False)
    value: Any = NO_VALUE
    jupyter: str | None = None
    failure: Failure | None = None
    figures: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stdout, self.stderr = Text(self.limit), Text(self.limit)

    def message(self, message: Message) -> Awaitable[None] | None:
        """Takes one message of the iopub channel; a big one is read in a thread and awaited."""
        if len(message.body) < bigtext.BIG:
            self._take(message.kind, message.content())
            return None
        return self._take_big(message)

    def fail(self, name: str, message: str, trace: str = "") -> None:
        """Records a failure that the caller shall read in stderr."""
        self.failure = Failure(name, message, trace)
        self.stderr.line(trace or message)

    async def _take_big(self, message: Message) -> None:
        if message.kind == "stream":
            room = max(self.stdout.room, self.stderr.room)
            read = await asyncio.to_thread(bigtext.read, message.body, room)
            if read is not None:
                name, text, length = read
                (self.stderr if name == "stderr" else self.stdout).write(text, length)
                return
        if len(message.body) > _LARGEST_VALUE:
            if message.kind in {"execute_result", "display_data"}:
                self.stderr.line(f"The result is too large to return ({len(message.body)} bytes).\n")
            return
        self._take(message.kind, await asyncio.to_thread(message.content))

    def _take(self, kind: str, content: Mapping[str, Any]) -> None:
        data = content.get("data")
        if kind == "stream":
            text = content.get("text", "")
            (self.stderr if content.get("name") == "stderr" else self.stdout).write(str(text))
        elif kind == "error":
            trace = content.get("traceback")
            lines = [_ANSI.sub("", str(line)) for line in trace] if isinstance(trace, list) else []
            name, message = str(content.get("ename", "")), _ANSI.sub("", str(content.get("evalue", "")))
            self.fail(name, message, "\n".join(lines) or f"{name}: {message}")
        elif kind == "execute_result" and isinstance(data, dict) and not self._figure(data):
            self.value, self.jupyter = self.language.value(data), plain(data)
        elif kind == "display_data" and isinstance(data, dict) and not self._figure(data):
            # ⚑ ours: what is displayed and no picture reads like something printed.
            text = plain(data)
            self.stdout.line(text + "\n" if text else "")

    def _figure(self, data: Mapping[str, Any]) -> bool:
        for mime, name in _IMAGES.items():
            image = data.get(mime)
            if not isinstance(image, str | list):
                continue
            text = "".join(map(str, image))
            if name == "svg":
                text = base64.b64encode(text.encode("utf-8", "replace")).decode()
            self.figures.append({"type": "image", "format": name, "base64_data": text.replace("\n", "")})
            return True
        return False

    @property
    def result(self) -> Any:
        """The typed value. ⚑ ours: a figure goes before a value, and several figures are a list."""
        if self.figures:
            return self.figures[0] if len(self.figures) == 1 else list(self.figures)
        return self.value
