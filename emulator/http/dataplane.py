"""One pool's data plane: who is asking, then which route, then the room that serves it."""

from __future__ import annotations

from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emulator import tracing
from emulator.errors import MethodNotAllowed, RequestInvalid, RequestNotSupported, RouteNotFound
from emulator.http.context import Call, Plane, read_query
from emulator.http.faulting import Misfortune
from emulator.http.files import files
from emulator.http.forward import forward
from emulator.http.interpreter import execute, get_execution
from emulator.http.mcp.endpoint import KEY_HEADER, admit, is_mcp, serve_mcp
from emulator.http.sessions import list_sessions, management, metadata, session
from emulator.http.versions import Family
from emulator.http.websocket import forward_websocket
from emulator.identity.mcp_keys import McpKeys
from emulator.pool.pool import Pool
from emulator.resources.model import SessionPool


class Guard(Protocol):
    """Who may use a pool. Raises `Unauthenticated` (401) or `Forbidden` (403), each with its reason."""

    def admit(self, authorization: str | None, pool: SessionPool | None) -> None: ...


_SESSION_ROUTES = {"session": session, "listsessions": list_sessions, "metadata": metadata}


class DataPlane:
    """Serves requests below a pool's management endpoint."""

    def __init__(self, plane: Plane, guard: Guard, misfortune: Misfortune, mcp_keys: McpKeys) -> None:
        self.plane = plane
        self._guard = guard
        self._misfortune = misfortune
        self._mcp_keys = mcp_keys

    async def serve(
        self, pool: Pool, segments: list[str], raw_rest: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """`segments` decoded, `raw_rest` as sent: both are what follows the pool in the path."""
        query = read_query(scope)
        operation = header_of(scope, "operation-id") if pool.spec.container_type.built_in else None
        tracing.note(pool=pool.spec.name, identifier=query.get("identifier"), operation=operation)
        self._admit(pool, segments, scope)
        raw_path = scope["raw_path"].decode("latin-1").split("?")[0]
        call = Call(self.plane, pool, scope, receive, send, segments, raw_path, query)
        await self._misfortune.befall(call)
        if not pool.spec.container_type.built_in and (segments[:1] != [".management"]):
            await self._custom(call, raw_rest)
            return
        if scope["type"] == "websocket":
            raise RouteNotFound("Built-in pools have no WebSocket routes.")
        answer = await self._built_in(call)
        if answer is not None:
            await answer(scope, receive, call.send)  # a fault may have replaced it

    def _admit(self, pool: Pool, segments: list[str], scope: Scope) -> None:
        key = header_of(scope, KEY_HEADER)
        if not (is_mcp(pool.spec, segments) and admit(pool.spec, self._mcp_keys, key)):
            self._guard.admit(authorization_of(scope), pool.spec)

    async def _custom(self, call: Call, raw_rest: str) -> None:
        identifier = call.identifier()
        query = call.scope["query_string"].decode("latin-1")
        target = raw_rest + (f"?{query}" if query else "")
        pass_token = call.pool.spec.emulator.forward_authorization
        async with call.session(identifier) as lease:
            carry = forward_websocket if call.scope["type"] == "websocket" else forward
            await carry(
                self.plane.upstreams,
                lease.session,
                call.scope,
                call.receive,
                call.send,
                target=target,
                authorization=pass_token,
            )

    async def _built_in(self, call: Call) -> Response | None:
        match [segment.lower() for segment in call.segments[:2]], len(call.segments):
            case ["python", "execute"], 2:
                return await _posted(call, Family.PYTHON)
            case ["code", "execute"], 2:
                return await _posted(call, Family.CODE)
            case ["executions"], 1:
                return await _posted(call, Family.EXECUTIONS)
            case ["executions", _], 2:
                if call.method not in ("GET", "HEAD"):
                    raise MethodNotAllowed(f"{call.method} is not allowed here.", headers={"Allow": "GET"})
                return await get_execution(call, call.segments[1])
            case ["files", *_], _:
                return await files(call, call.segments[1:])
            case [".management", *_], _:
                return await management(call, call.segments[1:])
            case [("session" | "listsessions" | "metadata") as name], 1:
                return await _SESSION_ROUTES[name](call)
            case ["mcp"], 1:
                return await serve_mcp(call)
            case ["python", "uploadfile"], 2:
                call.segments = ["files", "upload"]
                return await files(call, ["upload"])
            case ["python", "downloadfile"], 2:
                if not (wanted := call.query.get("filename")):
                    raise RequestInvalid("The query parameter 'filename' is required.", target="filename")
                return await files(call, ["content", wanted])
        path = "/" + "/".join(call.segments)
        raise RequestNotSupported(
            f"The path '{path}' is not supported by session pool '{call.pool.spec.name}'."
        )


async def _posted(call: Call, family: Family) -> Response:
    if call.method != "POST":
        raise MethodNotAllowed(f"{call.method} is not allowed here; use POST.", headers={"Allow": "POST"})
    return await execute(call, family)


def authorization_of(scope: Scope) -> str | None:
    """The request's `Authorization` header."""
    return header_of(scope, "authorization")


def header_of(scope: Scope, wanted: str) -> str | None:
    """The first value of a header, named in lower case."""
    for name, value in scope["headers"]:
        if name == wanted.encode():
            return str(value.decode("latin-1"))
    return None
