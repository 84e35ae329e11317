"""Sending a file, whole or the range that was asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from email.utils import formatdate, parsedate_to_datetime
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from .content_types import content_type
from .storage import Entry

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*")


def send(file: BinaryIO, entry: Entry, wanted: str | None, condition: str | None) -> Response:
    """The answer to a GET with the headers Range (`wanted`) and If-Range (`condition`).

    Several ranges at once are answered with the whole file, as HTTP allows. The file is closed at the end.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Last-Modified": formatdate(entry.modified / 1e9, usegmt=True),
    }
    media = content_type(entry.name)
    first, last, status = 0, entry.size - 1, 200
    match = _RANGE.fullmatch(wanted) if wanted and _current(condition, entry) else None
    if match and (match[1] or match[2]):
        first, last = _bounds(match[1], match[2], entry.size)
        if first > last:
            file.close()
            return Response(status_code=416, headers={"Content-Range": f"bytes */{entry.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last}/{entry.size}"
    headers["Content-Length"] = str(last - first + 1)
    return StreamingResponse(_pieces(file, first, last - first + 1), status, headers, media)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:  # the last N bytes
        return (max(0, size - int(last)), size - 1) if int(last) else (1, 0)
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    return (start, end) if start < size else (1, 0)


def _current(condition: str | None, entry: Entry) -> bool:
    if condition is None:
        return True
    try:
        return int(parsedate_to_datetime(condition).timestamp()) == entry.modified // 10**9
    except (ValueError, TypeError):
        return False


async def _pieces(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    try:
        if start:
            file.seek(start)
        while length > 0:
            data = await asyncio.to_thread(file.read, min(_PIECE, length))
            if not data:
                return  # it was cut shorter meanwhile: the connection breaks off, which is the truth
            length -= len(data)
            yield data
    finally:
        file.close()
