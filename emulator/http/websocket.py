"""WebSockets of custom containers, carried message by message."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from multidict import CIMultiDict
from starlette.types import Message, Receive, Scope, Send

from emulator.http.forward import request_headers
from emulator.http.tracing import carry
from emulator.http.upstream import Upstreams
from emulator.pool.session import Session

_HANDSHAKE = (
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)
_WENT_AWAY = 1001
_MAX_MESSAGE = 16 * 1024 * 1024


async def forward_websocket(
    upstreams: Upstreams,
    session: Session,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    target: str,
    authorization: bool = False,
) -> None:
    """Join the caller's WebSocket to one into `session`; the handshake is the container's to refuse."""
    await receive()  # websocket.connect
    headers: CIMultiDict[str] = request_headers(scope, authorization=authorization)
    for name in _HANDSHAKE:
        headers.popall(name, None)
    carry(headers)
    instance = await upstreams.alive(session)
    client = upstreams.client(instance)
    url = instance.address.url + target
    try:
        inside = await client.ws_connect(
            url, headers=headers, protocols=scope.get("subprotocols", ()), max_msg_size=_MAX_MESSAGE
        )
    except aiohttp.WSServerHandshakeError as refusal:
        await _refuse(send, refusal.status, str(refusal.message))
        return
    except (aiohttp.ClientError, OSError) as error:
        raise await upstreams.explain(session, error) from error
    await send({"type": "websocket.accept", "subprotocol": inside.protocol})
    directions = [asyncio.create_task(_inward(receive, inside)), asyncio.create_task(_outward(inside, send))]
    try:
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        await inside.close()


async def _inward(receive: Receive, inside: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            await inside.close(code=message.get("code") or _WENT_AWAY)
            return
        if message.get("text") is not None:
            await inside.send_str(message["text"])
        else:
            await inside.send_bytes(message["bytes"])


async def _outward(inside: aiohttp.ClientWebSocketResponse, send: Send) -> None:
    async for message in inside:
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
    with contextlib.suppress(RuntimeError):  # the caller closed first
        await send({"type": "websocket.close", "code": inside.close_code or _WENT_AWAY})


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": text.encode()})
