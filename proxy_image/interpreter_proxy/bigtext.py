"""Reading a huge printed text without unpacking it: its beginning, and how long it is.

A kernel sends what one `print` wrote as one JSON message. 100 MB of it decoded would need several times
that in the proxy's memory, only to be cut to the limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# Messages below this many bytes are decoded whole.
BIG = 1_000_000
_CHUNK = 4_000_000
_HEAD = re.compile(rb'"text"\s*:\s*"')
_NAME = re.compile(rb'"name"\s*:\s*"(stdout|stderr)"')
_NAME_LAST = re.compile(rb'"\s*,\s*"name"\s*:\s*"(stdout|stderr)"\s*}\s*$')
_CONTINUATION = bytes(range(0x80, 0xC0))


def read(body: memoryview, limit: int) -> tuple[str, str, int] | None:
    """`(stream name, first limit characters, length in characters)` of a stream message's content."""
    front, back = bytes(body[:200]), bytes(body[-200:])
    head = _HEAD.search(front)
    if head is None:
        return None
    # The text ends at the last quote, or before the name where that comes second.
    name = _NAME.search(front, 0, head.start())
    if name is not None:
        end = back.rfind(b'"')
    else:
        name = _NAME_LAST.search(back)
        end = name.start() if name else -1
    if name is None or end < 0:
        return None
    text = body[head.end() : len(body) - (len(back) - end)]
    return name[1].decode(), beginning(text, limit) if limit else "", length(text)


def beginning(text: memoryview, limit: int) -> str:
    """The first `limit` characters of the inside of a JSON string."""
    # No character takes more than 12 bytes: two \\uXXXX for one outside the basic plane.
    raw = bytes(text[: limit * 12])
    raw = raw[: _whole(raw)] if len(raw) < len(text) else raw
    try:
        value = json.loads('"' + raw.decode("utf-8", "ignore") + '"', strict=False)
    except ValueError:
        return ""
    return str(value)[:limit]


def length(text: memoryview) -> int:
    """How many characters the inside of a JSON string stands for."""
    return sum(_length(chunk) for chunk in _chunks(text))


def _length(chunk: bytes) -> int:
    if b"\\" in chunk:
        chunk = chunk.replace(b"\\\\", b"x")
        units = chunk.count(b"\\u")
        simple = chunk.count(b"\\") - units
        # A pair of \\u escapes for one character outside the basic plane: the second half does not count.
        halves = len(re.findall(rb"\\u[dD][c-fC-F]", chunk)) if units else 0
    else:
        units = simple = halves = 0
    characters = len(chunk.translate(None, delete=_CONTINUATION))
    return characters - simple - 5 * units - halves


def _chunks(text: memoryview) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        chunk = bytes(text[start : start + _CHUNK])
        if start + len(chunk) < len(text):
            chunk = chunk[: _whole(chunk)]
        yield chunk
        start += len(chunk)


def _whole(data: bytes) -> int:
    """How much of the inside of a JSON string can be taken without cutting an escape in two."""
    last = data.rfind(b"\\", -6)
    if last < 0:
        return len(data)
    # Of a row of backslashes, every second one is escaped by the one before it.
    row = last + 1 - len(data[: last + 1].rstrip(b"\\"))
    needed = 6 if data[last + 1 : last + 2] == b"u" else 2
    return len(data) if row % 2 == 0 or last + needed <= len(data) else last
