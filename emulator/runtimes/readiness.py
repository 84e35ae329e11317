"""Waiting until an instance can serve, with a reason when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from emulator.resources.model import Probe
from emulator.runtimes.base import Address, RuntimeFailure

FIRST_PAUSE = 0.01
LAST_PAUSE = 0.25
ATTEMPT_TIMEOUT = 5.0


class NotReady(RuntimeFailure):
    """An instance did not answer in time, or ended while it was waited for."""


async def wait_until_ready(
    address: Address, probe: Probe | None, at_most: float, ended: Callable[[], Awaitable[str | None]]
) -> None:
    """Return once `probe` succeeds (or, without one, once the port takes a connection).

    `ended` tells why the instance is over, or None while it runs; it is asked now and then. Raises
    `NotReady` with what was waited for and the last thing seen, after `at_most` real seconds.
    """
    deadline = time.monotonic() + at_most
    pause, seen, next_look = FIRST_PAUSE, "nothing yet", time.monotonic() + 0.2
    while True:
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                seen = await check(address, probe)
            if seen == "":
                return
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            seen = f"{type(error).__name__}: {error}".rstrip(": ")
        now = time.monotonic()
        if now > next_look:
            next_look = now + 0.5
            if (why := await ended()) is not None:
                raise NotReady(f"ended before it was ready: {why}")
        if now > deadline:
            raise NotReady(
                f"not ready after {at_most:g} s of waiting for {_named(address, probe)}; last: {seen}"
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, LAST_PAUSE)


def _named(address: Address, probe: Probe | None) -> str:
    where = address.uds or address.url
    return f"GET {probe.path} on {where}" if probe else f"a connection to {where}"


async def check(address: Address, probe: Probe | None) -> str:
    """One attempt: `""` for success, otherwise what was seen. Raises OSError when nothing listens."""
    if address.uds is not None:
        reader, writer = await asyncio.open_unix_connection(address.uds)
    else:
        host, port = address.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, probe.port if probe else int(port))
    try:
        if probe is None:
            return ""
        lines = [f"GET {probe.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in probe.headers]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status = (await reader.readline()).decode("latin-1").split(" ")
        if len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400:
            return ""
        rest = await reader.read(2000)
        body = rest.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip()
        return f"{' '.join(status).strip()} {body}".strip() or "the connection was closed without an answer"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
