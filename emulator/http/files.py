"""Files of built-in pools: both route families, streamed through, rendered per version."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from emulator.errors import FileTooLarge, MethodNotAllowed, RequestInvalid, ServiceError, UpstreamError
from emulator.http.context import Call
from emulator.http.forward import end_to_end
from emulator.http.interpreter import inner_error
from emulator.http.versions import NEWEST, File, Version, read_version

ENVELOPE = 65_536
"""Room for a multipart body's own lines around a file of exactly the largest size."""


class FileNameInvalid(ServiceError):
    status, code = 400, "FileNameInvalid"


_PASSED_ON = ("range", "if-range", "if-none-match", "if-modified-since")


async def files(call: Call, rest: list[str]) -> Response | None:
    """Everything below `/files`; None when the answer has already been streamed."""
    if any(ord(char) < 32 or ord(char) == 127 for part in rest for char in part):
        raise FileNameInvalid(
            "The file name is invalid because 'filename cannot contain any reserved file path characters'."
        )
    match call.method, rest:
        case "GET" | "HEAD", []:
            return await _list(call)
        case "POST", []:
            return await _upload(call, old_route=False)
        case "POST", ["upload"]:
            return await _upload(call, old_route=True)
        case "GET" | "HEAD", ["content", *name] if name:
            return await _download(call, "/".join(name))
        case "GET" | "HEAD", [*name, "content"] if name:
            return await _download(call, "/".join(name))
        case "GET" | "HEAD", [*name] if name:
            return await _show(call, "/".join(name))
        case "DELETE", [*name] if name:
            return await _delete(call, "/".join(name))
    allowed = "GET, POST" if rest in ([], ["upload"]) else "GET, DELETE"
    raise MethodNotAllowed(f"{call.method} is not allowed on a file route.", headers={"Allow": allowed})


def _version(call: Call) -> Version:
    return read_version(call.query, may_be_absent=True, strict=call.plane.strict)


def _target(call: Call, route: str, **query: str) -> str:
    """The inner route, with the caller's `path`."""
    inner = {"api-version": NEWEST, "identifier": call.query.get("identifier", "")}
    if "path" in call.query:
        inner["path"] = call.query["path"]
    return f"/files{route}?{urlencode({**inner, **query})}"


def _headers(call: Call, version: Version) -> dict[str, str]:
    headers = call.session_headers()
    if version.supported is not None:
        headers["api-supported-versions"] = version.supported
    return headers


async def _json(call: Call, method: str, target: str, **options: Any) -> Any:
    assert call.lease is not None  # noqa: S101 - only called inside call.session()
    async with call.plane.upstreams.request(call.lease.session, method, target, **options) as answer:
        raw = await answer.read()
        if answer.status >= 400:
            raise inner_error(answer.status, raw)
        return json.loads(raw) if raw else None


async def _list(call: Call) -> Response:
    version = _version(call)
    recursive = call.query.get("recursive", "false").lower()
    if recursive not in ("true", "false"):
        raise RequestInvalid(f"The value '{recursive}' of recursive is not a boolean.", target="recursive")
    async with call.session(call.identifier()):
        found = await _json(call, "GET", _target(call, "", recursive=recursive))
        headers = _headers(call, version)
    return JSONResponse(version.listing([_file(entry) for entry in found["value"]]), 200, headers)


async def _upload(call: Call, *, old_route: bool) -> Response:
    version = _version(call)
    identifier = call.identifier()
    limit = call.plane.limits.upload
    length = call.header("content-length")
    if length is not None and length.isdigit() and int(length) > limit + ENVELOPE:
        raise too_large(limit)  # before anything of the body is read
    headers = {"content-type": call.header("content-type") or ""}
    if length is not None:
        headers["content-length"] = length
    async with call.session(identifier):
        body = _Counted(Request(call.scope, call.receive), limit)
        try:
            stored = await _json(call, "POST", _target(call, ""), data=body.blocks(), headers=headers)
        except UpstreamError:
            if body.too_large:  # the HTTP client has its own words for a body that broke off
                raise too_large(limit) from None
            raise
        _tell(call, "file.uploaded", str(stored.get("name", "")), size=stored.get("sizeInBytes"))
        answer_headers = _headers(call, version)
    return JSONResponse(version.uploaded(_file(stored), old_route=old_route), 200, answer_headers)


