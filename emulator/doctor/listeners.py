"""Listeners on this host's loopback and on bridges the emulator made, to see who can reach them."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator


class Listeners:
    """TCP listeners by address; each answers everybody with `nonce` and closes."""

    def __init__(self) -> None:
        self.nonce = f"listener-{secrets.token_hex(8)}"
        self.ports: dict[str, int] = {}
        self._sockets: list[socket.socket] = []

    def open(self, address: str) -> int | None:
        """Listen on a free port of `address`; None if this host does not have that address."""
        if address in self.ports:
            return self.ports[address]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.create_server((address, 0), family=family)
        except OSError:
            return None
        self._sockets.append(listener)
        self.ports[address] = int(listener.getsockname()[1])
        threading.Thread(target=self._answer, args=(listener,), daemon=True).start()
        return self.ports[address]

    def _answer(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                # Closing with some of the request unread resets the connection, and the answer is lost.
                for line in connection.makefile("rb"):
                    if not line.strip():
                        break
                connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{self.nonce}\n".encode())

    def close(self) -> None:
        for listener in self._sockets:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@contextlib.contextmanager
def listening() -> Iterator[Listeners]:
    """Listeners that are gone after the block."""
    listeners = Listeners()
    try:
        yield listeners
    finally:
        listeners.close()
