"""Session management: `/session`, `/listSessions`, `/metadata` and `/.management/*`. None of it allocates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, PlainTextResponse, Response

from emulator.errors import (
    AllocationFailed,
    ManagedSessionNotFound,
    MethodNotAllowed,
    RequestInvalid,
    RequestNotSupported,
    SessionNotFound,
)
from emulator.http.context import Call
from emulator.http.versions import Version, read_version
from emulator.pool.session import Session, State
from emulator.runtimes.base import RuntimeFailure

PAGE = 300
"""Sessions a page, as a published client of the service documents it."""


def moment(seconds: float) -> str:
    """Seconds since the epoch as the service writes times: UTC, seven fraction digits, `Z`."""
    capped = min(seconds, 253_402_300_799.0)  # a session without an end: the last second of year 9999
    return datetime.fromtimestamp(capped, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _version(call: Call) -> Version:
    version = read_version(call.query, may_be_absent=False, strict=call.plane.strict)
    version.require_sessions()
    return version


def _headers(version: Version) -> dict[str, str]:
    return {"api-supported-versions": version.supported} if version.supported else {}


def describe(call: Call, session: Session, *, managed: bool) -> dict[str, Any]:
    """A session as the wire has it: `expireAt` on built-in routes, `expiresAt` under `/.management`."""
    return {
        "identifier": session.identifier,
        "etag": session.etag,
        "createdAt": moment(session.created_at),
        "lastAccessedAt": moment(session.last_accessed_at),
        ("expiresAt" if managed else "expireAt"): moment(call.pool.expires_at(session)),
    }


async def session(call: Call) -> Response:
    """`GET|DELETE /session` of built-in pools."""
    version = _version(call)
    if call.method not in ("GET", "DELETE"):
        raise MethodNotAllowed(f"{call.method} is not allowed on /session.", headers={"Allow": "GET, DELETE"})
    identifier = call.identifier()
    found = call.pool.find(identifier)
    if found is None:
        raise SessionNotFound(f"Could not find session with name '{identifier}'.")
    if call.method == "DELETE":
        await call.pool.stop(found, "deleted by DELETE /session")
        return Response(b"", 204, _headers(version))
    headers = {**_headers(version), "x-ms-session-etag": found.etag, "x-ms-session-guid": found.guid}
    return JSONResponse(describe(call, found, managed=False), 200, headers)


async def list_sessions(call: Call) -> Response:
    """`GET /listSessions?skip=` of built-in pools."""
    version = _version(call)
    _only(call, "GET")
    page, following, _ = _page(call)
    body: dict[str, Any] = {"sessions": [describe(call, one, managed=False) for one in page]}
    if following is not None:
        body["nextLink"] = following
    return JSONResponse(body, 200, _headers(version))


def _page(call: Call) -> tuple[list[Session], str | None, int]:
    text = call.query.get("skip", "0") or "0"
    if not text.isdigit():
        raise RequestInvalid(f"The value '{text}' of skip is not a whole number from 0.", target="skip")
    skip = int(text)
    active = [one for one in call.pool.sessions if one.state is State.ACTIVE]
    following = None
    if skip + PAGE < len(active):
        query = urlencode({"api-version": call.query.get("api-version", ""), "skip": skip + PAGE})
        host = call.header("host") or "localhost"
        following = f"{call.scope['scheme']}://{host}{call.raw_path}?{query}"
    return active[skip : skip + PAGE], following, len(active)


async def metadata(call: Call) -> Response:
    """`GET /metadata`: runtimes and packages, read from the pool's image."""
    version = _version(call)
    _only(call, "GET")
    try:
        found = await call.pool.metadata()
    except RuntimeFailure as error:
        raise AllocationFailed(f"The pool's metadata cannot be read: {error}", reason=str(error)) from error
    return JSONResponse(found, 200, _headers(version))


async def management(call: Call, operation: list[str]) -> Response:
    """`POST /.management/{getSession,listSessions,stopSession}`; stopSession on built-in pools too."""
    _only(call, "POST")
    read_version(call.query, may_be_absent=False, strict=call.plane.strict)
    name = operation[0].lower() if len(operation) == 1 else ""
    built_in = call.pool.spec.container_type.built_in
    if name == "stopsession":
        return await _stop(call)
    if name == "getsession" and not built_in:
        return JSONResponse(describe(call, _managed(call), managed=True))
    if name == "listsessions" and not built_in:
        page, following, count = _page(call)
        body = [describe(call, one, managed=True) for one in page]
        return JSONResponse({"value": body, "count": count, "nextLink": following})
    raise RequestNotSupported(f"The operation '/.management/{'/'.join(operation)}' is not supported.")


def _managed(call: Call) -> Session:
    identifier = call.identifier()
    found = call.pool.find(identifier)
    if found is None:
        raise ManagedSessionNotFound(
            f"Session with identifier '{identifier}' is not found in session pool '{call.pool.spec.name}'."
        )
    return found


async def _stop(call: Call) -> Response:
    found = _managed(call)
    await call.pool.stop(found, "stopped by /.management/stopSession")
    return PlainTextResponse(f"Session {found.identifier} in session pool {call.pool.spec.name} stopped.")


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise MethodNotAllowed(f"{call.method} is not allowed here; use {method}.", headers={"Allow": method})
