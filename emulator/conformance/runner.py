"""Runs rows against one pool."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from emulator.conformance.client import Answer, NoAnswer, exchange
from emulator.conformance.match import Difference, Having, Holds, Like, Matcher, differences, shown
from emulator.conformance.row import FRESH, NEWEST, NOTHING, Door, Exchange, Expect, Need, Row, Send

POLL_SECONDS = 0.2
POLLS = 300
_PLACE = re.compile("«([a-z]+)»")


@dataclass(frozen=True)
class Made:
    """An exchange that was made: the request as sent, and what came (None: no answer)."""

    send: Send
    target: str
    answer: Answer | None


@dataclass(frozen=True)
class Outcome:
    """What became of a row; `differences` belong to the last exchange made. `lacking`: why it was not run."""

    row: Row
    made: tuple[Made, ...] = ()
    differences: tuple[Difference, ...] = ()
    expected: Expect | None = None
    lacking: str = ""

    @property
    def good(self) -> bool:
        return not self.differences


class Pool:
    """The pool under test: where it is, who asks, what it can do.

    `token`: a good bearer token; None asks this emulator for one, for each of its kinds.
    """

    def __init__(self, endpoint: str, token: str | None, container_type: str | None = None) -> None:
        parts = urlsplit(endpoint)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.path = parts.path.rstrip("/")
        self.run = secrets.token_hex(4)
        self._status = self._ask("/.emulator/status")
        self._tokens: dict[str, str] = {} if token is None else {"good": token}
        self._matplotlib: bool | None = None
        self.container_type = container_type or self._own("containerType") or "PythonLTS"

    def _ask(self, path: str) -> Any:
        try:
            answer = exchange(self.origin, "GET", path, headers={}, body=None, seconds=30)
            return answer.json() if answer.status in (200, 503) else None
        except (NoAnswer, ValueError):
            return None

    def _own(self, key: str) -> Any:
        pools = (self._status or {}).get("pools", [])
        return next((pool.get(key) for pool in pools if pool.get("endpoint") == self.path), None)

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1] or urlsplit(self.origin).netloc.split(".")[0]

    @property
    def shared(self) -> str:
        return f"conformance-{self.run}"

    def lacking(self, needs: Iterable[Need]) -> str:
        """The first thing a row needs that this pool has not, or nothing."""
        found: Mapping[Need, Callable[[], bool]] = {
            Need.EMULATOR: lambda: self._status is not None,
            Need.ONE_SESSION: lambda: self._own("maxConcurrentSessions") == 1,
            Need.MATPLOTLIB: self._has_matplotlib,
            Need.MEMORY_LIMIT: lambda: (self._status or {}).get("runtime", "docker") == "docker",
        }
        return next((need.value for need in needs if not found[need]()), "")

    def _has_matplotlib(self) -> bool:
        if self._matplotlib is None:
            code = 'import importlib.util as u; u.find_spec("matplotlib") is not None'
            body = {"code": code, "codeInputType": "Inline", "executionType": "Synchronous"}
            _, answer = self.make(Send("POST", "/executions", json=body), {"shared": self.shared})
            self._matplotlib = answer.json()["result"]["executionResult"] is True
        return self._matplotlib

    def close(self) -> None:
        """End the session that rows shared."""
        _delete(self, {"fresh": self.shared})

    def token(self, kind: str) -> str | None:
        """A token: `good`, `none`, `garbage`, or a kind of bad one that this emulator mints."""
        if kind == "none":
            return None
        if kind == "garbage":
            return "not.a.token"
        if kind not in self._tokens:
            queries = {"good": "", "norole": "role=false", "acasessions": "audience=https://acasessions.io/"}
            found = self._ask(f"/.emulator/token?{queries.get(kind, f'invalid={kind}')}")
            if not isinstance(found, dict):
                raise NoAnswer("no emulator answers there that could mint a token; give one with --token")
            self._tokens[kind] = str(found["accessToken"])
        return self._tokens[kind]

    def make(self, send: Send, values: Mapping[str, str]) -> tuple[str, Answer]:
        """Send one request. Returns its target and the answer; raises `NoAnswer`."""
        send = filled(send, values)
        base = self.path if send.door is Door.ENDPOINT else ""
        query = {"api-version": send.version, "identifier": send.identifier, **send.query}
        text = urlencode({name: value for name, value in query.items() if value is not None})
        target = base + send.path if "://" not in send.path else _relative(send.path)
        rest = "&".join(part for part in (text, send.raw_query) if part)
        target += f"{'&' if '?' in target else '?'}{rest}" if rest else ""
        headers = dict(send.headers)
        if send.door is Door.HOST:
            headers["Host"] = f"{self.name}.localhost"
        if (token := self.token(send.asker)) is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        body = send.body
        if send.json is not NOTHING:
            body = json.dumps(send.json).encode()
            headers.setdefault("Content-Type", "application/json")
        return target, exchange(
            self.origin, send.method, target, headers=headers, body=body, chunked=send.chunked
        )


def _relative(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """`value` with every `«name»` in its texts replaced."""
    if isinstance(value, str):
        return _PLACE.sub(lambda found: values.get(found[1], found[0]), value)
    if isinstance(value, bytes):
        if "«".encode() not in value:
            return value
        text = value.decode("utf-8", "surrogateescape")
        return str(filled(text, values)).encode("utf-8", "surrogateescape")
    if isinstance(value, Send):
        names = ("path", "identifier", "query", "raw_query", "json", "body", "headers")
        return replace(value, **{name: filled(getattr(value, name), values) for name in names})
    if isinstance(value, Mapping):
        return {filled(key, values): filled(one, values) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(one, values) for one in value]
    if isinstance(value, Holds):
        return Holds(filled(value.members, values))
    if isinstance(value, Having):
        return Having(filled(value.entry, values))
    if isinstance(value, Like):
        return Like(filled(value.example, values))
    return value


def run(pool: Pool, one: Row) -> Outcome:
    """Make the row's exchanges until one differs from what is expected."""
    if lacking := pool.lacking(one.needs):
        return Outcome(one, lacking=lacking)
    word = secrets.token_hex(4)
    values = {"shared": pool.shared, "fresh": f"fresh-{pool.run}-{word}", "row": word, "pool": pool.name}
    made: list[Made] = []
    try:
        for step in one.exchanges:
            expect, found = _step(pool, step, values, made)
            if found:
                return Outcome(one, tuple(made), tuple(found), expect)
        return Outcome(one, tuple(made))
    finally:
        if any(step.send.identifier == FRESH for step in one.exchanges):
            _delete(pool, values)


