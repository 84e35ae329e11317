"""Requests nobody meant to send, to every route: what may come back, and what must be left behind."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from emulator.conformance.client import Answer, NoAnswer, exchange
from emulator.conformance.row import FLAT, NEWEST, OLD
from tests.harness import Emulator

HANG_SECONDS = 45
"""Longer than any run the fuzzer asks for may take; no answer by then is a hang."""

ROUTES = (
    *("/executions", "/executions", "/executions", "/executions/{}", "/code/execute", "/python/execute"),
    *("/files", "/files/upload", "/files/{}", "/files/{}/content", "/files/content/{}", "/files/{}/{}"),
    *("/session", "/listSessions", "/metadata", "/.management/stopSession", "/.management/{}"),
    *("/python/uploadFile", "/python/downloadFile", "/{}", "/{}/{}", "//{}", ""),
)
POSTED = ("/executions", "/code/execute", "/python/execute", "/files/upload", "/.management/stopSession")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "QUERY")
NASTY = (
    "",
    ".",
    "..",
    "/",
    "//",
    "%2F",
    "%00",
    "a/../../b",
    "/etc/passwd",
    "a\\b",
    "🎉",
    "\x7f",
    "%zz",
    "a" * 3000,
)
CODE = (
    *("1 + 1", "print('x')", "", "raise ValueError()", "import sys; sys.exit()", "(" * 200, "'\\ud800'"),
    *(
        "print('x' * 10**6)",
        "open('/mnt/data/f', 'w').write('x')",
        "import os; os.getcwd()",
        "while True: pass",
    ),
)
COMMANDS = (
    "true",
    "exit 7",
    "cat",
    "echo x >&2",
    "kill $$",
    "sleep 100",
    "ln -sf / l",
    "head -c 100000 /dev/zero",
)


@dataclass(frozen=True)
class Request:
    """One request, everything percent-encoded that has to be."""

    pool: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None
    chunked: bool


_text = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))
_word = st.one_of(st.sampled_from(("one-file.txt", "d", "f")), _text)
_header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_text, inner, max_size=4)),
    max_leaves=8,
)


def _mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nine times in ten what was meant, so that requests come through to where the work is done."""
    return st.integers(0, 9).flatmap(lambda number: bad if number == 9 else good)


def _query() -> st.SearchStrategy[str]:
    def join(values: dict[str, str]) -> str:
        return "&".join(f"{name}={quote(value, errors='replace')}" for name, value in values.items())

    versions = _mostly(st.sampled_from((NEWEST, NEWEST, *FLAT, *OLD)), _text)
    # Few identifiers, so that sessions are met again and a full pool is the exception.
    identifiers = _mostly(st.sampled_from(("fuzz-1", "fuzz-2", "fuzz-3")), _text)
    rest = {"path": _word, "recursive": _word, "skip": _word, "filename": _word}
    usual = st.fixed_dictionaries({"api-version": versions, "identifier": identifiers}, optional=rest)
    return _mostly(usual.map(join), st.text(max_size=20).map(quote))


def _body() -> st.SearchStrategy[tuple[str, bytes | None]]:
    flags = _mostly(st.booleans(), _json)
    common: dict[str, st.SearchStrategy[Any]] = {
        "codeInputType": _mostly(st.sampled_from(("inline", "InlineBase64", "INLINETEXT")), _json),
        "executionType": _mostly(st.sampled_from(("synchronous", "Asynchronous")), _json),
        "outputStreamsMaxLength": _mostly(st.integers(0), _json),
        "useEmptyKernel": flags,
        "returnJupyterFormat": flags,
        "identifier": _mostly(st.just("fuzz-1"), _json),
        "stdin": _mostly(_text, _json),
    }
    code = _mostly(st.one_of(st.sampled_from(CODE), _text), _json)
    arguments = st.lists(_text, max_size=3).map(lambda rest: ["echo", *rest])
    # Always a short timeout: what runs for ever must not make a hang of its own.
    always = {"timeoutInSeconds": st.just(1)}
    runs = st.one_of(
        st.fixed_dictionaries({**always, "code": code}, optional=common),
        st.fixed_dictionaries({**always, "pythonCode": code}, optional=common),
        st.fixed_dictionaries({**always, "shellCommand": st.sampled_from(COMMANDS)}, optional=common),
        st.fixed_dictionaries({**always, "execCommandAndArgs": _mostly(arguments, _json)}, optional=common),
        st.fixed_dictionaries({"timeoutInSeconds": _json}),
    )
    documents = st.one_of(runs, runs.map(lambda inner: {"properties": inner}))
    texts = documents.map(lambda document: ("application/json", json.dumps(document).encode()))
    raw = st.binary(max_size=200).map(lambda data: ("application/octet-stream", data))
    nothing: st.SearchStrategy[tuple[str, bytes | None]] = st.just(("text/plain", None))
    return st.one_of(texts, texts, _multipart(), raw, nothing)


