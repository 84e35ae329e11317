"""The request journal: everything that passed, nothing that is secret, and never too much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jsonschema
import pytest
from starlette.types import Message, Receive, Scope, Send

from emulator.clock import VirtualClock
from emulator.http import masking
from emulator.http.journal import TRACE, Journal
from tests.unit.watching.har_schema import HAR

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiIxMjM0NTYifQ.c2lnbmF0dXJl"
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def scope(kind: str = "http", query: str = "", pool: str | None = "python", **headers: str) -> Scope:
    named = {"host": "localhost:7480", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": "/executions",
        "raw_path": b"/executions",
        "query_string": query.encode(),
        "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        TRACE: {"pool": pool} if pool else {},
        **({"method": "POST"} if kind == "http" else {}),
    }


def answering(status: int = 200, *bodies: bytes, kind: str = "application/json") -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", kind.encode()), (b"set-cookie", b"session=secret")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


class Exchange:
    """Sends requests through a journal; what was observed of each."""

    def __init__(self, app: App, capacity: int = 100, excerpt: int = 4096) -> None:
        self.observed: list[tuple[str, int]] = []
        self.journal = Journal(app, VirtualClock(), capacity, self._observe, excerpt)

    def _observe(self, pool: str, status: int, seconds: float) -> None:
        self.observed.append((pool, status))

    async def send(self, scope: Scope, *messages: Message) -> list[Message]:
        waiting, sent = list(messages) or [{"type": "http.request", "body": b""}], list[Message]()

        async def receive() -> Message:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.journal(scope, receive, send)
        return sent

    def one(self) -> dict[str, Any]:
        (entry,) = self.journal.entries
        return entry.as_dict()

    def har(self) -> dict[str, Any]:
        document = json.loads(json.dumps(self.journal.har()))
        jsonschema.validate(document, HAR)
        (entry,) = document["log"]["entries"]
        return dict(entry)


def body(text: bytes) -> Message:
    return {"type": "http.request", "body": text}


async def test_a_har_entry_is_whole() -> None:
    exchange = Exchange(answering(200, b'{"a"', b": 1}"))
    await exchange.send(scope(query="api-version=1&identifier=a%20b&empty="), body(b'{"code": 1}'))
    entry = exchange.har()
    assert entry["request"]["queryString"] == [
        {"name": "api-version", "value": "1"},
        {"name": "identifier", "value": "a b"},
        {"name": "empty", "value": ""},
    ]
    assert entry["request"]["postData"]["text"] == '{"code": 1}'
    assert entry["response"]["content"] == {"size": 8, "mimeType": "application/json", "text": '{"a": 1}'}
    assert entry["response"]["statusText"] == "OK"
    timings = entry["timings"]
    assert entry["time"] == pytest.approx(sum(timings.values()))
    assert entry["_session"] == {"pool": "python"}


async def test_what_is_no_text_is_base64_and_what_is_long_is_cut() -> None:
    exchange = Exchange(answering(200, b"\xff\xfe\x00\x01" * 100, kind="image/png"), excerpt=8)
    await exchange.send(scope(), body("ä".encode() * 50))
    content, sent = exchange.har()["response"]["content"], exchange.har()["request"]["postData"]
    assert (content["encoding"], content["text"]) == ("base64", "//4AAf/+AAE=")
    assert (content["size"], content["comment"]) == (400, "the first 8 of 400 bytes")
    assert (sent["text"], sent["comment"]) == ("ääää", "the first 8 of 100 bytes")


async def test_credentials_are_masked_in_headers_query_and_answers() -> None:
    secrets = {
        "authorization": f"Bearer {TOKEN}",
        "x_ms_apikey": "mcp-secret",
        "ocp_apim_subscription_key": "apim-secret",
        "x_functions_key": "functions-secret",
        "x_identity_header": "identity-secret",
        "cookie": "cookie-secret",
        "x_custom": f"embedded {TOKEN}",
    }
    query = (
        f"api-version=1&access_token={TOKEN}&sig=sig-secret&code=code-secret&client_secret=cs-secret"
        f"&subscription-key=sub-secret&key=key-secret&API_KEY=api-secret&x={TOKEN}&identifier=alice&monkey=1"
    )
    exchange = Exchange(answering(200, b"{}"))
    await exchange.send(scope(query=query, **secrets))
    text = json.dumps(exchange.har()) + json.dumps(exchange.one())
    assert "secret" not in text.replace("client_secret", "")
    assert TOKEN not in text
    assert "identifier=alice" in exchange.one()["url"]
    assert "monkey=1" in exchange.one()["url"]
    assert "api-version=1" in exchange.one()["url"]


async def test_bodies_of_issuers_and_the_control_plane_are_not_kept() -> None:
    exchange = Exchange(answering(200, b'{"access_token": "secret"}'))
    await exchange.send(scope(pool=None), body(b"client_secret=secret"))
    one = exchange.one()
    assert (one["requestBody"], one["responseBody"]) == ("", "")
    assert (one["requestSize"], one["responseSize"]) == (20, 26)


async def test_nothing_a_caller_sends_makes_an_entry_large() -> None:
    exchange = Exchange(answering(200, b"y" * 1_000_000), excerpt=100)
    headers = {f"x_{number}": "v" * 10_000 for number in range(500)}
    await exchange.send(scope(query="q=" + "z" * 60_000, **headers), body(b"x" * 1_000_000))
    limit = masking.HEADERS_KEPT * (masking.VALUE_KEPT + 100) + masking.VALUE_KEPT + 2_000
    assert len(json.dumps(exchange.journal.har())) < limit


async def test_only_the_newest_are_kept() -> None:
    exchange = Exchange(answering(), capacity=3)
    for _ in range(10):
        await exchange.send(scope())
    assert [entry.sequence for entry in exchange.journal.entries] == [8, 9, 10]
    assert len(exchange.observed) == 10


async def test_a_request_in_flight_is_shown_as_such() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answering(200, b"{}")(scope, receive, send)

    exchange = Exchange(app)
    request = asyncio.create_task(exchange.send(scope()))
    await asyncio.sleep(0)
    assert (exchange.one()["inFlight"], exchange.one()["status"]) == (True, 0)
    assert not exchange.journal.entries[0].failed
    assert "not finished" in exchange.har()["comment"]
    go_on.set()
    await request
    assert (exchange.one()["inFlight"], exchange.one()["status"]) == (False, 200)


async def test_one_that_breaks_off_failed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError("cut")

    exchange = Exchange(app)
    with pytest.raises(ConnectionResetError):
        await exchange.send(scope())
    assert exchange.journal.entries[0].failed
    assert exchange.har()["comment"] == "ConnectionResetError: cut"
    assert exchange.observed == [("python", 0)]


async def test_a_websocket_is_an_exchange_with_its_messages_counted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-a", b"b")]})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] * 2})

    exchange = Exchange(app)
    await exchange.send(
        scope("websocket", sec_websocket_key="shown"),
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "one"},
        {"type": "websocket.receive", "text": "three"},
        {"type": "websocket.disconnect", "code": 1000},
    )
    one = exchange.one()
    assert (one["method"], one["status"], one["frames"]) == ("GET", 101, {"in": 2, "out": 2})
    assert (one["requestSize"], one["responseSize"]) == (8, 16)
    assert one["url"].startswith("ws://")
    assert exchange.har()["_webSocketFrames"] == {"in": 2, "out": 2}
    assert exchange.observed == []  # how long a conversation lasts is no latency


async def test_the_admin_api_is_not_recorded() -> None:
    exchange = Exchange(answering())
    await exchange.send({**scope(), "path": "/.emulator/token"})
    assert exchange.journal.entries == []
