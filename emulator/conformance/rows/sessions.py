"""Sessions as such: show, list, delete, stop, metadata, identifiers."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.conformance.match import (
    ANY,
    FILLED,
    GUID,
    MOMENT,
    TEXT,
    Having,
    Holds,
    Like,
    containing,
    matching,
    optional,
)
from emulator.conformance.row import (
    FLAT,
    FRESH,
    NEWEST,
    OLD,
    SHARED,
    WITH_SESSIONS,
    Exchange,
    Expect,
    Need,
    Provenance,
    Row,
    Send,
    error,
    row,
)

DOCUMENTED, OURS = Provenance.DOCUMENTED, Provenance.OURS
SESSION = {
    "identifier": FRESH,
    "etag": FILLED,
    "createdAt": MOMENT,
    "lastAccessedAt": MOMENT,
    "expireAt": MOMENT,
}
TOUCH = Exchange(Send("GET", "/files", identifier=FRESH), Expect(200, ANY))
UNKNOWN = "nobody-«row»"


def rows(container_type: str) -> Iterator[Row]:
    yield from _routes()
    yield from _management()
    yield from _metadata(container_type)
    yield from _identifiers()
    yield from _capacity()


def _routes() -> Iterator[Row]:
    for version in WITH_SESSIONS:
        yield row(
            f"session.get.{version}",
            "a session, with expireAt and its etag in body and header",
            DOCUMENTED,
            TOUCH,
            Exchange(
                Send("GET", "/session", version, FRESH),
                Expect(200, SESSION, headers={"x-ms-session-etag": FILLED}),
                keep={"etag": "body:etag"},
            ),
            Exchange(
                Send("GET", "/session", version, FRESH),
                Expect(200, {**SESSION, "etag": "«etag»"}, headers={"x-ms-session-etag": "«etag»"}),
            ),
        )
        yield row(
            f"session.delete.{version}",
            "204 and nothing; the identifier then gets a new, empty session",
            DOCUMENTED,
            Exchange(
                Send("GET", "/files", identifier=FRESH),
                Expect(200, ANY),
                keep={"guid": "header:x-ms-session-guid"},
            ),
            Exchange(Send("DELETE", "/session", version, FRESH), Expect(204, raw=b"")),
            Exchange(Send("GET", "/session", version, FRESH), error(404, "NoSessionFoundError")),
            Exchange(
                Send("GET", "/files", identifier=FRESH),
                Expect(
                    200,
                    {"value": []},
                    headers={"x-ms-new-allocation": "true", "x-ms-session-guid": GUID},
                ),
            ),
        )
        yield row(
            f"session.list.{version}",
            "all sessions of the pool",
            DOCUMENTED,
            TOUCH,
            Exchange(
                Send("GET", "/listSessions", version, None),
                Expect(200, {"sessions": Having(SESSION), "nextLink": optional(TEXT)}),
            ),
        )
        for method in ("GET", "DELETE"):
            yield row(
                f"session.unknown.{method}.{version}",
                "404 and no session made",
                DOCUMENTED,
                Exchange(
                    Send(method, "/session", version, UNKNOWN),
                    error(404, "NoSessionFoundError", f"Could not find session with name '{UNKNOWN}'."),
                ),
                Exchange(Send("GET", "/session", version, UNKNOWN), error(404, "NoSessionFoundError")),
            )
    yield row(
        "session.list.skip",
        "skip leaves out the first",
        DOCUMENTED,
        TOUCH,
        Exchange(
            Send("GET", "/listSessions", identifier=None, query={"skip": "0"}),
            Expect(200, {"sessions": Having(Like(SESSION)), "nextLink": optional(TEXT)}),
        ),
        Exchange(
            Send("GET", "/listSessions", identifier=None, query={"skip": "10000"}),
            Expect(200, {"sessions": []}),
        ),
    )
    for skip in ("-1", "two", "1.5"):
        yield row(
            f"session.list.skip.{skip}",
            "skip is a whole number from 0",
            OURS,
            Exchange(
                Send("GET", "/listSessions", identifier=None, query={"skip": skip}),
                error(400, "SessionRequestValidationFailed"),
            ),
        )
    for path in ("/session", "/listSessions", "/metadata"):
        for version in (OLD[1], FLAT[0]):
            yield row(
                f"session.version{path.replace('/', '.')}.{version}",
                "session routes came with 2025-02-02-preview",
                DOCUMENTED,
                Exchange(Send("GET", path, version), error(400, "SessionRequestNotSupported")),
            )
        yield row(
            f"session.method{path.replace('/', '.')}",
            "a method that the route has not",
            OURS,
            Exchange(Send("POST", path, json={}), error(405, "MethodNotAllowed", allow=containing("GET"))),
        )


def _management() -> Iterator[Row]:
    yield row(
        "management.stop",
        "stopSession ends a session of a built-in pool as well; a second one errs",
        OURS,
        TOUCH,
        Exchange(
            Send("POST", "/.management/stopSession", identifier=FRESH),
            Expect(
                200,
                raw=f"Session {FRESH} in session pool «pool» stopped.".encode(),
                headers={"content-type": containing("text/plain")},
            ),
        ),
        Exchange(
            Send("POST", "/.management/stopSession", identifier=FRESH),
            error(400, "SessionWithIdentifierNotFound"),
        ),
    )
    for name in ("getSession", "listSessions"):
        yield row(
            f"management.{name}",
            "on built-in pools it is /session and /listSessions",
            OURS,
            Exchange(Send("POST", f"/.management/{name}"), error(400, "SessionRequestNotSupported")),
        )
    yield row(
        "management.unknown",
        "an operation that is none",
        OURS,
        Exchange(Send("POST", "/.management/explode"), error(400, "SessionRequestNotSupported")),
    )
    yield row(
        "management.method",
        "management is by POST",
        DOCUMENTED,
        Exchange(Send("GET", "/.management/stopSession"), error(405, "MethodNotAllowed", allow="POST")),
    )


def _metadata(container_type: str) -> Iterator[Row]:
    runtime = {"PythonLTS": "[Pp]ython.*", "NodeLTS": "(?i)node.*"}.get(container_type, ".+")
    kernel = {"name": FILLED, "version": FILLED, "projectUrl": matching("https?://.+"), "description": TEXT}
    for version in WITH_SESSIONS:
        yield row(
            f"metadata.{version}",
            "runtimes and packages of the pool, with versions",
            DOCUMENTED,
            Exchange(
                Send("GET", "/metadata", version, None),
                Expect(
                    200,
                    {
                        "runtimes": Having({"name": matching(runtime), "version": FILLED}),
                        "preInstalledPackages": Having({"name": FILLED, "version": FILLED}),
                        "createdAt": FILLED,
                        "lastUpdatedAt": FILLED,
                        "jupyterKernel": kernel if container_type != "Shell" else optional(ANY),
                    },
                ),
            ),
        )


def _identifiers() -> Iterator[Row]:
    good = Expect(200, ANY)
    length = error(400, "InvalidLengthOfSessionIdentifier")
    invalid = error(400, "SessionRequestValidationFailed")
    cases = {
        "shortest": ("i«row»"[:1] + "abc", good),
        "3": ("abc", length),
        "1": ("1", length),
        "129": ("a" * 129, length),
        "blank": ("with blank", invalid),
        "backslash": ("back\\slash", invalid),
        "unicode": ("ünïcödé", invalid),
        "control": ("tab\ttab", invalid),
        "nul": ("nul\x00nul", invalid),
    }
    for name, (identifier, expect) in cases.items():
        # GET /session makes none: a good identifier is merely unknown there.
        unknown = error(404, "NoSessionFoundError")
        yield row(
            f"identifier.{name}",
            "4 to 128 characters of the documented set",
            DOCUMENTED if expect is not invalid else OURS,
            Exchange(Send("GET", "/session", identifier=identifier), unknown if expect is good else expect),
        )
    for name in ("_|}{[]:\"';<>?/.,@#$%^&*()-+=!~`", "a" * 128):
        yield row(
            f"identifier.allowed.{len(name)}",
            "every character that is allowed; the longest",
            DOCUMENTED,
            Exchange(
                Send("GET", "/session", identifier=name),
                error(404, "NoSessionFoundError", f"Could not find session with name '{name}'."),
            ),
        )
    for how, query in {"slash": "identifier=dir/sub-«row»", "encoded": "identifier=dir%2Fsub-«row»"}.items():
        yield row(
            f"identifier.raw.{how}",
            "percent-encoded or not",
            DOCUMENTED,
            Exchange(
                Send("GET", "/session", identifier=None, raw_query=query),
                error(404, "NoSessionFoundError", "Could not find session with name 'dir/sub-«row»'."),
            ),
        )
    for path in ("/files", "/session", "/executions/x"):
        yield row(
            f"identifier.missing{path.replace('/', '.')}",
            "without an identifier there is nothing to do",
            DOCUMENTED,
            Exchange(Send("GET", path, identifier=None), invalid),
        )
        yield row(
            f"identifier.empty{path.replace('/', '.')}",
            "an empty one is none",
            OURS,
            Exchange(Send("GET", path, identifier=""), invalid),
        )
    yield row(
        "identifier.case",
        "identifiers differ by case",
        OURS,
        TOUCH,
        Exchange(
            Send("GET", "/session", identifier="FRESH" + FRESH),
            error(404, "NoSessionFoundError"),
        ),
    )
    yield row(
        "identifier.parameter-case",
        "the query parameter's name has no case",
        OURS,
        Exchange(Send("GET", "/files", identifier=None, raw_query=f"Identifier={SHARED}"), good),
    )


def _capacity() -> Iterator[Row]:
    yield row(
        "capacity.full",
        "a full pool: 429 at once, not nested, and no Retry-After",
        DOCUMENTED,
        TOUCH,
        Exchange(
            Send("GET", "/files", NEWEST, "second-«row»"),
            Expect(
                429,
                {
                    "code": "SessionsCountExceedsLimit",
                    "message": "The request sessions count is '1'. There are already '1' active sessions "
                    "and the maximum active sessions count is '1'.",
                },
                headers={"x-ms-error-code": "SessionsCountExceedsLimit", "retry-after": None},
            ),
        ),
        Exchange(Send("DELETE", "/session", NEWEST, FRESH), Expect(204)),
        Exchange(Send("GET", "/files", NEWEST, FRESH), Expect(200, Holds({"value": []}))),
        needs=(Need.ONE_SESSION,),
    )