def _multipart() -> st.SearchStrategy[tuple[str, bytes | None]]:
    def build(boundary: str, name: str, filename: str, data: bytes, cut: int) -> tuple[str, bytes | None]:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        whole = head.encode("utf-8", "replace") + data + f"\r\n--{boundary}--\r\n".encode("utf-8", "replace")
        return "multipart/form-data; boundary=b", whole[: len(whole) - cut]

    names = _mostly(st.just("file"), _text)
    cuts = _mostly(st.just(0), st.integers(0, 60))
    return st.builds(build, _mostly(st.just("b"), st.just("c")), names, _word, st.binary(max_size=100), cuts)


@st.composite
def requests(draw: st.DrawFn, pools: tuple[str, ...]) -> Request:
    path = draw(st.sampled_from(ROUTES))
    while "{}" in path:
        word = draw(_word)
        path = path.replace("{}", quote(word, safe=draw(st.sampled_from(("", "/"))), errors="replace"), 1)
    uploads = path in ("/files", "/files/upload", "/python/uploadFile") and draw(st.booleans())
    kind, body = draw(_multipart() if uploads else _body())
    headers = {"Content-Type": draw(_mostly(st.just(kind), _header))}
    for name in ("operation-id", "Range", "Content-Encoding", "If-Range", "traceparent", "Accept"):
        if draw(st.integers(0, 7)) == 0:
            headers[name] = draw(_header)
    posted = uploads or path in POSTED
    method = draw(_mostly(st.just("POST" if posted else "GET"), st.sampled_from(METHODS)))
    chunked = body is not None and draw(st.booleans())
    return Request(draw(st.sampled_from(pools)), method, f"{path}?{draw(_query())}", headers, body, chunked)


def check(emulator: Emulator, request: Request) -> None:
    """The answer must come, must be no 5xx, and an error must say what it is."""
    origin, _, path = emulator.endpoint(request.pool).partition("/subscriptions")
    headers = {**request.headers, "Authorization": f"Bearer {emulator.token}"}
    try:
        answer = exchange(
            origin,
            request.method,
            f"/subscriptions{path}{request.target}",
            headers=headers,
            body=request.body,
            chunked=request.chunked,
            seconds=HANG_SECONDS,
        )
    except NoAnswer as failure:
        raise AssertionError(f"no answer: {failure}") from failure
    assert answer.status < 500, f"{answer.status} {answer.raw[:1000]!r}"
    if answer.status >= 400 and request.method not in ("HEAD", "QUERY"):
        _explained(answer)


def _explained(answer: Answer) -> None:
    assert answer.headers.get("content-type", "").endswith("json"), f"{answer.status} {answer.raw[:200]!r}"
    document = answer.json()
    assert "error" in document or "errors" in document or "code" in document, document


def explore(emulator: Emulator, pools: tuple[str, ...], seconds: float, first_seed: int | None) -> int:
    """Send requests for so many seconds; `first_seed` None: other ones each time. Returns how many."""
    sent = 0
    until = time.monotonic() + seconds
    number = random.randrange(2**32) if first_seed is None else first_seed
    while time.monotonic() < until:

        @seed(number)
        @settings(
            max_examples=300,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(requests(pools))
        def batch(request: Request) -> None:
            nonlocal sent
            if time.monotonic() < until:
                sent += 1
                check(emulator, request)

        batch()
        number += 1
    return sent


def check_nothing_left(emulator: Emulator, cooldown: float) -> None:
    """No request is still counted as running, no session outlives its cooldown."""
    deadline = time.monotonic() + 60
    while busy := [one for one in emulator.ask("GET", "/sessions")["sessions"] if one["inFlight"]]:
        assert time.monotonic() < deadline, f"still counted as in flight: {busy}"
        time.sleep(0.2)
    for pool in emulator.ask("GET", "/status")["pools"]:
        assert pool["sessions"] <= pool["maxConcurrentSessions"], pool
        assert pool["failure"] is None, pool
    emulator.advance(cooldown + 1)
    while left := emulator.ask("GET", "/sessions")["sessions"]:
        assert time.monotonic() < deadline, f"not ended after their cooldown: {left}"
        time.sleep(0.2)
