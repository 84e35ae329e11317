"""Sessions the doctor allocates through the data plane, and how it runs a program in each."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from emulator.commands.client import Client, CommandFailed, explain, query
from emulator.runtimes.subnets import PREFIX

VERSION: Final = "2025-10-02-preview"
RUN_SECONDS: Final = 90
ALIVE_SECONDS: Final = 30
"""Longest a program may run, and longest an answer from a neighbour is waited for."""

Rows = list[list[str]]


@dataclass
class Marks:
    """What a neighbour holds: names of its files and process, what its listener answers, its kernels."""

    file: str
    process: str
    answer: str
    decoy: str
    port: int = 0
    pids: list[str] = field(default_factory=list)
    kernels: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Session:
    """A session the doctor allocated. `address` is None where sessions have no network of their own.

    `language`: what runs a program in it: `shell`, `python`, `javascript`; empty: nothing does.
    """

    pool: dict[str, Any]
    identifier: str
    label: str
    address: str | None = None
    guid: str = ""
    language: str = ""
    marks: Marks | None = None
    kept: str = ""

    @property
    def kind(self) -> str:
        return str(self.pool["containerType"])

    @property
    def hosts(self) -> list[str]:
        """Addresses of the session's own network: the host's, its own, a contained emulator's, the rest."""
        if self.address is None:
            return []
        return [str(one) for one in ipaddress.ip_network(f"{self.address}/{PREFIX}", strict=False).hosts()]

    @property
    def broadcast(self) -> str:
        """Broadcast address of its wire; on loopback where it has no network of its own."""
        if self.address is None:
            return "127.255.255.255"
        return str(ipaddress.ip_network(f"{self.address}/{PREFIX}", strict=False).broadcast_address)


