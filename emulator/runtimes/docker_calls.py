"""Blocking calls to a Docker Engine, in threads, so that an engine that hangs makes nobody wait long."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from docker import errors as docker_errors

from emulator import tracing
from emulator.runtimes.base import RuntimeFailure, RuntimeUnavailable

log = logging.getLogger("emulator.runtimes.docker")

T = TypeVar("T")
AT_ONCE = 32
"""Calls under way at a time; the engine itself does most of them one after the other."""

ANOTHER_LOOK = 0.5
"""Real seconds between two questions whether a silent engine answers again."""


class Calls:
    """Runs calls in threads of their own; a call may take long as long as the engine answers `ping`.

    `patience`: real seconds after which a call that has not returned makes us ask, and after which that
    question counts as not answered. From then on every call fails at once, until the engine answers again:
    so nobody waits for more than twice that, and threads do not pile up. A call that was given up goes on
    in its thread, which ends with the engine's answer or docker-py's own time limit.
    """

    def __init__(self, ping: Callable[[], object], patience: float) -> None:
        self._ping = ping
        self._patience = patience
        self._room = asyncio.Semaphore(AT_ONCE)
        self._silent: str | None = None
        self._asking: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def run(self, call: Callable[..., T], *args: Any, **keywords: Any) -> T:
        """What `call` returns.

        Raises `RuntimeUnavailable` when the engine does not answer, `RuntimeFailure` with its words for what
        it refuses; `ImageNotFound` passes as it is.
        """
        work = functools.partial(call, *args, **keywords)
        self._fail_if_silent()
        async with self._room:
            self._fail_if_silent()
            future = _in_thread(work)
            while not future.done():
                await asyncio.wait({future}, timeout=self._patience)
                if not future.done():
                    await self.ask()
        return _result(future)

    async def ask(self) -> None:
        """Return if the engine answers now. Raises `RuntimeUnavailable`."""
        self._fail_if_silent()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="engine ping")
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        future = _in_thread(self._ping)
        await asyncio.wait({future}, timeout=self._patience)
        if future.done():
            _result(future)
            return
        self._silent = f"the Docker Engine takes requests but has not answered for {self._patience:g} s"
        log.warning("%s; asking until it does", self._silent)
        with tracing.apart():  # it goes on for longer than the request that noticed
            self._waiting = asyncio.create_task(self._until_it_answers(future), name="engine silent")
        self._fail_if_silent()

    async def _until_it_answers(self, future: asyncio.Future[Any]) -> None:
        while True:
            await asyncio.wait({future})  # one question at a time, however long it takes
            with contextlib.suppress(RuntimeFailure):
                _result(future)
                break
            await asyncio.sleep(ANOTHER_LOOK)
            future = _in_thread(self._ping)
        self._silent = None
        log.warning("the Docker Engine answers again")

    def _fail_if_silent(self) -> None:
        if self._silent is not None:
            raise RuntimeUnavailable(self._silent)

    def close(self) -> None:
        """Stop asking; calls under way are left to their threads."""
        if self._waiting is not None:
            self._waiting.cancel()


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run `work` in a daemon thread: one that hangs must not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()  # what the call logs belongs to the request it is made for
    # Nobody may be left to take the outcome: a call that was given up on fails in silence.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(put: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            put(value)

    def run() -> None:
        put: Callable[[Any], None] = future.set_result
        try:
            value: Any = context.run(work)
        except Exception as error:
            put, value = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, put, value)

    threading.Thread(target=run, name="docker-call", daemon=True).start()
    return future


def _result(future: asyncio.Future[T]) -> T:
    try:
        return future.result()
    except docker_errors.ImageNotFound:
        raise
    except docker_errors.APIError as error:
        raise RuntimeFailure(str(error.explanation or error)) from error
    except (requests.RequestException, docker_errors.DockerException, OSError) as error:
        raise unavailable(error) from error


def unavailable(error: BaseException) -> RuntimeUnavailable:
    """What a person needs of docker-py's nested errors: the innermost reason."""
    seen: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in seen:
        seen.append(inner)
        nested = [one for one in inner.args if isinstance(one, BaseException)]
        inner = nested[-1] if nested else (inner.__cause__ or inner.__context__)
    words = [one.strerror or str(one) for one in seen if isinstance(one, OSError)]
    return RuntimeUnavailable(f"the Docker Engine does not answer: {words[-1] if words else error}")
