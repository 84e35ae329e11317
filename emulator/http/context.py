"""What one data-plane request carries from room to room: the pool, the identifier, the lease, the times."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from starlette.types import Receive, Scope, Send

from emulator import tracing
from emulator.errors import IdentifierLengthInvalid, RequestInvalid
from emulator.http.commands import Commands
from emulator.http.executions import Repeats
from emulator.http.upstream import Upstreams
from emulator.http.versions import Execution
from emulator.pool.events import EventLog
from emulator.pool.pool import Pool
from emulator.pool.session import Lease, Session

IDENTIFIER = re.compile(r"[a-zA-Z0-9_|}{\[\]:\"';<>?/.,@#$%^&*()\-+=!~`]+")
"""Characters of the 2025-10-02-preview swagger's pattern."""
SHORTEST, LONGEST = 4, 128


@dataclass(frozen=True)
class Limits:
    """Data-plane limits; times in seconds, sizes in bytes, `output` in characters."""

    default_timeout: int = 60
    code_timeout: int = 220
    shell_timeout: int = 600
    output: int = 4096
    body: int = 32 * 1024 * 1024
    upload: int = 128 * 1024 * 1024
    upstream_grace: float = 30.0


@dataclass
class Plane:
    """What all data-plane requests share. `latest`: the id of the newest execution of each session."""

    upstreams: Upstreams
    limits: Limits
    strict: bool
    events: EventLog
    background: set[asyncio.Task[None]] = field(default_factory=set)
    commands: Commands = field(default_factory=Commands)
    latest: WeakKeyDictionary[Session, str] = field(default_factory=WeakKeyDictionary)
    repeats: Repeats = field(default_factory=Repeats)


class Fate(Protocol):
    """What faults do to a call on its way; see `faulting`."""

    def destined(self, identifier: str) -> str: ...

    async def allocating(self, identifier: str) -> None: ...

    async def serving(self, session: Session) -> None: ...

    async def answered(self, session: Session, execution: Execution) -> Execution: ...


@dataclass
class Call:
    """One request on a pool's data plane. `segments` are the decoded path parts after the pool."""

    plane: Plane
    pool: Pool
    scope: Scope
    receive: Receive
    send: Send
    segments: list[str]
    raw_path: str
    query: Mapping[str, str]
    began: float = field(default_factory=time.perf_counter)
    lease: Lease | None = None
    fate: Fate | None = None

    @property
    def method(self) -> str:
        return str(self.scope.get("method", "GET"))  # a WebSocket begins with a GET

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted), None)

    def identifier(self, fallback: str | None = None) -> str:
        """The identifier, checked. Raises `RequestInvalid` or `IdentifierLengthInvalid`."""
        checked = check_identifier(self.query.get("identifier", fallback), strict=self.plane.strict)
        return checked if self.fate is None else self.fate.destined(checked)

    @asynccontextmanager
    async def session(self, identifier: str) -> AsyncIterator[Lease]:
        """A lease on the identifier's session for the length of the block."""
        if self.fate is not None:
            identifier = self.fate.destined(identifier)
            await self.fate.allocating(identifier)
        lease = self.lease = await self.pool.acquire(identifier)
        tracing.note(identifier=identifier, session=lease.session.guid)
        try:
            if self.fate is not None:
                await self.fate.serving(lease.session)
            yield lease
        finally:
            lease.release()

    def session_headers(self) -> dict[str, str]:
        """`x-ms-session-guid`, `x-ms-new-allocation` and a correlation id (recorded)."""
        headers = {"mise-correlation-id": str(uuid.uuid4())}
        if self.lease is not None:
            headers["x-ms-session-guid"] = self.lease.session.guid
            headers["x-ms-new-allocation"] = "true" if self.lease.new_allocation else "false"
        return headers


def read_query(scope: Scope) -> dict[str, str]:
    """Query parameters by lower-case name, the first of each; `+` and `%20` are blanks."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        found.setdefault(name.lower(), value)
    return found


def check_identifier(identifier: str | None, *, strict: bool) -> str:
    """4 to 128 characters of the documented set; in loose mode any that is not empty."""
    if not identifier:
        raise RequestInvalid("The query parameter 'identifier' is required.", target="identifier")
    if not strict:
        return identifier
    if not SHORTEST <= len(identifier) <= LONGEST:
        raise IdentifierLengthInvalid(
            f"The session identifier has {len(identifier)} characters; "
            f"its length must be between {SHORTEST} and {LONGEST}.",
            target="identifier",
        )
    if IDENTIFIER.fullmatch(identifier) is None:
        wrong = sorted({char for char in identifier if IDENTIFIER.fullmatch(char) is None})
        raise RequestInvalid(
            f"The session identifier holds characters that are not allowed: {' '.join(map(repr, wrong))}.",
            target="identifier",
        )
    return identifier
