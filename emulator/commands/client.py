"""How verbs talk to a running emulator: plain HTTP from the standard library, so that they start at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

DEFAULT = "http://127.0.0.1:7480"
ADMIN_KEY = "x-emulator-admin-key"


class CommandFailed(Exception):
    """A verb could not do what was asked; the message is for the person who typed it."""


class Client:
    """Requests to one emulator, over its plain HTTP endpoint."""

    def __init__(self, endpoint: str, admin_key: str | None = None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.hostname:
            raise CommandFailed(f"--endpoint {endpoint}: must look like {DEFAULT}")
        self.endpoint = endpoint.rstrip("/")
        self._host, self._port = parts.hostname, parts.port or 80
        self._headers = {ADMIN_KEY: admin_key} if admin_key else {}

    def open(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 700,
    ) -> HTTPResponse:
        """Send a request and return the answer, unread, whatever its status."""
        connection = HTTPConnection(self._host, self._port, timeout=timeout)
        sent = {"connection": "close", **self._headers, **(headers or {})}
        try:
            connection.request(method, path, body=body, headers=sent)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            raise CommandFailed(
                f"no emulator answers on {self.endpoint} ({error}); start one with 'dynamic-sessions up', "
                "or name another with --endpoint"
            ) from error

    def call(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """A JSON exchange. Raises `CommandFailed` with the service's own message for an error answer."""
        body = None if document is None else json.dumps(document)
        sent = {"content-type": "application/json"} if document is not None else {}
        answer = self.open(method, path, body=body, headers={**sent, **headers})
        raw = answer.read()
        if answer.status >= 400 and not (path.endswith(("/status", "/ready")) and answer.status == 503):
            raise CommandFailed(explain(answer, raw))
        return json.loads(raw) if raw[:1] in (b"{", b"[") else raw.decode("utf-8", "replace")

    def token(self) -> str:
        found = self.call("GET", "/.emulator/token")
        return str(found["accessToken"])


def explain(answer: HTTPResponse, raw: bytes) -> str:
    """An error answer in one line: status, code, message, and the emulator's own reason."""
    try:
        body = json.loads(raw)
        error = body.get("error", body)
        text = f"{error.get('code', '')}: {error.get('message', error.get('title', ''))}"
    except (ValueError, AttributeError):
        text = raw.decode("utf-8", "replace")[:300] or "(empty body)"
    reason = answer.getheader("x-emulator-reason")
    return f"{answer.status} {text}" + (f" [{reason}]" if reason else "")


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("DYNAMIC_SESSIONS_ENDPOINT", DEFAULT),
        help=f"the running emulator (default {DEFAULT}, or DYNAMIC_SESSIONS_ENDPOINT)",
    )
    parser.add_argument(
        "--admin-key",
        default=os.environ.get("DYNAMIC_SESSIONS_ADMIN_KEY"),
        help="key of an emulator that does not listen on loopback (or DYNAMIC_SESSIONS_ADMIN_KEY)",
    )


def connect(options: argparse.Namespace) -> Client:
    return Client(options.endpoint, options.admin_key)


def pool_path(client: Client, name: str | None) -> str:
    """Path of a pool's management endpoint; without a name: of the first pool."""
    pools = client.call("GET", "/.emulator/status")["pools"]
    for pool in pools:
        if name is None or pool["name"].lower() == name.lower():
            return str(pool["endpoint"])
    there = ", ".join(pool["name"] for pool in pools) or "none"
    raise CommandFailed(f"--pool {name}: there is no such pool; the emulator has: {there}")


def query(**values: str | None) -> str:
    return urlencode({name.replace("_", "-"): value for name, value in values.items() if value is not None})


def segment(text: str) -> str:
    return quote(text, safe="")


def show(document: Any) -> None:
    """Print JSON for people and for jq, or text as it is."""
    if isinstance(document, str):
        sys.stdout.write(document if document.endswith("\n") else document + "\n")
    else:
        print(json.dumps(document, indent=2, ensure_ascii=False))
