"""The file routes, of both families; which one answers is the api-version's and the path's choice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import downloads, legacy, uploads
from .content_types import content_type
from .errors import file_not_found
from .render import json_response
from .storage import Entry, Storage


def described(entry: Entry) -> dict[str, Any]:
    """One file of the new family; the time has nanoseconds, as recorded from the base image."""
    return {
        "name": entry.name,
        "sizeInBytes": entry.size,
        "lastModifiedAt": timestamp(entry.modified),
        "contentType": content_type(entry.name) if not entry.is_directory else "application/octet-stream",
        "type": "Directory" if entry.is_directory else "File",
    }


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits of fraction."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


@dataclass(frozen=True, slots=True)
class FileRoutes:
    """Handlers over one storage; `limit` is the largest upload in bytes.

    `relative`: where a relative `path` counts from, if not from the storage's root. On Shell pools uploads
    with `path=x` were observed in /app/x, those without in /mnt/data, and neither listing showed the other's.
    """

    storage: Storage
    limit: int
    relative: Storage | None = None

    def _storage(self, request: Request) -> Storage:
        path = _path(request)
        return self.relative if self.relative and path and not path.startswith("/") else self.storage

    def routes(self) -> list[Route]:
        """What Starlette serves."""
        return [
            Route("/upload", self.upload, methods=["POST"]),
            Route("/files/upload", self.upload, methods=["POST"]),
            Route("/files", self.upload, methods=["POST"]),
            Route("/files", self.list, methods=["GET"]),
            Route("/files/{name:path}", self.get, methods=["GET"]),
            Route("/files/{name:path}", self.delete, methods=["DELETE"]),
        ]

    async def upload(self, request: Request) -> Response:
        """POST: one file out of a multipart body."""
        entry = await uploads.receive(request, self._storage(request), _path(request), self.limit)
        if request.url.path != "/files" or legacy.asked_for(request):
            return json_response([legacy.listed(entry)])
        return json_response(described(entry))

    async def list(self, request: Request) -> Response:
        """GET: what a directory holds."""
        storage = self._storage(request)
        parts = storage.directory_parts(_path(request))
        recursive = request.query_params.get("recursive", "").lower() == "true"
        entries = await asyncio.to_thread(storage.list, parts, recursive)
        if legacy.asked_for(request):
            return json_response([legacy.listed(entry) for entry in entries])
        return json_response(
            {"value": [described(entry) | {"directory": entry.directory} for entry in entries]}
        )

    async def get(self, request: Request) -> Response:
        """GET: a file's description, or with `/content` (old family: after `content/`) its bytes."""
        segments = _segments(request)
        old = legacy.asked_for(request) or "api-version" not in request.query_params
        if old and len(segments) > 1 and segments[0] == "content":
            return await self._content(request, segments[1:])
        if len(segments) > 1 and segments[-1] == "content" and not legacy.asked_for(request):
            return await self._content(request, segments[:-1])
        storage = self._storage(request)
        parts = storage.name_parts(_path(request), "/".join(segments))
        entry = await asyncio.to_thread(storage.describe, parts)
        return json_response(legacy.described(entry) if legacy.asked_for(request) else described(entry))

    async def delete(self, request: Request) -> Response:
        """DELETE: a file."""
        storage = self._storage(request)
        parts = storage.name_parts(_path(request), "/".join(_segments(request)))
        await asyncio.to_thread(storage.delete, parts)
        return json_response(legacy.DELETED) if legacy.asked_for(request) else Response(status_code=204)

    async def _content(self, request: Request, segments: tuple[str, ...]) -> Response:
        storage = self._storage(request)
        parts = storage.name_parts(_path(request), "/".join(segments))
        file, entry = await asyncio.to_thread(storage.open, parts)
        return downloads.send(file, entry, request.headers.get("range"), request.headers.get("if-range"))


def _path(request: Request) -> str:
    return request.query_params.get("path", "")


def _segments(request: Request) -> tuple[str, ...]:
    """The name's steps. Split before decoding: `%2F` belongs to a name, so `a%2Fcontent` is no download."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    name = bytes(raw).partition(b"?")[0].partition(b"/files/")[2].decode("latin-1")
    segments = tuple(unquote(part, errors="surrogateescape") for part in name.split("/") if part)
    if not segments:
        raise file_not_found("")
    # A name written `/mnt/data/x` arrives as `%2Fmnt%2Fdata%2Fx`, or with its first slash folded.
    return segments
