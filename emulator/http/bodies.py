"""Reading JSON request bodies, with the service's own answers to what is not one."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from emulator.errors import ModelBindingFailed, ServiceError
from emulator.http.context import Call


class BodyTooLarge(ServiceError):
    status, code = 413, "RequestTooLarge"


class MediaTypeNotSupported(ServiceError):
    status, code = 415, "UnsupportedMediaType"


async def read_body(call: Call) -> bytes:
    """The whole body, at most `limits.body` bytes. Raises 413 or, for a compressed one, 415."""
    encoding = (call.header("content-encoding") or "identity").lower()
    if encoding != "identity":
        raise MediaTypeNotSupported(
            f"Content-Encoding '{encoding}' is not supported; send the body uncompressed."
        )
    limit, read = call.plane.limits.body, bytearray()
    async for chunk in Request(call.scope, call.receive).stream():
        read += chunk
        if len(read) > limit:
            raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
    return bytes(read)


async def read_object(call: Call) -> dict[str, Any]:
    """A JSON object. Raises `ModelBindingFailed` for anything else."""
    raw = await read_body(call)
    if not raw.strip():
        raise ModelBindingFailed({"": ["A non-empty request body is required."]})
    try:
        body = json.loads(raw, parse_constant=_refuse)
    except RecursionError as error:
        raise ModelBindingFailed({"$": ["The JSON is nested too deeply."]}) from error
    except ValueError as error:
        raise ModelBindingFailed({"$": [f"The request body is not valid JSON: {error}"]}) from error
    if not isinstance(body, dict):
        raise ModelBindingFailed({"$": [f"A JSON object is expected, not {_kind(body)}."]})
    return body


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def take(body: dict[str, Any], name: str, kind: type | tuple[type, ...], expected: str) -> Any:
    """Member `name` (compared without case, as ASP.NET does) if it is of `kind`; None when absent or null."""
    value = body.get(name)
    if value is None:
        value = next((body[key] for key in body if key.lower() == name.lower()), None)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ModelBindingFailed({f"$.{name}": [f"{expected} is expected, not {_kind(value)}."]})
    return value


def _kind(value: object) -> str:
    names = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")