class Sessions:
    """Allocates, uses and ends sessions of the emulator that `client` speaks to."""

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._run = run
        self.token = client.token()

    def allocate(self, pool: dict[str, Any], role: str) -> Session:
        """A session of `pool`; raises `CommandFailed` with what to do about it."""
        session = Session(pool, f"doctor-{role}-{self._run}", str(pool["name"]))
        session.language = {"PythonLTS": "python", "NodeLTS": "javascript", "Shell": "shell"}.get(
            session.kind, ""
        )
        try:
            self.request(session, "GET", "/files" if session.language else "/")
        except CommandFailed as error:
            hint = ""
            if str(error).startswith("429"):
                hint = (
                    "; the doctor needs two free sessions of every pool: stop some (dynamic-sessions session "
                    "stop), let them expire (dynamic-sessions clock advance 300), or raise its "
                    "maxConcurrentSessions"
                )
            raise CommandFailed(f"pool {pool['name']}: {error}{hint}") from error
        for one in self._client.call("GET", "/.emulator/sessions")["sessions"]:
            if (one["pool"], one["identifier"]) == (session.label, session.identifier):
                session.guid, session.address = one["guid"], _address(one["address"])
        if not session.language:
            session.language = self._language(session)
        return session

    def _language(self, session: Session) -> str:
        """What a custom container runs for whoever asks it as a code interpreter is asked; empty: nothing."""
        word = secrets.token_hex(8)
        for language, code in (("python", f"print('{word}')"), ("javascript", f"console.log('{word}')")):
            with contextlib.suppress(CommandFailed, KeyError, TypeError):
                body = {"code": code, "codeInputType": "Inline", "executionType": "Synchronous"}
                answer = self.request(session, "POST", "/executions", body)
                if str(answer["result"]["stdout"]).strip() == word:
                    return language
        return ""

    def request(
        self, session: Session, method: str, path: str, body: Any = None, *, timeout: float | None = None
    ) -> Any:
        """JSON of the answer, if it is JSON. Raises `CommandFailed` for an error, except one that only says
        that a custom container does not know what to do with `GET /`.
        """
        target = (
            f"{session.pool['endpoint']}{path}?{query(identifier=session.identifier, api_version=VERSION)}"
        )
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        sent = None if body is None else json.dumps(body)
        at_most = timeout or RUN_SECONDS + ALIVE_SECONDS
        answer = self._client.open(method, target, body=sent, headers=headers, timeout=at_most)
        try:
            raw = answer.read()
        except (OSError, HTTPException) as error:
            raise CommandFailed(f"the answer broke off ({error})") from error
        own = path == "/" and answer.status not in (401, 403, 429) and answer.status < 500
        if answer.status >= 400 and not own:
            raise CommandFailed(explain(answer, raw))
        with contextlib.suppress(ValueError):
            return json.loads(raw)
        return None

    def run(self, session: Session, program: str) -> Rows:
        """Run a program of `inside`; returns its rows. Raises `CommandFailed` if it prints none."""
        body: dict[str, Any] = {"timeoutInSeconds": RUN_SECONDS, "outputStreamsMaxLength": 4_000_000}
        text = json.dumps(program)
        if session.language == "shell":
            body |= {"execCommandAndArgs": ["python3", "-I", "-"], "stdin": program}
        elif session.language == "javascript":
            call = f"require('child_process').spawnSync('python3', ['-I', '-'], {{input: {text}}})"
            body["code"] = (
                f"(r => {{ console.log(`${{r.stdout}}\\n${{r.status ? r.stderr : ''}}`) }})({call})"
            )
        else:
            call = f"__import__('subprocess').run([__import__('sys').executable, '-I', '-'], input={text}"
            body["code"] = (
                f"(lambda r: print(r.stdout, r.stderr if r.returncode else '', sep='\\n'))"
                f"({call}, capture_output=True, text=True))"
            )
        answer = self.request(session, "POST", "/executions", body)
        result = answer["result"]
        lines = str(result["stdout"]).strip().splitlines()
        try:
            rows: Rows = json.loads(lines[-1])
        except (ValueError, IndexError):
            why = " ".join([*lines[-3:], str(result["stderr"])[-500:]]).strip() or answer["status"]
            raise CommandFailed(f"pool {session.label}: the probes could not run: {why}") from None
        return rows

    def remember(self, session: Session) -> None:
        """Leave a value in a session's kernel, where it has one, for `alive` to ask for."""
        session.kept = secrets.token_hex(6)
        code = {"python": f"doctor_kept = '{session.kept}'", "javascript": f"doctor_kept = '{session.kept}'"}
        if session.language in code:
            self.request(session, "POST", "/executions", {"code": code[session.language]})

    def alive(self, session: Session) -> str:
        """Have a session answer, write a file and tell what it remembers; returns what is wrong (or `""`)."""
        word = session.kept
        codes = {
            "python": {"code": "open('doctor-alive', 'w').write('x' * 4096); print(doctor_kept)"},
            "javascript": {
                "code": "require('fs').writeFileSync('doctor-alive', 'x'.repeat(4096)); "
                "console.log(doctor_kept)"
            },
            "shell": {"shellCommand": f"echo {word} > doctor-alive && cat doctor-alive"},
        }
        try:
            if not session.language:
                self.request(session, "GET", "/", timeout=ALIVE_SECONDS)
                return ""
            body = codes[session.language]
            answer = self.request(session, "POST", "/executions", body, timeout=ALIVE_SECONDS)
            result = answer["result"]
        except (CommandFailed, KeyError, TypeError) as error:
            return f"{error}"
        said = str(result["stdout"]).strip()
        return "" if said == word else f"answered {(said + str(result['stderr']))[-200:]!r}"

    def end(self, session: Session) -> None:
        """End a session; one that is gone already is fine."""
        custom = session.kind == "CustomContainer"
        with contextlib.suppress(CommandFailed):
            self.request(
                session, *(("POST", "/.management/stopSession") if custom else ("DELETE", "/session"))
            )


def _address(url: str | None) -> str | None:
    host = urlsplit(url or "").hostname
    return None if host in (None, "localhost") else host