def too_large(limit: int) -> FileTooLarge:
    return FileTooLarge(
        f"The file is larger than the maximum of {limit // (1024 * 1024)} MB ({limit} bytes)."
    )


class _Counted:
    """A request's body on its way in, broken off when it is larger than a file of `limit` bytes can be."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self.too_large = False

    async def blocks(self) -> AsyncIterator[bytes]:
        seen = 0
        try:
            async for chunk in self._request.stream():
                seen += len(chunk)
                if seen > self._limit + ENVELOPE:
                    self.too_large = True
                    raise ConnectionResetError("the body is too large")
                if chunk:
                    yield chunk
        except ClientDisconnect as gone:
            raise ConnectionResetError("the caller went away in the middle of the upload") from gone


async def _show(call: Call, name: str) -> Response:
    version = _version(call)
    async with call.session(call.identifier()):
        found = await _json(call, "GET", _target(call, f"/{quote(name, safe='')}"))
        headers = _headers(call, version)
    return JSONResponse(version.file(_file(found)), 200, headers)


async def _delete(call: Call, name: str) -> Response:
    version = _version(call)
    async with call.session(call.identifier()):
        await _json(call, "DELETE", _target(call, f"/{quote(name, safe='')}"))
        _tell(call, "file.deleted", name)
        headers = _headers(call, version)
    return Response(b"", 204, headers)


async def _download(call: Call, name: str) -> Response | None:
    version = _version(call)
    passed = {key: value for key in _PASSED_ON if (value := call.header(key)) is not None}
    async with call.session(call.identifier()) as lease:
        target = _target(call, f"/{quote(name, safe='')}/content")
        async with call.plane.upstreams.request(lease.session, "GET", target, headers=passed) as answer:
            if answer.status >= 400 and answer.status != 416:
                raise inner_error(answer.status, await answer.read())
            kept = [(n, v) for n, v in end_to_end(list(answer.raw_headers)) if n.lower() in _DOWNLOAD]
            # Recorded: always octet-stream, whatever the file is called.
            kept += [("content-type", "application/octet-stream"), *_headers(call, version).items()]
            raw = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in kept]
            await call.send({"type": "http.response.start", "status": answer.status, "headers": raw})
            size = 0
            if call.method != "HEAD":
                async for chunk in answer.content.iter_any():
                    size += len(chunk)
                    await call.send({"type": "http.response.body", "body": chunk, "more_body": True})
                _tell(call, "file.downloaded", name, size=size)
            await call.send({"type": "http.response.body", "body": b"", "more_body": False})
    return None


_DOWNLOAD = {"content-length", "content-range", "accept-ranges", "last-modified", "etag"}


def _tell(call: Call, kind: str, name: str, size: int | None = None) -> None:
    lease = call.lease
    call.plane.events.emit(
        kind,
        name or "(without a name)",
        pool=call.pool.spec.name,
        identifier=lease.session.identifier if lease else None,
        session=lease.session.guid if lease else None,
        size=size,
    )


def _file(entry: dict[str, Any]) -> File:
    return File(
        name=entry["name"],
        kind=str(entry.get("type", "File")).lower(),
        size=int(entry["sizeInBytes"]),
        modified=seven_digits(entry["lastModifiedAt"]),
        content_type=entry.get("contentType") or "application/octet-stream",
        directory=entry.get("directory") or "",
    )


def seven_digits(moment: str) -> str:
    """A UTC time with nanoseconds cut to the service's seven fraction digits (recorded)."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{whole}.{fraction[:7].ljust(7, '0')}Z"
