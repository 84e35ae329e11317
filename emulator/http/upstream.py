"""Connections into sessions: one client a session, so that no connection ever crosses from one to another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from emulator.errors import SessionContainerExited, UpstreamTimeout, UpstreamUnreachable
from emulator.http.tracing import carry
from emulator.pool.session import Session, State
from emulator.runtimes.base import Instance

EXIT_NEWS_SECONDS = 2.0
"""How long a broken connection waits for the runtime to tell that (and how) the container ended."""

# Shorter than the 2 to 5 s after which common servers (gunicorn, uvicorn, Node) close an idle connection: a
# request sent on one that is just being closed would be lost.
KEEP_ALIVE_SECONDS = 1.0


async def _trust(_: Session) -> None:
    return None


class Upstreams:
    """aiohttp clients by session guid. Times in seconds; `read_timeout`: the longest silence inside.

    `doubt` is told of a session that cannot be reached: it finds out whether there still is one.
    """

    def __init__(
        self,
        connect_timeout: float = 5.0,
        read_timeout: float = 240.0,
        doubt: Callable[[Session], Awaitable[None]] = _trust,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._doubt = doubt
        self._clients: dict[str, aiohttp.ClientSession] = {}

    def client(self, instance: Instance) -> aiohttp.ClientSession:
        client = self._clients.get(instance.guid)
        if client is None:
            client = self._clients[instance.guid] = aiohttp.ClientSession(
                connector=_connector(instance),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._connect_timeout, sock_read=self._read_timeout
                ),
                max_line_size=65_536,
                max_field_size=65_536,
            )
            # What a container was sent once it must not be sent twice, not even a GET; aiohttp has no public
            # switch for it.
            client._retry_connection = False
        return client

    @property
    def open(self) -> int:
        """Sessions that have a client."""
        return len(self._clients)

    async def forget(self, guid: str) -> None:
        """Close a session's connections; of one never connected to: nothing to do."""
        if (client := self._clients.pop(guid, None)) is not None:
            await client.close()

    async def aclose(self) -> None:
        for guid in list(self._clients):
            await self.forget(guid)

    @asynccontextmanager
    async def request(
        self, session: Session, method: str, target: str, *, at_most: float | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request into `session`; `target` is path and query, already encoded.

        `at_most` bounds the whole exchange (None: only its silences are bounded). Raises
        `SessionContainerExited` when the container ended meanwhile, `UpstreamTimeout`, or
        `UpstreamUnreachable`.
        """
        instance = await self.alive(session)
        headers = options["headers"] = CIMultiDict(options.get("headers") or {})
        carry(headers)
        url = URL(instance.address.url + target, encoded=True)
        if at_most is not None:
            options["timeout"] = aiohttp.ClientTimeout(total=at_most, sock_connect=self._connect_timeout)
        try:
            async with self.client(instance).request(method, url, allow_redirects=False, **options) as answer:
                yield answer
        except aiohttp.ConnectionTimeoutError as error:
            await self._ask(session)
            if session.exit is not None:
                raise explain(session, error) from error
            raise UpstreamTimeout(
                f"The session '{session.identifier}' took no connection within {self._connect_timeout:g} s."
            ) from error
        except TimeoutError as error:
            waited = at_most or self._read_timeout
            raise UpstreamTimeout(
                f"The session '{session.identifier}' did not answer within {waited:g} s."
            ) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise await self.explain(session, error) from error

    async def alive(self, session: Session) -> Instance:
        """The instance to connect to. Raises `SessionContainerExited` for a session that ended meanwhile:
        its connections are closed already, and a new one would be closed by nobody.
        """
        if session.state is not State.ACTIVE:
            raise await self.explain(session, ConnectionResetError("its session has ended"))
        return session.running

    async def explain(
        self, session: Session, error: BaseException
    ) -> UpstreamUnreachable | SessionContainerExited:
        """Why a connection into `session` broke; waits a moment for the news that its container ended."""
        await self._ask(session)
        return explain(session, error)

    async def _ask(self, session: Session) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_NEWS_SECONDS):
                await self._doubt(session)
                await _over(session)


async def _over(session: Session) -> None:
    """Wait until the container has exited, or the session was ended otherwise."""
    news = [asyncio.ensure_future(event.wait()) for event in (session.ended, session.gone)]
    try:
        await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in news:
            one.cancel()


def _connector(instance: Instance) -> aiohttp.BaseConnector:
    if instance.address.uds is not None:
        return aiohttp.UnixConnector(instance.address.uds, limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, use_dns_cache=False)


def explain(session: Session, error: BaseException) -> UpstreamUnreachable | SessionContainerExited:
    """What to say: its container exited (and how), or it is just not answering."""
    if (exit_ := session.exit) is not None:
        memory = " because it ran out of memory" if exit_.oom else ""
        how = exit_.reason or f"exited with code {exit_.code}{memory}"
        return SessionContainerExited(
            f"The container of session '{session.identifier}' {how}. "
            "The next request with this identifier gets a new, empty session."
        )
    if session.gone.is_set():
        return SessionContainerExited(
            f"The session '{session.identifier}' was stopped while the request was being served."
        )
    return UpstreamUnreachable(
        f"The session '{session.identifier}' cannot be reached on {session.running.address.url}: "
        f"{type(error).__name__}: {error}"
    )
