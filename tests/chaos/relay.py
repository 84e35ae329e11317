"""A door between an emulator and its engine: it counts what is asked, and cuts or stalls the event stream."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Any

_REQUEST = re.compile(rb"^(GET|HEAD|POST|PUT|DELETE) (?:/v[\d.]+)?(/\S*) HTTP/1\.", re.MULTILINE)


class _Pair:
    """One connection of the emulator's, and ours to the engine for it."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.events = False
        self.stalled = False

    def cut(self) -> None:
        for one in (self.near, self.far):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Relay:
    """Listens on a Unix socket in `folder` and carries everything to the engine at `host`.

    `asked`: method and path of every request, in their order.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self.path = folder / "relay.sock"
        self.host = f"unix://{self.path}"
        self.asked: list[str] = []
        self._far = host.removeprefix("unix://")
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(100)
        self._spawn(self._accept)

    def _spawn(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._far)
            except OSError:
                near.close()
                far.close()
                continue
            pair = _Pair(near, far)
            self._pairs.append(pair)
            self._spawn(self._carry, pair, near, far)
            self._spawn(self._carry, pair, far, near)

    def _carry(self, pair: _Pair, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if source is pair.near:
                    self._note(pair, data)
                elif pair.stalled:
                    continue
                to.sendall(data)
        pair.cut()

    def _note(self, pair: _Pair, data: bytes) -> None:
        for found in _REQUEST.finditer(data):
            method, path = found[1].decode(), found[2].decode()
            self.asked.append(f"{method} {path}")
            pair.events = path.startswith("/events")

    def _streams(self) -> list[_Pair]:
        return [pair for pair in self._pairs if pair.events]

    def cut_events(self) -> None:
        """The event stream's connection is closed; everything else goes on."""
        for pair in self._streams():
            pair.cut()

    def stall_events(self) -> None:
        """The event stream stays open, and nothing comes through it any more."""
        for pair in self._streams():
            pair.stalled = True

    def count(self, pattern: str) -> int:
        """How many requests so far match (a regular expression over method and path)."""
        return sum(re.search(pattern, one) is not None for one in self.asked)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            pair.cut()
        for thread in self._threads:
            thread.join(10)
        for pair in self._pairs:
            pair.near.close()
            pair.far.close()
