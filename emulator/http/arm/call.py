"""One request to the control plane: its address, version, caller and body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulator.http.arm.errors import ArmError
from emulator.identity.principals import Principal

LONGEST_BODY: Final = 4 * 1024 * 1024  # ARM's own limit


@dataclass(frozen=True)
class Call:
    """`segments`: the path, decoded, as written; `names`: the variable ones by name; `base`: scheme, host."""

    request: Request
    segments: tuple[str, ...]
    names: Mapping[str, str]
    base: str
    version: str
    principal: Principal

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def subscription(self) -> str:
        return self.names["subscription"]

    @property
    def group(self) -> str:
        return self.names["group"]

    @property
    def who(self) -> tuple[str, str]:
        """Name and type of the caller, for systemData."""
        name = self.principal.name or self.principal.client_id or self.principal.oid
        return name, "User" if "@" in name else "Application"

    def url(self, path: str, **query: str) -> str:
        """An absolute URL that this caller can reach."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"{self.base}{path}?api-version={self.version}{more}"

    async def read(self) -> dict[str, Any]:
        """The body, a JSON object. Raises `ArmError` 400 `InvalidRequestContent` or 413."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                raise ArmError(
                    413, "RequestContentTooLarge", f"The request is larger than {LONGEST_BODY} bytes."
                )
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            message = f"The request content was invalid and could not be deserialized: '{error}'."
            raise ArmError(400, "InvalidRequestContent", message) from None
        if not isinstance(content, dict):
            raise ArmError(400, "InvalidRequestContent", "The request content must be a JSON object.")
        return content

    def check_match(self, etag: str | None) -> None:
        """Honour If-Match and If-None-Match; `etag` None: there is no such resource. Raises 412."""
        match = self.request.headers.get("if-match")
        none_match = self.request.headers.get("if-none-match")
        stale = match is not None and (etag is None or (match != "*" and etag not in _tags(match)))
        there = none_match is not None and etag is not None and none_match == "*"
        if stale or there:
            message = "The condition set in the request's If-Match or If-None-Match header is not fulfilled."
            raise ArmError(412, "PreconditionFailed", message)


def _tags(header: str) -> set[str]:
    found = {one.strip() for one in header.split(",")}
    return found | {one.removeprefix("W/") for one in found} | {f"W/{one}" for one in found}


def text(content: Mapping[str, Any], *path: str) -> str:
    """A string inside `content`, "" where there is none."""
    step: Any = content
    for name in path:
        step = step.get(name) if isinstance(step, Mapping) else None
    return step if isinstance(step, str) else ""


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, status, dict(headers or {}))


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(b"", status, dict(headers or {}))


def moment(seconds: float) -> str:
    """`2026-01-02T03:04:05.678901Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