def _step(
    pool: Pool, step: Exchange, values: dict[str, str], made: list[Made]
) -> tuple[Expect, list[Difference]]:
    send = filled(step.send, values)
    expect = replace(
        step.expect,
        body=filled(step.expect.body, values),
        raw=filled(step.expect.raw, values),
        headers=filled(step.expect.headers, values),
    )
    for _ in range(POLLS):
        try:
            target, answer = pool.make(send, values)
        except NoAnswer as failure:
            made.append(Made(send, send.path, None))
            return expect, [Difference("answer", f"status {expect.status}", f"none ({failure})")]
        if not step.repeat_while or differences(Holds(step.repeat_while), _json(answer)):
            break
        time.sleep(POLL_SECONDS)
    made.append(Made(send, target, answer))
    for name, place in step.keep.items():
        values[name] = _kept(answer, place)
    return expect, list(check(expect, answer))


def check(expect: Expect, answer: Answer) -> Iterator[Difference]:
    """What of `answer` is not as expected."""
    if answer.status != expect.status:
        yield Difference("status", str(expect.status), str(answer.status))
    for name, value in expect.headers.items():
        came = answer.headers.get(name.lower())
        if value is None and came is not None:
            yield Difference(f"header {name}", "(absent)", came)
        elif value is not None and came is None:
            if not (isinstance(value, Matcher) and value.optional):
                yield Difference(f"header {name}", shown(value), "(absent)")
        elif value is not None:
            yield from differences(value, came, f"header {name}")
    if expect.raw is not None and answer.raw != expect.raw:
        yield Difference("body", shown(expect.raw), shown(answer.raw))
    if expect.body is not NOTHING:
        came = _json(answer)
        if came is NOTHING:
            yield Difference("body", shown(expect.body), f"no JSON: {shown(answer.raw)}")
        else:
            yield from differences(expect.body, came)


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return NOTHING


def _kept(answer: Answer, place: str) -> str:
    kind, _, name = place.partition(":")
    if kind == "header":
        return answer.headers.get(name.lower(), "")
    value = _json(answer)
    for key in name.split("."):
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value)


def _delete(pool: Pool, values: Mapping[str, str]) -> None:
    """A session of a row's own frees its place; that it is already gone, or cannot be, changes no result."""
    try:
        pool.make(Send("DELETE", "/session", version=NEWEST, identifier=FRESH), values)
    except NoAnswer:
        return
