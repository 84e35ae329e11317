"""One living kernel: prepared, running code within limits, interrupted or ended when it does not obey."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import signal
from typing import Any

from .client import KernelClient, Run
from .languages import Language, language
from .output import Collector
from .process import Death, KernelProcess

_FEATURE = "kernel subshells"
_EXITING_GRACE = 2.0


class Ending(enum.Enum):
    """How a run ended."""

    FINISHED = "finished"
    TIMED_OUT = "timed out"
    TIMED_OUT_AND_KILLED = "timed out and killed"
    DIED = "died"


class KernelInstance:
    """A kernel process with its connection. `death` is done once the process is gone."""

    def __init__(self, process: KernelProcess, grace: float) -> None:
        self.process = process
        self.language: Language = language(process.launch.spec.language)
        self.info: dict[str, Any] = {}
        self.running = 0
        self._grace = grace
        self._in_turn: set[Run] = set()
        self._client = KernelClient(process)
        self._worker: asyncio.Task[None] | None = None
        self.death: asyncio.Task[Death] = asyncio.create_task(self._watch())

    @property
    def subshells(self) -> bool:
        """Whether the kernel can run code beside other code."""
        return _FEATURE in (self.info.get("supported_features") or ())

    @property
    def others_busy(self) -> bool:
        """Whether it runs code of another client: a person in Jupyter."""
        return self._client.others_busy

    async def prepare(self) -> None:
        """Waits until the kernel answers and is set up; ConnectionError when it dies first."""
        setup = self.language.setup()
        # Sent before the kernel is known to answer: everything queues until its sockets are open.
        prepared = self._client.execute(setup, None, silent=True) if setup else None
        self.info = await self._client.ready()
        named = language(str((self.info.get("language_info") or {}).get("name", "")))
        if type(self.language) is Language and type(named) is not Language:
            self.language = named
            prepared = self._client.execute(code, None, silent=True) if (code := named.setup()) else None
        if prepared is not None:
            await self._silently(prepared)
        if self.language.worker:
            await self._silently(self._client.execute("", None, silent=True))  # its worker runs after this
            self._worker = asyncio.create_task(self.process.wait_for_worker())

    async def probe(self, code: str) -> dict[str, Any]:
        """Runs code silently and returns the kernel's reply; ConnectionError when it dies."""
        return await self._silently(self._client.execute(code, None, silent=True))

    async def execute(
        self, code: str, collector: Collector, seconds: float, *, aside: bool = False
    ) -> Ending:
        """Runs code for at most that many seconds.

        `aside` runs it beside the others where the kernel has subshells; other kernels take it in their own
        order. When time is up the code is interrupted, and the kernel killed if it does not react.
        """
        self.running += 1
        try:
            if aside and self.subshells:
                return await self._in_subshell(code, collector, seconds)
            return await self._in_main(code, collector, seconds)
        except ConnectionError:
            await asyncio.wait([self.death])
            return Ending.DIED
        finally:
            self.running -= 1

    def close(self) -> None:
        """Ends the kernel; `death` tells when it is gone."""
        self.process.kill()

    async def _in_main(self, code: str, collector: Collector, seconds: float) -> Ending:
        run = self._client.execute(code, collector)
        try:
            others = bool(self._in_turn)
            self._in_turn.add(run)
            if others:
                # A kernel without subshells has another run to finish, with a limit of its own: the time
                # of this one begins with its turn, else the interrupt would hit the other.
                turn: list[asyncio.Future[Any]] = [run.started, run.reply]
                await asyncio.wait(turn, return_when=asyncio.FIRST_COMPLETED)
            try:
                reply = await asyncio.wait_for(run.finished(), seconds)
            except TimeoutError:
                return await self._stop(run)
            await self._after(reply)
            return Ending.FINISHED
        finally:
            self._in_turn.discard(run)
            self._client.forget(run)

    async def _stop(self, run: Run) -> Ending:
        run.collector = None  # the interrupt's own traceback is nobody's output
        if self.language.interruptible:
            await self._interrupt()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(run.finished(), self._grace)
                return Ending.TIMED_OUT
        self.process.kill()
        await asyncio.wait([self.death])
        return Ending.TIMED_OUT_AND_KILLED

    async def _interrupt(self) -> None:
        if self.process.launch.spec.interrupt_by_message:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._client.request("interrupt_request", {}, control=True), self._grace
                )
        else:
            self.process.signal(signal.SIGINT)

    async def _after(self, reply: dict[str, Any]) -> None:
        """`exit()` in ipykernel is answered first and ends the kernel a moment later: wait for it."""
        payload = reply.get("payload")
        if isinstance(payload, list) and any(
            isinstance(item, dict) and item.get("source") == "ask_exit" and not item.get("keepkernel")
            for item in payload
        ):
            await asyncio.wait([self.death], timeout=_EXITING_GRACE)

    async def _in_subshell(self, code: str, collector: Collector, seconds: float) -> Ending:
        created = await self._client.request("create_subshell_request", {}, control=True)
        subshell = str(created.get("subshell_id", ""))
        run = self._client.execute(code, collector, subshell=subshell)
        try:
            try:
                await asyncio.wait_for(run.finished(), seconds)
                return Ending.FINISHED
            except TimeoutError:
                run.collector = None
                # Only Python code reacts; what is deep in a library ends by itself, beside the others.
                code_to_stop = self.language.interrupt(subshell)
                if code_to_stop is not None:
                    stopping = self._client.execute(code_to_stop, None, silent=True, subshell=None)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stopping.finished(), self._grace)
                        await asyncio.wait_for(run.finished(), self._grace)
                    self._client.forget(stopping)
                return Ending.TIMED_OUT
        finally:
            self._client.forget(run)
            self._drop_subshell(subshell, run)

    def _drop_subshell(self, subshell: str, run: Run) -> None:
        """Ends the thread, once it is free: ipykernel would wait for it and answer nothing else meanwhile."""

        def drop(done: asyncio.Future[Any]) -> None:
            if done.cancelled() or done.exception() is not None or self.death.done():
                return
            deleting = asyncio.ensure_future(
                self._client.request("delete_subshell_request", {"subshell_id": subshell}, control=True)
            )
            deleting.add_done_callback(lambda future: future.cancelled() or future.exception())

        if run.reply.done():
            drop(run.reply)

    async def _silently(self, run: Run) -> dict[str, Any]:
        try:
            return await run.finished()
        finally:
            self._client.forget(run)

    async def _watch(self) -> Death:
        try:
            return await self.process.wait()
        finally:
            if self._worker is not None:
                self._worker.cancel()
            self._client.close()
