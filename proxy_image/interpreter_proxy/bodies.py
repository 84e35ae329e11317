"""Bodies in, error answers out."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .errors import Refused, bad_request
from .render import json_response
from .requests import CODE_MISSING

_LARGEST_BODY = 64 * 2**20


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises Refused: 400 when it is not one, 413 beyond 64 MB."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST_BODY:
            raise Refused(413, "RequestTooLarge", f"The body is larger than {_LARGEST_BODY // 2**20} MB.")
    if not data:
        raise bad_request(CODE_MISSING)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object")
    return body


def refused(request: Request, error: Refused) -> Response:
    """The one place where a refusal becomes an HTTP answer."""
    # The connection stays open even if a body is left unread: uvicorn discards what comes, where closing
    # would reset a client that is still sending before it has seen the answer.
    headers = {"x-ms-error-code": error.code}
    return json_response({"error": {"code": error.code, "message": error.message}}, error.status, headers)


def http_error(request: Request, error: HTTPException) -> Response:
    """404 and 405 of the router, in the same shape."""
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "InvalidRequest")
    message = f"{error.detail}: {request.method} {request.url.path}"
    return json_response({"error": {"code": code, "message": message}}, error.status_code, error.headers)


def failed(request: Request, error: Exception) -> Response:
    """A fault of the proxy's own."""
    return json_response({"error": {"code": "InternalServerError", "message": repr(error)}}, 500)


def hung_up(request: Request, error: Exception) -> Response:
    """Nobody reads this answer."""
    return Response(status_code=499)


HANDLERS: dict[Any, Any] = {
    Refused: refused,
    HTTPException: http_error,
    ClientDisconnect: hung_up,
    Exception: failed,
}
