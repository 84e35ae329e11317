"""Requests, byte for byte, of published clients that no package registry carries; taken from their source."""

from __future__ import annotations

import json
import socket
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import Emulator

pytestmark = pytest.mark.engine

OLD, NEW = "2024-02-02-preview", "2024-10-02-preview"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """Sends exactly these bytes: no client library tidies a path, a header or a body."""

    def __init__(self, emulator: Emulator, pool: str) -> None:
        where = urlsplit(emulator.endpoint(pool))
        self.host, self.port, self.base = str(where.hostname), int(where.port or 80), where.path
        self.token = emulator.token
        self.session = f"replay-{uuid.uuid4().hex}"

    def __call__(
        self, method: str, target: str, body: bytes = b"", content_type: str = "", **headers: str
    ) -> Answer:
        lines = [f"{method} {self.base}{target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"Authorization: Bearer {self.token}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        if method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        with socket.create_connection((self.host, self.port), timeout=60) as link:
            link.sendall(request)
            received = b"".join(iter(lambda: link.recv(65536), b""))
        head, _, rest = received.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            rest = unchunked(rest)
        return Answer(int(head.split(b" ", 2)[1]), rest)

    def post_json(self, target: str, body: object, **headers: str) -> Answer:
        text = json.dumps(body).encode()
        return self("POST", target, text, "application/json", **headers)


def unchunked(rest: bytes) -> bytes:
    whole = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, rest = whole + rest[:length], rest[length + 2 :]


@pytest.fixture
def wire(served: Emulator) -> Wire:
    return Wire(served, "python")


def test_langchain_javascript(wire: Wire) -> None:
    agent = "langchain-azure-dynamic-sessions/0.2.0 (Language=JavaScript; node.js/v20.11.0; linux; x64)"
    query = f"identifier={wire.session}&api-version={OLD}"
    body = {"properties": {"codeInputType": "inline", "executionType": "synchronous", "code": "1+1"}}
    ran = wire.post_json(f"/code/execute?{query}", body, User_Agent=agent)
    properties = ran.json()["properties"]
    assert (ran.status, properties["result"], properties["stdout"], properties["stderr"]) == (200, 2, "", "")
    form = (
        b"------formdata-undici-012345678901\r\n"
        b'Content-Disposition: form-data; name="file"; filename="t\xc3\xa9st.txt"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\nhello\r\n"
        b"------formdata-undici-012345678901--\r\n"
    )
    kind = "multipart/form-data; boundary=----formdata-undici-012345678901"
    sent = wire("POST", f"/files/upload?{query}", form, kind, User_Agent=agent)
    file = sent.json()["value"][0]["properties"]
    assert (sent.status, file["filename"], file["size"]) == (200, "tést.txt", 5)
    assert wire("GET", f"/files/content/t%C3%A9st.txt?{query}", User_Agent=agent).body == b"hello"
    listed = wire("GET", f"/files?{query}", User_Agent=agent).json()["value"]
    assert [entry["properties"]["filename"] for entry in listed] == ["tést.txt"]


def test_semantic_kernel_dotnet_first_generation(wire: Wire) -> None:
    """The identifier is only in the body, the answer flat, and `//files` has two slashes."""
    properties = {
        "identifier": wire.session,
        "codeInputType": "inline",
        "executionType": "synchronous",
        "pythonCode": "print('hi'); open('/mnt/data/a.txt', 'w').write('abc')",
        "timeoutInSeconds": 100,
    }
    ran = wire.post_json(f"/python/execute?api-version={OLD}", {"properties": properties})
    found = ran.json()
    assert (ran.status, found["status"], found["stdout"], found["stderr"]) == (200, "Success", "hi\n", "")
    assert found["result"] == 3, found
    query = f"identifier={wire.session}&api-version={OLD}"
    listed = wire("GET", f"//files?{query}").json()["value"]
    assert [entry["properties"]["filename"] for entry in listed] == ["a.txt"]
    assert wire("GET", f"/python/downloadFile?{query}&filename=a.txt").body == b"abc"
    form = (
        b"--b1\r\nContent-Disposition: form-data; name=file; filename=b.txt; filename*=utf-8''b.txt\r\n"
        b"\r\nsecond\r\n--b1--\r\n"
    )
    sent = wire("POST", f"/python/uploadFile?{query}", form, 'multipart/form-data; boundary="b1"')
    assert sent.status == 200, sent
    assert wire("GET", f"/python/downloadFile?{query}&filename=b.txt").body == b"second"


def test_semantic_kernel_dotnet_current(wire: Wire) -> None:
    """Unquoted multipart names, a quoted boundary, answers read with GetProperty: every key must be there."""
    query = f"identifier={wire.session}&api-version={NEW}"
    body = {
        "identifier": wire.session,
        "codeInputType": "Inline",
        "executionType": "Synchronous",
        "timeoutInSeconds": 100,
        "code": "print('hi')\n6*7",
    }
    ran = wire.post_json(f"/executions?{query}", body)
    found = ran.json()
    assert ran.status in (200, 202) and found["status"] == "Succeeded"
    assert {key: found["result"][key] for key in ("executionResult", "stdout", "stderr")} == {
        "executionResult": 42,
        "stdout": "hi\n",
        "stderr": "",
    }
    boundary = str(uuid.uuid4())
    form = (
        f"--{boundary}\r\nContent-Disposition: form-data; name=file; filename=test.txt; "
        f"filename*=utf-8''test.txt\r\n\r\nhello\r\n--{boundary}--\r\n"
    ).encode()
    sent = wire("POST", f"/files?{query}", form, f'multipart/form-data; boundary="{boundary}"')
    file = sent.json()
    assert sent.status in (200, 201, 202) and (file["name"], file["sizeInBytes"]) == ("test.txt", 5)
    listed = wire("GET", f"/files?{query}").json()["value"]
    assert [(entry["name"], entry["type"].lower()) for entry in listed] == [("test.txt", "file")]
    assert "T" in listed[0]["lastModifiedAt"] and listed[0]["contentType"]
    assert wire("GET", f"/files/test.txt/content?{query}").body == b"hello"


def test_langchain4j(wire: Wire) -> None:
    """The identifier is form-encoded, so a space is a plus; the uploaded part says it is JSON."""
    query = f"api-version={OLD}&identifier=two+words"
    body = {"properties": {"codeInputType": "inline", "executionType": "synchronous", "code": "x = 1"}}
    refused = wire.post_json(f"/code/execute?{query}", body)
    assert refused.status == 400 and "' '" in refused.json()["error"]["message"], "read as a blank"
    query = f"api-version={OLD}&identifier={wire.session}"
    ran = wire.post_json(f"/code/execute?{query}", body)
    assert (ran.status, ran.json()["properties"]["status"]) == (200, "Success")
    form = (
        b"--WebKitFormBoundary7MA4YWxkTrZu0gW\r\n"
        b'Content-Disposition: form-data; name="file"; filename="data.json"\r\n'
        b'Content-Type: application/json\r\n\r\n{"a": 1}\r\n'
        b"--WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n"
    )
    kind = "multipart/form-data; boundary=WebKitFormBoundary7MA4YWxkTrZu0gW"
    file = wire("POST", f"/files/upload?{query}", form, kind).json()["value"][0]["properties"]
    assert (file["filename"], file["size"]) == ("data.json", 8)
    assert wire("GET", f"/files/content/data.json?{query}").body == b'{"a": 1}'


def test_containerapp_extension(wire: Wire) -> None:
    """`az containerapp session code-interpreter …`: empty `path=`, a part without Content-Type, DELETE."""
    query = f"identifier={wire.session}&api-version={OLD}"
    body = {
        "properties": {
            "identifier": wire.session,
            "codeInputType": "inline",
            "executionType": "synchronous",
            "code": "print('from az')",
            "timeoutInSeconds": 60,
        }
    }
    ran = wire.post_json(f"/code/execute?{query}", body)
    assert (ran.status, ran.json()["properties"]["stdout"]) == (200, "from az\n")
    form = (
        b"--3f6c\r\nContent-Disposition: form-data; "
        b'name="file"; filename="up.txt"\r\n\r\nline 1\nline 2\n\r\n--3f6c--\r\n'
    )
    sent = wire("POST", f"/files/upload?{query}&path=", form, "multipart/form-data; boundary=3f6c")
    assert (sent.status, sent.json()["value"][0]["properties"]["filename"]) == (200, "up.txt")
    listed = wire("GET", f"/files?{query}&path=").json()["value"]
    assert [entry["properties"]["filename"] for entry in listed] == ["up.txt"]
    assert wire("GET", f"/files/content/up.txt?{query}").body == b"line 1\nline 2\n"
    assert wire("GET", f"/files/up.txt?{query}").json()["value"][0]["properties"]["size"] == 14
    assert wire("DELETE", f"/files/up.txt?{query}").status in (200, 204)
    assert wire("GET", f"/files?{query}&path=").json()["value"] == []


def test_containerapp_extension_newer(wire: Wire) -> None:
    query = f"identifier={wire.session}&api-version=2025-02-02-preview"
    body = {"codeInputType": "inline", "executionType": "synchronous", "code": "1/0", "timeoutInSeconds": 60}
    failed = wire.post_json(f"/executions?{query}", body)
    assert failed.status in (200, 202) and failed.json()["status"] == "Failed"
    assert "ZeroDivisionError" in failed.json()["result"]["stderr"]
    form = (
        b'--3f6c\r\nContent-Disposition: form-data; name="file"; filename="up.txt"\r\n\r\nabc\r\n--3f6c--\r\n'
    )
    kind = "multipart/form-data; boundary=3f6c"
    sent = wire("POST", f"/files?path=%2F&{query}", form, kind)
    assert (sent.status, sent.json()["name"]) == (200, "up.txt")
    assert wire("GET", f"/files/up.txt/content?path=&{query}").body == b"abc"
    wrapped = wire.post_json(f"/executions?{query}", {"properties": body})
    assert (wrapped.status, wrapped.json()["error"]["code"]) == (400, "SessionPropertiesMissing")
