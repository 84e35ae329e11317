"""Asking one kernel to run code, and telling apart what each run puts out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any

import zmq

from . import wire
from .channel import Channel
from .output import Collector
from .process import KernelProcess

# How long a finished run waits for its last output when the kernel's "idle" does not come: a kernel drops
# messages when it prints faster than anybody can read.
_IDLE_GRACE = 1.0
_FIRST_WORD = 0.02


class Run:
    """One execute_request: `reply` comes when the code is done, `idle` after its last output."""

    def __init__(self, message_id: str, collector: Collector | None, output: Channel) -> None:
        loop = asyncio.get_running_loop()
        self.message_id = message_id
        self.collector = collector
        self._output = output
        self.reply: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.started: asyncio.Future[None] = loop.create_future()
        self.idle: asyncio.Future[None] = loop.create_future()
        self.last_heard = loop.time()

    async def finished(self) -> dict[str, Any]:
        """Waits for the reply and all output; ConnectionError when the kernel dies first."""
        reply = await asyncio.shield(self.reply)
        loop = asyncio.get_running_loop()
        while self.collector is not None and not self.idle.done():
            if self._output.busy:
                self.last_heard = loop.time()
            left = self.last_heard + _IDLE_GRACE - loop.time()
            if left <= 0:
                break
            await asyncio.wait([self.idle], timeout=left)
        return reply


class KernelClient:
    """The three channels to one kernel process; to be used and closed on the event loop."""

    def __init__(self, process: KernelProcess) -> None:
        self._key = process.spawned.key
        # One thread for ZeroMQ's own work, ended with the kernel it belongs to.
        self._context = zmq.Context()
        self._runs: dict[str, Run] = {}
        self._requests: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._heard = asyncio.Event()
        self._dead = False
        self.others_busy = False
        address = process.spawned.address
        self._iopub = Channel(self._context, zmq.SUB, address("iopub_port"), self._on_iopub)
        self._shell = Channel(self._context, zmq.DEALER, address("shell_port"), self._on_reply)
        self._control = Channel(self._context, zmq.DEALER, address("control_port"), self._on_reply)

    async def ready(self) -> dict[str, Any]:
        """Waits until the kernel answers and its output arrives; returns its kernel_info_reply."""
        info = await self.request("kernel_info_request", {})
        while not self._heard.is_set():
            # The subscription may lag behind: any answered request is followed by a status message.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), _FIRST_WORD)
                break
            await self.request("kernel_info_request", {})
        return info

    def execute(
        self, code: str, collector: Collector | None, *, silent: bool = False, subshell: str | None = None
    ) -> Run:
        """Sends code. A silent run leaves no trace in the kernel's history and needs no collector."""
        if self._dead:
            raise ConnectionError("the kernel is gone")
        run = Run(wire.new_id(), collector, self._iopub)
        self._runs[run.message_id] = run
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        self._shell.send(wire.encode(self._key, "execute_request", content, run.message_id, subshell))
        return run

    def forget(self, run: Run) -> None:
        """What the run still puts out belongs to nobody any more."""
        self._runs.pop(run.message_id, None)

    async def request(self, kind: str, content: dict[str, Any], *, control: bool = False) -> dict[str, Any]:
        """Sends any other request and waits for its reply; ConnectionError when the kernel dies first."""
        if self._dead:
            raise ConnectionError("the kernel is gone")
        message_id = wire.new_id()
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._requests[message_id] = answer
        frames = wire.encode(self._key, kind, content, message_id)
        (self._control if control else self._shell).send(frames)
        try:
            return await answer
        finally:
            self._requests.pop(message_id, None)

    def close(self) -> None:
        """Ends the connection: whoever waits gets a ConnectionError."""
        self._dead = True
        for channel in (self._iopub, self._shell, self._control):
            channel.close()
        self._context.term()
        waiting = [*(run.reply for run in self._runs.values()), *self._requests.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionError("the kernel is gone"))
                future.exception()  # nobody may be waiting: that is no fault to be logged
        self._runs.clear()

    def _on_reply(self, frames: Sequence[Any]) -> None:
        message = wire.decode(frames)
        if message is None:
            return
        if (answer := self._requests.get(message.parent)) is not None and not answer.done():
            answer.set_result(message.content())
        elif (run := self._runs.get(message.parent)) is not None and not run.reply.done():
            if message.kind != "execute_reply":
                return
            run.last_heard = asyncio.get_running_loop().time()
            run.reply.set_result(message.content())

    def _on_iopub(self, frames: Sequence[Any]) -> Awaitable[None] | None:
        self._heard.set()
        message = wire.decode(frames)
        if message is None:
            return None
        run = self._runs.get(message.parent) or self._unclaimed(message)
        if run is None:
            if message.kind == "status" and message.parent not in self._requests:
                self.others_busy = message.content().get("execution_state") == "busy"
            return None
        run.last_heard = asyncio.get_running_loop().time()
        if message.kind == "status":
            state = message.content().get("execution_state")
            future = {"busy": run.started, "idle": run.idle}.get(str(state))
            if future is not None and not future.done():
                future.set_result(None)
        elif run.collector is not None:
            return run.collector.message(message)
        return None

    def _unclaimed(self, message: wire.Message) -> Run | None:
        """Output that names no request belongs to the one run there is."""
        if message.parent or message.kind != "stream":
            return None
        loud = [run for run in self._runs.values() if run.collector is not None]
        return loud[0] if len(loud) == 1 else None
