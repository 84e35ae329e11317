"""Listening: sockets of our own, so that a port in use is a clear error and `--port 0` tells its port."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from emulator.errors import ConfigurationError
from emulator.http.protocol import CuttableProtocol

GRACE_SECONDS = 2
"""How long requests in flight may take to finish once the emulator was asked to stop."""


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the emulator stops sessions first, then the listeners."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(hosts: list[str], port: int, flag: str) -> list[socket.socket]:
    """Sockets on `port` of each host; 0 picks one that is free on all. Raises `ConfigurationError`."""
    sockets: list[socket.socket] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port or (sockets[0].getsockname()[1] if sockets else 0)))
        except OSError as error:
            for opened in (*sockets, sock):
                opened.close()
            raise ConfigurationError(_why(error, host, port, flag)) from error
        sockets.append(sock)
    return sockets


def _why(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{flag} {port}: something else listens on {host}:{port}; give another port, or 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return f"{flag} {port}: this user may not listen on {host}:{port}; give a port above 1023"
    return f"{flag} {port}: cannot listen on {host}:{port}: {error.strerror}"


def make_server(app: ASGIApp, *, certificate: tuple[Path, Path] | None = None) -> Server:
    """A server for `app`; `certificate` is (chain, key) in PEM for HTTPS."""
    config = uvicorn.Config(
        app,
        http=CuttableProtocol,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # the admin API asks who really calls
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
        ws_max_size=16 * 1024 * 1024,
        ssl_certfile=str(certificate[0]) if certificate else None,
        ssl_keyfile=str(certificate[1]) if certificate else None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    return Server(config)


def own_addresses(host: str) -> list[str]:
    """Where to listen for `host`.

    Inside a container `0.0.0.0` would also answer on the networks of sessions, where hostile code is; so
    there it means loopback and the address of the container's first network.
    """
    if host == "0.0.0.0" and Path("/.dockerenv").exists():  # noqa: S104
        return ["127.0.0.1", socket.gethostbyname(socket.gethostname())]
    return [host]
