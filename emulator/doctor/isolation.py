"""The probe matrix: what a session sees of its neighbours, of the emulator and of the host.

Everything runs through the data plane, as hostile code would. Probes go to loopback and to networks the
emulator made, nowhere else.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.commands.client import Client, CommandFailed, query
from emulator.doctor.judge import EGRESS, HOST, LOOPBACK, Cell, Room, Verdict, judge
from emulator.doctor.listeners import Listeners, listening
from emulator.doctor.script import LISTEN_PORT, Marks, Target, clearing, marking, probing
from emulator.runtimes.base import RuntimeUnavailable
from emulator.runtimes.engine import Engine
from emulator.runtimes.names import resource_name
from emulator.runtimes.options import PROXY_PORT
from emulator.runtimes.subnets import PREFIX

VERSION = "2025-10-02-preview"
RUN_SECONDS = 120


@dataclass
class Report:
    """The matrix: a cell for each probe of each pair; `skipped` tells what could not be looked at."""

    cells: list[Cell] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.verdict is Verdict.BROKEN]

    @property
    def limits(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.verdict is Verdict.LIMIT]


@dataclass
class Session:
    """A session the doctor allocated. `address` is None where sessions have no network of their own."""

    pool: dict[str, Any]
    identifier: str
    label: str
    address: str | None = None
    guid: str = ""
    marks: Marks | None = None

    @property
    def kind(self) -> str:
        return str(self.pool["containerType"])

    @property
    def gateway(self) -> str | None:
        """The host's address on the session's own bridge, where there is one."""
        if self.address is None:
            return None
        return str(next(ipaddress.ip_network(f"{self.address}/{PREFIX}", strict=False).hosts()))


class Isolation:
    """Runs the matrix against the emulator that `client` speaks to."""

    def __init__(self, client: Client, state_dir: Path) -> None:
        self._client = client
        self._state_dir = state_dir
        self._run = secrets.token_hex(6)
        self._token = client.token()
        self._status = client.call("GET", "/.emulator/status")
        self._report = Report()

    def run(self) -> Report:
        """Allocate two sessions a pool, mark one of each, look from the other; all are ended afterwards."""
        sessions: list[Session] = []
        try:
            with listening() as listeners, tempfile.NamedTemporaryFile(prefix="dse-doctor-") as canary:
                neighbours = list(self._allocate("b", sessions))
                attackers = [one for one in self._allocate("a", sessions) if one.kind != "CustomContainer"]
                for one in neighbours:
                    self._mark(one)
                self._prove(neighbours)
                for attacker in attackers:
                    self._attack(attacker, neighbours, sessions, listeners, Path(canary.name))
        finally:
            for session in sessions:
                with contextlib.suppress(CommandFailed):
                    self._clear(session)
                    self._end(session)
        if not self._report.cells:
            raise CommandFailed("no session could be looked at: " + "; ".join(self._report.skipped))
        return self._report

    # -- sessions ----------------------------------------------------------------------------------------

    def _allocate(self, role: str, sessions: list[Session]) -> Iterator[Session]:
        for pool in self._status["pools"]:
            session = Session(pool, f"doctor-{role}-{self._run}", pool["name"])
            try:
                self._request(session, "GET", "/" if session.kind == "CustomContainer" else "/files")
            except CommandFailed as error:
                self._skip(f"pool {pool['name']}: {error}")
                continue
            sessions.append(session)
            found = self._client.call("GET", "/.emulator/sessions")["sessions"]
            for one in found:
                if (one["pool"], one["identifier"]) == (pool["name"], session.identifier):
                    session.guid = one["guid"]
                    session.address = _address(one["address"])
            yield session

    def _request(self, session: Session, method: str, path: str, body: Any = None) -> Any:
        values = {"identifier": session.identifier, "api_version": VERSION}
        target = f"{session.pool['endpoint']}{path}?{query(**values)}"
        headers = {"authorization": f"Bearer {self._token}"}
        if session.kind == "CustomContainer" and not path.startswith("/.management"):
            answer = self._client.open(method, target, headers=headers)
            answer.read()
            if answer.getheader("x-ms-error-code"):
                raise CommandFailed(f"{answer.status} {answer.getheader('x-ms-error-code')}")
            return None
        return self._client.call(method, target, body, **headers)

    def _clear(self, session: Session) -> None:
        if not self._status.get("sandboxed", True) and session.marks is not None:
            self._bash(session, clearing(session.marks))

    def _end(self, session: Session) -> None:
        if session.kind == "CustomContainer":
            self._request(session, "POST", "/.management/stopSession")
        else:
            self._request(session, "DELETE", "/session")

    def _bash(self, session: Session, script: str) -> list[list[str]]:
        """Run a script in a session; returns its answer's lines, split at tabs."""
        body: dict[str, Any] = {"timeoutInSeconds": RUN_SECONDS, "outputStreamsMaxLength": 4_000_000}
        text = json.dumps(script)
        if session.kind == "Shell":
            body |= {"execCommandAndArgs": ["bash", "-s"], "stdin": script}
        elif session.kind == "NodeLTS":
            spawn = f"require('child_process').spawnSync('bash', ['-s'], {{input: {text}, encoding: 'utf8'}})"
            body["code"] = f"console.log({spawn}.stdout)"
        else:
            call = (
                f"__import__('subprocess').run(['bash', '-s'], input={text}, capture_output=True, text=True)"
            )
            body["code"] = f"print({call}.stdout)"
        answer = self._request(session, "POST", "/executions", body)
        result = answer["result"]
        if answer["status"] not in ("Succeeded", "0"):
            why = f"{result['stdout'][-300:]} {result['stderr'][-500:]}".strip()
            raise CommandFailed(f"pool {session.label}: the probes could not run: {why}")
        return [line.split("\t") for line in result["stdout"].splitlines()]

    # -- probing -----------------------------------------------------------------------------------------

    def _mark(self, one: Session) -> None:
        def token() -> str:
            return secrets.token_hex(8)

        file = f"{self._run}-{one.label}"
        marks = Marks(one.label, file, token(), f"neighbour-{token()}")
        one.marks = marks
        if one.kind == "CustomContainer":
            return
        for line in self._bash(one, marking(marks)):
            if line[0] == "K":
                with contextlib.suppress(ValueError):
                    kernel = json.loads(line[1])
                    path = kernel["ip"] if kernel.get("transport") == "ipc" else ""
                    key = kernel.get("key", "")
                    one.marks = Marks(one.label, file, marks.process, marks.answer, key, path)

    def _prove(self, neighbours: Sequence[Session]) -> None:
        """A probe that finds nothing where there is something proves nothing: each neighbour finds itself."""
        for one in neighbours:
            if one.kind == "CustomContainer" or one.marks is None:
                continue
            here = Target("TCP to a neighbour", one.label, "127.0.0.1", LISTEN_PORT, wanted=one.marks.answer)
            lines = self._bash(one, self._script([one.marks], [here], [], [], one.label))
            seen = {line[1] for line in lines if line[0] == "R" and line[2] == one.label and line[3]}
            for probe in {"files", "processes", "environment", here.probe} - seen:
                self._report.skipped.append(f"pool {one.label}: '{probe}' cannot be probed (control failed)")

    def _attack(
        self,
        attacker: Session,
        neighbours: Sequence[Session],
        everybody: Sequence[Session],
        listeners: Listeners,
        canary: Path,
    ) -> None:
        marks = [one.marks for one in neighbours if one.marks is not None]
        targets = [*self._at_neighbours(attacker, neighbours), *self._at_emulator(attacker, everybody)]
        targets += self._at_listeners(attacker, everybody, listeners)
        dns = [] if attacker.pool["egress"] else self._names(neighbours)
        secret = self._state_dir / "signing-key.pem"
        lines = self._bash(
            attacker, self._script(marks, targets, dns, [str(canary), str(secret)], attacker.label)
        )
        if ["DONE"] not in lines:
            raise CommandFailed(f"pool {attacker.label}: the probes ended early")
        room = Room(
            attacker.label,
            str(self._status["runtime"]),
            bool(attacker.pool["egress"]),
            bool(self._status.get("sandboxed", True)),
            self._internal(attacker),
        )
        written = self._written(attacker.label)
        if written.exists():
            lines.append(["R", "host files", "-", f"wrote {written}"])
            written.unlink()
        self._report.cells += judge(room, lines)

    def _written(self, label: str) -> Path:
        return Path(tempfile.gettempdir()) / f"written-{self._run}-by-{label}"

    def _script(
        self,
        marks: Sequence[Marks],
        targets: Sequence[Target],
        names: Sequence[tuple[str, str]],
        canaries: Sequence[str],
        label: str,
    ) -> str:
        written = str(self._written(label))
        return probing(marks, targets, names, run=self._run, canaries=canaries, written=written)

    def _names(self, neighbours: Sequence[Session]) -> list[tuple[str, str]]:
        """Names an engine's DNS would know; asked only where no name server outside can be reached."""
        instance = str(self._status["instance"])
        return [
            (one.label, resource_name(instance, one.label, one.guid)) for one in neighbours if one.address
        ]

    def _at_neighbours(self, attacker: Session, neighbours: Sequence[Session]) -> list[Target]:
        targets = []
        for one in neighbours:
            assert one.marks is not None  # noqa: S101 - every neighbour was marked
            host = one.address or "127.0.0.1"
            if one.kind != "CustomContainer":
                probe = "TCP to a neighbour"
                targets.append(Target(probe, one.label, host, LISTEN_PORT, wanted=one.marks.answer))
            if one.address is not None:
                port = int(one.pool.get("targetPort") or PROXY_PORT)
                targets.append(Target("a neighbour's own API", one.label, host, port, "/health"))
        return targets

    def _at_emulator(self, attacker: Session, everybody: Sequence[Session]) -> list[Target]:
        """Data plane and admin API on loopback, on the host's address of every bridge, where they listen."""
        urls = [urlsplit(str(self._status[name])) for name in ("http", "https") if self._status.get(name)]
        hosts = [url.hostname for url in urls if url.hostname and _specific(url.hostname)]
        ports = sorted({url.port for url in urls if url.port})
        targets = []
        for host in dict.fromkeys(["127.0.0.1", "::1", *_gateways(everybody), *hosts]):
            for port in ports:
                for path in ("/.emulator/alive", attacker.pool["endpoint"] + "/metadata"):
                    what = "admin API" if "alive" in path else "data plane"
                    targets.append(Target(f"the emulator's {what}", "-", host, port, path))
        return targets

    def _at_listeners(
        self, attacker: Session, everybody: Sequence[Session], listeners: Listeners
    ) -> list[Target]:
        targets = []
        for address in ("127.0.0.1", "::1"):
            if (port := listeners.open(address)) is not None:
                targets.append(Target(LOOPBACK, "-", address, port, wanted=listeners.nonce))
        own = attacker.gateway
        elsewhere = [gateway for gateway in _gateways(everybody) if gateway != own]
        for address in [*([own] if own else []), *elsewhere[:1]]:
            if (port := listeners.open(address)) is None:
                self._skip(f"{HOST}: this machine has no address on the bridges the emulator made")
                continue
            targets.append(Target(HOST, "-", address, port, wanted=listeners.nonce))
            if address != own:  # not on the session's own network, so it takes a route to get there
                targets.append(Target(EGRESS, "-", address, port, wanted=listeners.nonce))
        return targets

    def _skip(self, note: str) -> None:
        if note not in self._report.skipped:
            self._report.skipped.append(note)

    def _internal(self, session: Session) -> bool | None:
        """Whether the session's network was made without a way out; None where no engine can be asked."""
        if self._status["runtime"] != "docker":
            return None
        try:
            engine = Engine()
        except RuntimeUnavailable:
            return None
        try:
            return engine.internal(session.guid)
        finally:
            engine.close()


def _gateways(sessions: Sequence[Session]) -> list[str]:
    return list(dict.fromkeys(one.gateway for one in sessions if one.gateway is not None))


def _specific(host: str) -> bool:
    """Whether `host` is one address, not a name and not all addresses."""
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(host).is_unspecified
    return False


def _address(url: str | None) -> str | None:
    host = urlsplit(url or "").hostname
    return None if host in (None, "localhost") else host
