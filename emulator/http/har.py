"""Journal entries as a HAR 1.2 log, for browsers' developer tools and whatever else reads one."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from emulator.http.masking import Headers
from emulator.http.sessions import moment

if TYPE_CHECKING:
    from emulator.http.journal import Entry

CREATOR = {"name": "dynamic-sessions-emulator", "version": "0.1.0"}


def log(entries: Iterable[Entry]) -> dict[str, Any]:
    """The document. Members of ours begin with `_`, as the format wants it."""
    return {"log": {"version": "1.2", "creator": CREATOR, "entries": [_entry(one) for one in entries]}}


def _entry(one: Entry) -> dict[str, Any]:
    wait = one.first_byte if one.first_byte is not None else one.lasted
    document = {
        "startedDateTime": moment(one.started),
        "time": one.lasted * 1000,
        "request": _request(one),
        "response": _response(one),
        "cache": {},
        "timings": {"send": 0, "wait": wait * 1000, "receive": max(0.0, one.lasted - wait) * 1000},
        "_session": dict(one.trace),
    }
    if one.in_flight:
        document["comment"] = "not finished when this log was written"
    elif one.failure:
        document["comment"] = one.failure
    if one.frames is not None:
        document["_webSocketFrames"] = dict(one.frames)
    return document


def _request(one: Entry) -> dict[str, Any]:
    request = {
        "method": one.method,
        "url": one.url,
        "httpVersion": f"HTTP/{one.http_version}",
        "cookies": [],
        "headers": _pairs(one.request_headers),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(one.url).query, keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": one.request_size,
    }
    if one.request_size:
        text, binary = text_of(one.request_body)
        data = {"mimeType": dict(one.request_headers).get("content-type", ""), "text": text}
        if binary:
            data["_encoding"] = "base64"
        request["postData"] = _cut(data, one.request_body, one.request_size)
    return request


def _response(one: Entry) -> dict[str, Any]:
    text, binary = text_of(one.response_body)
    content: dict[str, Any] = {
        "size": one.response_size,
        "mimeType": dict(one.response_headers).get("content-type", ""),
        "text": text,
    }
    if binary:
        content["encoding"] = "base64"
    return {
        "status": one.status,
        "statusText": HTTPStatus(one.status).phrase if one.status in _KNOWN else "",
        "httpVersion": f"HTTP/{one.http_version}",
        "cookies": [],
        "headers": _pairs(one.response_headers),
        "content": _cut(content, one.response_body, one.response_size),
        "redirectURL": dict(one.response_headers).get("location", ""),
        "headersSize": -1,
        "bodySize": one.response_size,
    }


_KNOWN = frozenset(HTTPStatus)


def _cut(document: dict[str, Any], kept: bytearray, size: int) -> dict[str, Any]:
    if len(kept) < size:
        document["comment"] = f"the first {len(kept)} of {size} bytes"
    return document


def _pairs(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def text_of(body: bytearray) -> tuple[str, bool]:
    """A body as text, or in base64 (True) if it is none; an excerpt may end in the middle of a character."""
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError as error:
        if error.start > len(body) - 4:
            return body[: error.start].decode("utf-8"), False
        return base64.b64encode(body).decode("ascii"), True
