"""Which pool and which route a request is for, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.conformance.match import ANY, FILLED, TEXT, containing
from emulator.conformance.row import (
    NEWEST,
    SHARED,
    Door,
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
FOUND = Expect(200, ANY)
EMULATOR = (Need.EMULATOR,)


def rows() -> Iterator[Row]:
    yield from _paths()
    yield from _doors()
    yield from _tokens()


def _paths() -> Iterator[Row]:
    for path in ("/FILES", "/Files", "//files", "/files/", "//files//"):
        yield row(
            f"routing.path.{path}",
            "case does not matter, slashes are folded",
            DOCUMENTED if path in ("//files", "/files/") else OURS,
            Exchange(Send("GET", path), FOUND),
        )
    for path in (
        "/nothing",
        "/",
        "",
        "/execute",
        "/code",
        "/executions/a/b",
        "/session/x",
        "/python/explode",
    ):
        yield row(
            f"routing.unknown.{path}",
            "a path that no version has",
            DOCUMENTED,
            Exchange(Send("GET", path), error(400, "SessionRequestNotSupported")),
        )
    for path in ("/executions", "/code/execute", "/python/execute"):
        for method in ("GET", "PUT", "DELETE"):
            yield row(
                f"routing.method.{method}{path.replace('/', '.')}",
                "execution is by POST",
                OURS,
                Exchange(Send(method, path), error(405, "MethodNotAllowed", allow="POST")),
            )
    yield row(
        "routing.method.POST.executions.id",
        "an execution is only looked at",
        OURS,
        Exchange(Send("POST", "/executions/x", json={}), error(405, "MethodNotAllowed", allow=TEXT)),
    )


def _doors() -> Iterator[Row]:
    yield row(
        "routing.host",
        "a pool is also the host named after it",
        OURS,
        Exchange(Send("GET", "/files", door=Door.HOST), FOUND),
        needs=EMULATOR,
    )
    scope = "/subscriptions/00000000-0000-0000-0000-000000000000"
    for name, path in {
        "pool": f"{scope}/resourceGroups/local/sessionPools/no-such-pool/files",
        "group": f"{scope}/resourceGroups/no-such-group/sessionPools/«pool»/files",
        "subscription": "/subscriptions/none/resourceGroups/local/sessionPools/«pool»/files",
    }.items():
        yield row(
            f"routing.wrong.{name}",
            "a pool that is not there, or not there",
            DOCUMENTED,
            Exchange(Send("GET", path, door=Door.BARE), error(404, "SessionPoolNotFound")),
            needs=EMULATOR,
        )
    upper = (
        "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/LOCAL/SESSIONPOOLS/«pool»/files"
    )
    yield row(
        "routing.case",
        "the names of the path's segments have no case",
        OURS,
        Exchange(Send("GET", upper, door=Door.BARE), FOUND),
        needs=EMULATOR,
    )
    yield row(
        "routing.default",
        "without a pool in the path the emulator's first pool is meant",
        OURS,
        Exchange(Send("GET", "/nothing", door=Door.BARE), error(400, "SessionRequestNotSupported")),
        needs=EMULATOR,
    )
    yield row(
        "routing.wrong.stranger",
        "who has no token does not learn which pools there are",
        OURS,
        Exchange(
            Send(
                "GET", "/subscriptions/x/resourceGroups/y/sessionPools/z/files", door=Door.BARE, asker="none"
            ),
            Expect(401, raw=b""),
        ),
        needs=EMULATOR,
    )


def _tokens() -> Iterator[Row]:
    for path in ("/files", "/executions", "/session", "/nothing"):
        yield row(
            f"auth.none{path.replace('/', '.')}",
            "no token: 401 with an empty body, whatever the route",
            DOCUMENTED,
            Exchange(Send("GET", path, asker="none"), Expect(401, raw=b"")),
        )
    yield row(
        "auth.garbage",
        "a token that is none",
        DOCUMENTED,
        Exchange(Send("GET", "/files", asker="garbage"), Expect(401, raw=b"")),
    )
    for name, scheme in {
        "basic": "Basic dXNlcjpwYXNz",
        "bare": "Bearer",
        "blank": "Bearer ",
        "word": "nonsense",
    }.items():
        yield row(
            f"auth.scheme.{name}",
            "something else than a bearer token",
            OURS,
            Exchange(
                Send("GET", "/files", asker="none", headers={"Authorization": scheme}), Expect(401, raw=b"")
            ),
        )
    for kind in ("signature", "audience", "expired", "nbf"):
        yield row(
            f"auth.{kind}",
            "a bad token: 401, empty, and the reason in a header of the emulator's own",
            DOCUMENTED,
            Exchange(
                Send("GET", "/files", asker=kind), Expect(401, raw=b"", headers={"x-emulator-reason": FILLED})
            ),
            needs=EMULATOR,
        )
    yield row(
        "auth.role",
        "a good token of somebody without the role: 403, empty",
        DOCUMENTED,
        Exchange(
            Send("GET", "/files", asker="norole"), Expect(403, raw=b"", headers={"x-emulator-reason": FILLED})
        ),
        needs=EMULATOR,
    )
    yield row(
        "auth.acasessions",
        "the older audience, with a final slash",
        DOCUMENTED,
        Exchange(Send("GET", "/files", asker="acasessions"), FOUND),
        needs=EMULATOR,
    )
    yield row(
        "auth.before-all",
        "who may not in does not learn that the request is wrong",
        OURS,
        Exchange(Send("GET", "/files", "2099-01-01", "x", asker="garbage"), Expect(401, raw=b"")),
    )
    yield row(
        "errors.trace",
        "every error has a code in body and header, a message, and a trace id",
        DOCUMENTED,
        Exchange(
            Send("GET", "/files", NEWEST, "x"),
            error(400, "InvalidLengthOfSessionIdentifier", containing("4", "128")),
        ),
        Exchange(Send("GET", "/files", NEWEST, SHARED), FOUND),
    )
