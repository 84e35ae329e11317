"""What a row of the table is made of.

Texts of a request and of what is expected may hold `«name»`, filled in when the row runs:
`«shared»` the session that rows share, `«fresh»` one of the row's own (deleted afterwards), `«row»` a word
no other row has, `«pool»` the pool's name, and whatever an earlier exchange of the row kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from emulator.conformance.match import ANY, TEXT, optional

NEWEST = "2025-10-02-preview"
FLAT = ("2024-10-02-preview", "2025-02-02-preview", NEWEST)
OLD = ("2023-08-01-preview", "2024-02-02-preview", "2024-08-02-preview")
WITH_SESSIONS = ("2025-02-02-preview", NEWEST)

SHARED: Final = "«shared»"
FRESH: Final = "«fresh»"


class Provenance(Enum):
    """Why the suite believes it.

    RECORDED: real traffic. DOCUMENTED: Microsoft's documentation, OpenAPI files and samples, or published
    observations of the service. OURS: nothing public says, the emulator decided.
    """

    RECORDED = "recorded"
    DOCUMENTED = "documented"
    OURS = "⚑ ours"


class Need(Enum):
    """What a row wants of the pool beyond the contract; without it the row is listed as not run."""

    EMULATOR = "this emulator's admin API"
    ONE_SESSION = "a pool of this emulator with maxConcurrentSessions 1"
    MATPLOTLIB = "matplotlib in the sessions"
    MEMORY_LIMIT = "sessions with a memory limit"


class Door(Enum):
    """Which URL reaches the pool: its endpoint, the bare host, or the bare host named after the pool."""

    ENDPOINT = "endpoint"
    BARE = "bare"
    HOST = "host"


@dataclass(frozen=True)
class Stream:
    """A body too large to hold: `head`, `size` bytes of zero, `tail`; `chunked` without Content-Length."""

    head: bytes
    size: int
    tail: bytes
    chunked: bool = False

    @property
    def length(self) -> int:
        return len(self.head) + self.size + len(self.tail)

    def blocks(self) -> Iterator[bytes]:
        yield self.head
        block = bytes(256 * 1024)
        for start in range(0, self.size, len(block)):
            yield block[: self.size - start]
        yield self.tail


NOTHING: Final = object()


@dataclass(frozen=True)
class Send:
    """One request.

    `path` is percent-encoded and relative to the pool; `version` and `identifier` become query parameters
    (None: left out), as do `query` (encoded) and `raw_query` (as it is). `json` or `body` is the body.
    `asker`: whose token goes with it: `good`, `none`, or a kind of bad one.
    """

    method: str
    path: str
    version: str | None = NEWEST
    identifier: str | None = SHARED
    query: Mapping[str, str] = field(default_factory=dict)
    raw_query: str = ""
    json: Any = NOTHING
    body: bytes | Stream | None = None
    chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    asker: str = "good"
    door: Door = Door.ENDPOINT


@dataclass(frozen=True)
class Expect:
    """The answer: `body` is matched against its JSON, `raw` equals its bytes; a header of None is absent."""

    status: int
    body: Any = NOTHING
    raw: bytes | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer. `keep` names values for later: `header:name` or `body:member.member`.

    `repeat_while`: asked again while the answer's body holds these members (polling).
    """

    send: Send
    expect: Expect
    keep: Mapping[str, str] = field(default_factory=dict)
    repeat_while: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One promise. `says` in a few words; the exchanges are made in order, all of them are checked."""

    id: str
    says: str
    provenance: Provenance
    exchanges: tuple[Exchange, ...]
    needs: frozenset[Need] = frozenset()


def row(
    id: str, says: str, provenance: Provenance, *exchanges: Exchange, needs: tuple[Need, ...] = ()
) -> Row:
    return Row(id, says, provenance, exchanges, frozenset(needs))


def error(status: int, code: str, message: Any = ANY, **headers: Any) -> Expect:
    """The service's error envelope with `code` in the body and in `x-ms-error-code`."""
    inner = {"code": code, "message": message, "target": optional(TEXT), "traceId": TEXT}
    return Expect(status, {"error": inner}, headers={"x-ms-error-code": code, **headers})


def problem(errors: Any = ANY) -> Expect:
    """ASP.NET's answer to a body that does not fit the model."""
    title = "One or more validation errors occurred."
    kind = "https://tools.ietf.org/html/rfc9110#section-15.5.1"
    body = {"type": kind, "title": title, "status": 400, "errors": errors, "traceId": TEXT}
    return Expect(400, body, headers={"content-type": "application/problem+json"})
