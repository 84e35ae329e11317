"""Callers that do what clients do, all at once, and check that every session is their own."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.harness import NEWEST, Emulator

TOLERATED = frozenset({200, 201, 202, 204, 404, 429, 502, 599})
"""What a caller may meet here: renewed sessions (404), a full pool, containers that die, the fault 599."""
STREAM = 2 * 1024 * 1024
LEAVES, ENDS = 0.1, 0.7
"""How likely a caller goes over to another identifier at each step, and ends the session it leaves."""
BACK_OFF = 0.2
CUT_SHORT = 10


@dataclass
class Tally:
    """What all callers saw. `wrong`: answers that must not be; `cut`: connections that broke."""

    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    cut: int = 0
    identifiers: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, what: str, answer: requests.Response) -> None:
        with self.lock:
            self.answers[f"{what} {answer.status_code}"] += 1
            if answer.status_code >= 500:
                self.errors[_shape(answer)] += 1

    def blame(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text[:1000])

    def broke(self) -> None:
        with self.lock:
            self.cut += 1

    @property
    def total(self) -> int:
        return sum(self.answers.values())


def _explained(answer: requests.Response) -> bool:
    """Nothing to stop, or a container that was killed while it started."""
    code = answer.headers.get("x-ms-error-code")
    died = code == "SessionAllocationFailed" and "ended before it was ready" in answer.text
    return died or code == "SessionWithIdentifierNotFound"


def _shape(answer: requests.Response) -> str:
    """An error without what is different each time."""
    text = re.sub(r"caller-\d+", "X", answer.text)
    text = re.sub(r"[0-9a-f-]{32,36}|10\.\d+\.\d+\.\d+|/tmp/\S+|fault-\d+", "…", text)
    return f"{answer.status_code} {text[:200]}"


class Caller:
    """One client with a connection pool of its own; `step` does one thing in one session."""

    def __init__(self, running: Emulator, identifiers: list[str], tally: Tally, seed: int) -> None:
        self._running = running
        self._identifiers = identifiers
        self._tally = tally
        self._dice = random.Random(seed)
        self._http = requests.Session()
        self._token = running.new_token(expiresIn="1e9")  # the clock is moved by days
        self._identifier = self._dice.choice(identifiers)
        pools = running.ready["pools"]
        self._custom = [name for name, one in pools.items() if one["containerType"] == "CustomContainer"]
        self._code = [name for name, one in pools.items() if one["containerType"] == "PythonLTS"]
        self._shell = [name for name, one in pools.items() if one["containerType"] == "Shell"]
        self._steps: list[Callable[[str], None]] = [self._execute] * 6
        self._steps += [
            self._files,
            self._large_output,
            self._asynchronous,
            self._hang_up,
            self._end,
            self._list,
        ]
        self._steps += [self._command] * 3
        self._steps += [self._through] * (3 if self._custom else 0)

    def step(self) -> None:
        if self._dice.random() < LEAVES:
            self._move_on()
        try:
            self._dice.choice(self._steps)(self._identifier)
        except requests.RequestException:
            self._tally.broke()  # a fault cuts connections, and so do containers that die

    def _move_on(self) -> None:
        """To another identifier, as a conversation that begins; most, not all, end their sessions."""
        if self._dice.random() < ENDS:
            for pool in (*self._code, *self._shell):
                with contextlib.suppress(requests.RequestException):
                    self._send("end", "DELETE", pool, "/session", self._identifier)
            for pool in self._custom:
                with contextlib.suppress(requests.RequestException):
                    self._send("stop", "POST", pool, "/.management/stopSession", self._identifier)
        self._identifier = self._dice.choice(self._identifiers)
        with self._tally.lock:
            self._tally.identifiers.add(self._identifier)

    def close(self) -> None:
        self._http.close()

    def _send(
        self, what: str, method: str, pool: str, path: str, identifier: str, **more: Any
    ) -> requests.Response:
        mark = "&" if "?" in path else "?"
        url = f"{self._running.endpoint(pool)}{path}{mark}api-version={NEWEST}&identifier={identifier}"
        headers = {"Authorization": f"Bearer {self._token}"}
        more.setdefault("timeout", 120)
        answer = self._http.request(method, url, headers=headers, **more)
        self._tally.saw(what, answer)
        if answer.status_code == 429:
            time.sleep(BACK_OFF)
        if answer.status_code not in TOLERATED and not _explained(answer):
            self._tally.blame(f"{what}: {answer.status_code} {answer.text}")
        return answer

    def _mine(self, what: str, identifier: str, said: object) -> None:
        if said != identifier:
            self._tally.blame(f"{what}: the session of {identifier} answered with {said!r}")

    def _execute(self, identifier: str) -> None:
        pool = self._dice.choice(self._code)
        # Whoever comes first writes its name; a session that says another name is somebody else's.
        code = f"mine = globals().get('mine', {identifier!r}); seen = globals().get('seen', 0) + 1; mine"
        answer = self._send("execute", "POST", pool, "/executions", identifier, json={"code": code})
        if answer.status_code == 200 and answer.json()["status"] == "Succeeded":
            self._mine("execute", identifier, answer.json()["result"]["executionResult"])

    def _command(self, identifier: str) -> None:
        pool = self._dice.choice(self._shell)
        body = {"shellCommand": f"[ -f mine ] || printf %s {identifier} > mine; cat mine"}
        answer = self._send("command", "POST", pool, "/executions", identifier, json=body)
        if answer.status_code == 200 and answer.json()["status"] == "0":
            self._mine("command", identifier, answer.json()["result"]["stdout"])

    def _files(self, identifier: str) -> None:
        pool = self._dice.choice(self._code)
        content = identifier.encode() * 2_000
        sent = self._send("upload", "POST", pool, "/files", identifier, files={"file": ("mine.txt", content)})
        if sent.status_code != 200:
            return
        got = self._send("download", "GET", pool, "/files/mine.txt/content", identifier)
        whole = got.content in (content, content[:CUT_SHORT])  # a fault truncates some
        if got.status_code == 200 and not whole:
            self._tally.blame(f"download: {identifier} got {len(got.content)} other bytes")

    def _large_output(self, identifier: str) -> None:
        body = {"code": "print('x' * 3_000_000)", "outputStreamsMaxLength": 2_000_000}
        self._send("output", "POST", self._dice.choice(self._code), "/executions", identifier, json=body)

    def _asynchronous(self, identifier: str) -> None:
        pool = self._dice.choice(self._code)
        body = {"code": "import time; time.sleep(0.2); 1", "executionType": "Asynchronous"}
        answer = self._send("begin", "POST", pool, "/executions", identifier, json=body)
        if answer.status_code in (200, 202):
            self._send("poll", "GET", pool, f"/executions/{answer.json()['id']}", identifier)

    def _hang_up(self, identifier: str) -> None:
        body = {"code": "import time; time.sleep(2)"}
        pool = self._dice.choice(self._code)
        self._send("hang up", "POST", pool, "/executions", identifier, json=body, timeout=0.3)

    def _end(self, identifier: str) -> None:
        self._send("end", "DELETE", self._dice.choice(self._code + self._shell), "/session", identifier)

    def _list(self, identifier: str) -> None:
        self._send("list", "GET", self._dice.choice(self._code), "/listSessions", identifier)

    def _through(self, identifier: str) -> None:
        pool = self._dice.choice(self._custom)
        if self._dice.random() < 0.5:
            self._send("custom", "GET", pool, "/about", identifier)
        else:
            self._send("custom body", "POST", pool, "/digest", identifier, data=bytes(STREAM))


class Load:
    """`callers` threads that step until they are told to rest."""

    def __init__(self, running: Emulator, identifiers: list[str], callers: int, seed: int) -> None:
        self.tally = Tally()
        self._go = threading.Event()
        self._over = threading.Event()
        self._busy = 0
        self._count = threading.Condition()
        self._threads = [
            threading.Thread(
                target=self._run, args=(Caller(running, identifiers, self.tally, seed + number),)
            )
            for number in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, caller: Caller) -> None:
        while not self._over.is_set():
            if not self._go.wait(0.1):
                caller.close()  # at a rest nothing of the callers' own is counted; it opens again by itself
                continue
            with self._count:
                self._busy += 1
            try:
                caller.step()
            except Exception as error:  # a caller that dies quietly would make the load a lie
                self.tally.blame(f"a caller broke: {error!r}")
            finally:
                with self._count:
                    self._busy -= 1
                    self._count.notify_all()
        caller.close()

    def work(self) -> None:
        self._go.set()

    def rest(self) -> None:
        """Return once no request is under way."""
        self._go.clear()
        with self._count:
            assert self._count.wait_for(lambda: self._busy == 0, 300), "callers did not finish in 300 s"

    def end(self) -> None:
        self._over.set()
        self._go.clear()
        for thread in self._threads:
            thread.join(300)
