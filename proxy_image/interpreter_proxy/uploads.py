"""Taking in an uploaded file: streamed to disk, counted on the way, gone again if the client hangs up."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from .errors import bad_request, file_too_large
from .multipart import FileReader, boundary
from .storage import Entry, Storage, Upload

# Bytes gathered before a thread writes them.
_PIECE = 1 << 20
# What a multipart body may be longer than its file before it is refused unread.
_ENVELOPE = 1 << 16


async def receive(request: Request, storage: Storage, path: str, limit: int) -> Entry:
    """Reads a multipart body and stores its file in the directory `path`.

    Raises Refused: 400 for a bad body, name or path, 413 beyond `limit` bytes; ClientDisconnect when the
    client hangs up. In every such case nothing is left behind.
    """
    storage.directory_parts(path)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit + _ENVELOPE:
        raise file_too_large(limit)
    receiver = _Receiver(storage, path, limit)
    try:
        async for data in request.stream():
            if data:
                await receiver.feed(request.headers.get("content-type", ""), data)
        return await receiver.finish()
    finally:
        await receiver.abandon()


class _Receiver:
    def __init__(self, storage: Storage, path: str, limit: int) -> None:
        self._storage = storage
        self._path = path
        self._limit = limit
        self._size = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._head = b""
        self._reader: FileReader | None = None
        self._upload: Upload | None = None

    async def feed(self, content_type: str, data: bytes) -> None:
        if self._reader is None:
            self._head += data
            if b"\n" not in self._head and len(self._head) < 1_000:
                return
            self._reader = FileReader(boundary(content_type, self._head))
            data, self._head = self._head, b""
        piece = self._reader.feed(data)
        self._size += len(piece)
        if self._size > self._limit:
            raise file_too_large(self._limit)
        self._pending.append(piece)
        self._pending_size += len(piece)
        if self._pending_size >= _PIECE:
            await self._write()

    async def finish(self) -> Entry:
        if self._reader is None:
            raise bad_request("The body must be multipart/form-data with one file part")
        self._reader.check()
        upload = await self._write()
        return await asyncio.to_thread(upload.finish)

    async def abandon(self) -> None:
        if self._upload is not None:
            # Not cancelled half-way by a client that is gone: the file has to be removed.
            await asyncio.shield(asyncio.to_thread(self._upload.abandon))

    async def _write(self) -> Upload:
        pieces, self._pending, self._pending_size = self._pending, [], 0
        name = self._reader.filename if self._reader else None
        parts = self._storage.name_parts(self._path, name or "")

        def work() -> Upload:
            if self._upload is None:
                self._upload = self._storage.create(parts)
            self._upload.write(b"".join(pieces))
            return self._upload

        return await asyncio.to_thread(work)
