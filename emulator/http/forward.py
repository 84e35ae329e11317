"""The streaming reverse proxy: a request goes into a session, and its answer comes back, chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from multidict import CIMultiDict
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from emulator.http.upstream import Upstreams
from emulator.pool.session import Session

HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers of one connection, not of the message (RFC 9110 section 7.6.1)."""

CALLER_GONE = 499
"""What is returned (and sent to nobody) when the caller went away; nginx made the number known."""


def text(value: bytes) -> str:
    """A header's value so that aiohttp, which writes UTF-8, sends the same bytes; others become UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers without those of this hop, also without what `Connection` names."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.decode("latin-1").split(",")
    }
    drop = HOP_BY_HOP | named
    decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return [(name, value) for name, value in decoded if name.lower() not in drop]


def request_headers(scope: Scope, *, authorization: bool) -> CIMultiDict[str]:
    """What the session sees: end-to-end headers, `X-Forwarded-*`, no token unless `authorization`."""
    headers: CIMultiDict[str] = CIMultiDict(
        (name, text(value.encode("latin-1"))) for name, value in end_to_end(scope["headers"])
    )
    headers.pop("expect", None)  # the 100-continue was between the caller and us
    if not authorization:
        headers.popall("authorization", None)
    client: str = (scope.get("client") or ("unknown", 0))[0]
    before = [one.strip() for one in headers.get("x-forwarded-for", "").split(",") if one.strip()]
    headers["x-forwarded-for"] = ", ".join([*before, client])
    headers["x-forwarded-proto"] = scope["scheme"].replace("ws", "http")
    headers["x-forwarded-host"] = headers.get("host", "")
    return headers


async def forward(
    upstreams: Upstreams,
    session: Session,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    target: str,
    authorization: bool = False,
) -> int:
    """Carry one HTTP exchange; returns the status. `target` is the encoded path and query inside.

    A caller that hangs up ends it: the connection into the session is closed, `CALLER_GONE` returned.
    Once the answer has begun an error can only cut the connection, which is what the caller then sees.
    Nothing that was sent is ever sent again.
    """
    headers = request_headers(scope, authorization=authorization)
    has_body = "content-length" in headers or any(
        name.lower() == b"transfer-encoding" for name, _ in scope["headers"]
    )
    read = asyncio.Event()
    body = _body(Request(scope, receive), read) if has_body else None
    if body is None:
        read.set()

    async def carry() -> int:
        async with upstreams.request(session, scope["method"], target, headers=headers, data=body) as answer:
            out = [(name.lower(), value) for name, value in end_to_end(list(answer.raw_headers))]
            encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in out]
            await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return answer.status

    exchange = asyncio.create_task(carry())
    watch = asyncio.create_task(_gone(receive, read))
    try:
        await asyncio.wait((exchange, watch), return_when=asyncio.FIRST_COMPLETED)
        return exchange.result() if exchange.done() else CALLER_GONE
    finally:
        for task in (exchange, watch):
            task.cancel()
        await asyncio.gather(exchange, watch, return_exceptions=True)


async def _body(request: Request, read: asyncio.Event) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as gone:
        # aiohttp closes the connection into the session, so the container sees the cut as well.
        raise ConnectionResetError("the caller went away") from gone
    finally:
        read.set()


async def _gone(receive: Receive, read: asyncio.Event) -> None:
    """Return once the caller went away; listens after the body was `read`, which notices that itself."""
    await read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
