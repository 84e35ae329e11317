"""One HTTP exchange at a time, with nothing but the standard library."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from emulator.conformance.row import Stream


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` when it is none."""
        return json.loads(self.raw)


class NoAnswer(Exception):
    """The connection could not be made, broke, or stayed silent."""


def exchange(
    origin: str,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes | Stream | None,
    chunked: bool = False,
    seconds: float = 300,
) -> Answer:
    """Send one request to `origin` (scheme, host, port) on a connection of its own. Raises `NoAnswer`."""
    parts = urlsplit(origin)
    assert parts.hostname is not None  # noqa: S101 - the command line has checked it
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        _send(connection, method, target, headers, body, chunked)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    except (OSError, HTTPException) as failure:
        raise NoAnswer(f"{type(failure).__name__}: {failure}") from failure
    finally:
        connection.close()


def _send(
    connection: HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Stream | None,
    chunked: bool,
) -> None:
    named = {name.lower() for name in headers}
    connection.putrequest(method, target, skip_host="host" in named, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value.encode("utf-8"))
    chunked = chunked or (isinstance(body, Stream) and body.chunked)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    elif body is not None or method in ("POST", "PUT", "PATCH"):
        length = body.length if isinstance(body, Stream) else len(body or b"")
        connection.putheader("Content-Length", str(length))
    connection.endheaders()
    blocks = body.blocks() if isinstance(body, Stream) else iter([body] if body else [])
    try:
        for block in blocks:
            connection.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked and block else block)
        if chunked:
            connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # a server may answer and close before it has read everything, as for 413
