"""MCP by streamable HTTP: JSON-RPC in the body of a POST, the answer as plain JSON (never an event stream).

The server keeps nothing about a client, so there is no `Mcp-Session-Id`, nothing to GET and nothing to
DELETE (both 405, as the protocol allows).
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from emulator.errors import MethodNotAllowed, ServiceError, Unauthenticated
from emulator.http.bodies import read_body
from emulator.http.context import Call
from emulator.http.mcp.tools import WrongArguments, tools_of
from emulator.identity.mcp_keys import McpKeys
from emulator.resources.model import SessionPool

KEY_HEADER: Final = "x-ms-apikey"
PROTOCOL: Final = "2025-03-26"
SERVER: Final = "Microsoft Container Apps MCP Server"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
LONGEST_BATCH: Final = 100


class McpNotEnabled(ServiceError):
    """Recorded on live pools: the setting is off, or the pool's type has no MCP server."""

    status, code = 400, "SessionMCPServerNotEnabled"

    def __init__(self, pool: str) -> None:
        super().__init__(f"Session pool '{pool}' does not have MCP Server enabled.")


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_mcp(pool: SessionPool, segments: list[str]) -> bool:
    """Whether this is a built-in pool's MCP endpoint; a custom container may serve that path itself."""
    return pool.container_type.built_in and [part.lower() for part in segments] == ["mcp"]


def admit(pool: SessionPool, keys: McpKeys, key: str | None) -> bool:
    """Whether `key` opens the pool's MCP server; False where the pool takes bearer tokens instead (⚑ ours).

    Raises `McpNotEnabled` (400), or `Unauthenticated` (401) also for a bearer token in the key's place
    (documented).
    """
    if not (pool.mcp_enabled and tools_of(pool.container_type)):
        raise McpNotEnabled(pool.name)
    if pool.mcp_key_disabled:
        return False
    if not key:
        reason = f"the MCP server takes the pool's key in the header {KEY_HEADER}, not a bearer token"
        raise Unauthenticated("no MCP key", reason=reason)
    if not keys.check(pool.key, key):
        reason = f"the value of {KEY_HEADER} is no key of pool {pool.name}, or was rotated away"
        raise Unauthenticated("wrong MCP key", reason=reason)
    return True


async def serve_mcp(call: Call) -> Response:
    """One POST: a message, or a batch of them. 202 without a body when none of them wants an answer."""
    if call.method != "POST":
        raise MethodNotAllowed(f"{call.method} is not allowed here; use POST.", headers={"Allow": "POST"})
    try:
        message = json.loads(await read_body(call))
    except (ValueError, RecursionError) as error:
        return _refused(PARSE_ERROR, f"The body is not JSON: {error}")
    if not isinstance(message, list):
        answer = await _answer(call, message)
        if answer is None:
            return Response(status_code=202)
        return JSONResponse(answer, 400 if answer.get("error", {}).get("code") == INVALID_REQUEST else 200)
    if not 0 < len(message) <= LONGEST_BATCH:
        return _refused(INVALID_REQUEST, f"A batch holds 1 to {LONGEST_BATCH} messages.")
    answers = [answer for one in message if (answer := await _answer(call, one)) is not None]
    return JSONResponse(answers) if answers else Response(status_code=202)


async def _answer(call: Call, message: Any) -> dict[str, Any] | None:
    """The answer to one message; None for notifications and for answers to requests we never made."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return _error(None, INVALID_REQUEST, "A JSON-RPC 2.0 message is expected.")
    method, number = message.get("method"), message.get("id")
    if method is None and ("result" in message or "error" in message):
        return None
    if not isinstance(method, str) or isinstance(number, bool | list | dict):
        return _error(None, INVALID_REQUEST, "The message has no 'method', or an 'id' of the wrong type.")
    if "id" not in message:
        return None
    try:
        params = message.get("params") or {}
        if not isinstance(params, dict):
            raise _RpcError(INVALID_PARAMS, "'params' must be an object.")
        return {"jsonrpc": "2.0", "id": number, "result": await _result(call, method, params)}
    except _RpcError as error:
        return _error(number, error.code, str(error))


async def _result(call: Call, method: str, params: dict[str, Any]) -> dict[str, Any]:
    tools = {tool.name: tool for tool in tools_of(call.pool.spec.container_type)}
    match method:
        case "initialize":  # any offer is answered with the one version there is; the client may leave
            capabilities = {"tools": {"call": True, "list": True}}
            about = {"name": SERVER, "version": "1.0.0"}
            return {"protocolVersion": PROTOCOL, "capabilities": capabilities, "serverInfo": about}
        case "ping":
            return {}
        case "tools/list":
            return {"tools": [tool.listed() for tool in tools.values()]}
        case "tools/call":
            tool = tools.get(str(params.get("name")))
            arguments = params.get("arguments") or {}
            if tool is None:
                raise _RpcError(INVALID_PARAMS, f"Unknown tool: {params.get('name')}")
            if not isinstance(arguments, dict):
                raise _RpcError(INVALID_PARAMS, "'arguments' must be an object.")
            try:
                return await tool.call(call, arguments)
            except WrongArguments as error:
                raise _RpcError(INVALID_PARAMS, str(error)) from None
    raise _RpcError(METHOD_NOT_FOUND, f"Method not found: {method}")


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _refused(code: int, message: str) -> Response:
    return JSONResponse(_error(None, code, message), 400)
