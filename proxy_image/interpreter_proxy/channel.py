"""A ZeroMQ socket on the event loop: every message handed to a function as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import zmq

# Messages handled before the loop gets its turn; a kernel that prints in a tight loop sends thousands.
_BATCH = 64
# Messages waiting in ZeroMQ before a slow reader makes the kernel drop some.
_QUEUE = 10_000

Handler = Callable[[Sequence[Any]], Awaitable[None] | None]


class Channel:
    """One connected socket. The handler may return an awaitable: nothing more is read until it is done."""

    def __init__(self, context: zmq.Context[Any], kind: int, address: str, handler: Handler) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._socket = context.socket(kind)
        self._socket.linger = 0
        self._socket.rcvhwm = _QUEUE
        # The kernel makes its sockets while it starts; the default of 100 ms would be added to every start.
        self._socket.reconnect_ivl = 4
        if kind == zmq.SUB:
            self._socket.subscribe(b"")
        self._socket.connect(address)
        self._descriptor = self._socket.getsockopt(zmq.FD)
        self._slow: asyncio.Future[None] | None = None
        self._loop.add_reader(self._descriptor, self._drain)
        self._drain()

    @property
    def busy(self) -> bool:
        """Whether the handler is still at a message, with others perhaps waiting behind it."""
        return self._slow is not None

    def send(self, frames: Sequence[bytes]) -> None:
        """Queues one message; it leaves when the kernel has its socket open."""
        self._socket.send_multipart(frames, zmq.NOBLOCK)
        # Sending may swallow the descriptor's edge, so look for messages that have come meanwhile.
        self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Closes the socket; what has not left is dropped."""
        if not self._socket.closed:
            self._loop.remove_reader(self._descriptor)
            self._socket.close()
        if self._slow is not None:
            self._slow.cancel()

    def _drain(self) -> None:
        for _ in range(_BATCH):
            if self._slow is not None or self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            slow = self._handler(frames)
            if slow is not None:
                self._loop.remove_reader(self._descriptor)
                self._slow = asyncio.ensure_future(slow)
                self._slow.add_done_callback(self._resume)
                return
        self._loop.call_soon(self._drain)

    def _resume(self, done: asyncio.Future[None]) -> None:
        self._slow = None
        if done.cancelled() or self._socket.closed:
            return
        self._loop.add_reader(self._descriptor, self._drain)
        self._drain()
        done.result()
