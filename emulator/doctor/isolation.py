"""The probe matrix: what a session sees of its neighbours, of the emulator and of the host.

Everything runs through the data plane, as hostile code would. Probes go to loopback, to this host and to
networks the emulator made, nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from emulator.commands.client import Client, CommandFailed
from emulator.doctor.inside import program
from emulator.doctor.judge import Room, judge
from emulator.doctor.listeners import Listeners, listening
from emulator.doctor.needles import Needle, Secret, known_secrets
from emulator.doctor.report import Report
from emulator.doctor.session import Marks, Rows, Session, Sessions
from emulator.doctor.strains import Watch, strain
from emulator.doctor.targets import at_emulator, at_listeners, at_neighbour, calls, names_of
from emulator.runtimes.base import RuntimeUnavailable
from emulator.runtimes.engine import Engine

T = TypeVar("T")
U = TypeVar("U")

AT_ONCE: Final = 8
SEARCH_SECONDS: Final = 4.0
SEARCH_BYTES: Final = 2 * 1024**3
"""How long, and through how many bytes, a session's files are searched for secrets."""


class Isolation:
    """Runs the matrix against the emulator that `client` speaks to.

    `progress` is told each step. `gentle`: uses nothing up. After `time_limit` seconds no further session is
    probed from.
    """

    def __init__(
        self,
        client: Client,
        state_dir: Path,
        *,
        progress: Callable[[str], None] = lambda text: None,
        gentle: bool = False,
        time_limit: float = 900.0,
        admin_key: str | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._run = secrets.token_hex(6)
        self._sessions = Sessions(client, self._run)
        self._status: dict[str, Any] = client.call("GET", "/.emulator/status")
        self._progress = progress
        self._gentle = gentle
        self._until = time.monotonic() + time_limit
        self._time_limit = time_limit
        self._all: list[Session] = []
        about = {name: self._status.get(name) for name in ("instance", "runtime", "http", "https")}
        self._report = Report(about | {"pools": [pool["name"] for pool in self._status["pools"]]})
        header = self._status.get("identityHeader")
        self._secrets = list(known_secrets(self._sessions.token, header, admin_key, state_dir))
        self._needles = [one.needle() for one in self._secrets]

    def run(self) -> Report:
        """Allocate two sessions a pool, mark one of each, look from the other; all are ended afterwards."""
        try:
            with listening() as listeners, tempfile.NamedTemporaryFile(prefix="dse-doctor-") as canary:
                self._probe(listeners, Path(canary.name))
        finally:
            self._progress(f"ending {len(self._all)} sessions")
            self._each("end", self._all, self._end)
        if not self._report.cells:
            raise CommandFailed("no session could be looked at: " + "; ".join(self._report.failed))
        return self._report

    def _probe(self, listeners: Listeners, canary: Path) -> None:
        pools = self._status["pools"]
        self._progress(f"starting two sessions in each of {len(pools)} pools")
        neighbours = self._each("start", pools, lambda pool: self._allocate(pool, "b"))
        others = self._each("start", pools, lambda pool: self._allocate(pool, "a"))
        attackers = [one for one in others if one.language]
        for one in others:
            if one not in attackers:
                self._skip(
                    f"pool {one.label}: nothing can be tried from its sessions: the container runs neither "
                    "Python nor JavaScript for POST /executions"
                )
        self._progress(f"marking {len(neighbours)} neighbours")
        self._each("mark", neighbours, self._mark)
        self._progress("proving that each mark is found where it is")
        self._each("prove", neighbours, self._prove)
        rows = {one.label: rows for one, rows in self._attacks(attackers, neighbours, listeners, canary)}
        self._progress("asking the neighbours what they heard")
        self._hear(neighbours, rows)
        rooms = {one.label: self._room(one) for one in attackers if one.label in rows}
        for label, room in rooms.items():
            self._report.cells += judge(room, rows[label])
        if not self._gentle:
            self._strains([one for one in attackers if one.label in rooms], neighbours, rooms)
        order = list(rooms)
        self._report.cells.sort(key=lambda cell: order.index(cell.pool))

    def _attacks(
        self, attackers: Sequence[Session], neighbours: Sequence[Session], listeners: Listeners, canary: Path
    ) -> list[tuple[Session, Rows]]:
        def attack(one: Session) -> tuple[Session, Rows] | None:
            if self._late(one):
                return None
            self._progress(f"probing from pool {one.label}")
            return one, self._attack(one, neighbours, listeners, canary)

        return self._each("probe", attackers, attack)

    def _strains(
        self, attackers: Sequence[Session], neighbours: Sequence[Session], rooms: dict[str, Room]
    ) -> None:
        # One at a time: a neighbour that feels something must know whose it is.
        with Watch(self._sessions.alive, neighbours) as watch:
            for number, one in enumerate(attackers, 1):
                if self._late(one):
                    continue
                self._progress(
                    f"using up processes, memory, disk and cores of pool {one.label} "
                    f"({number} of {len(attackers)})"
                )
                quota = one.pool.get("disk") or self._status.get("sessionDisk")
                try:
                    self._report.cells += strain(self._sessions, one, rooms[one.label], watch, quota)
                except CommandFailed as error:
                    self._fail(f"{error}")

    # -- sessions ----------------------------------------------------------------------------------------

    def _allocate(self, pool: dict[str, Any], role: str) -> Session:
        session = self._sessions.allocate(pool, role)
        self._all.append(session)
        return session

    def _end(self, session: Session) -> None:
        if not self._status.get("sandboxed", True) and session.marks is not None:
            # Not locked in, so what it left would outlive it.
            marks = session.marks
            with contextlib.suppress(CommandFailed):
                self._sessions.run(session, program("mark", file=marks.file, remove=marks.pids))
        self._sessions.end(session)

    def _mark(self, one: Session) -> None:
        if not one.language:
            return
        words = [secrets.token_hex(12) for _ in range(3)]
        marks = Marks(f"{self._run}-{one.label}", words[0], f"neighbour-{words[1]}", words[2])
        kept = ("file", "process", "answer", "decoy")
        given = {name: value for name, value in asdict(marks).items() if name in kept}
        for row in self._sessions.run(one, program("mark", **given)):
            if row[0] == "P":
                marks.port = int(row[1])
            elif row[0] == "I":
                marks.pids.append(row[1])
            elif row[0] == "K":
                marks.kernels.append(json.loads(row[1]))
        one.marks = marks
        self._sessions.remember(one)

    def _prove(self, one: Session) -> None:
        """A probe that finds nothing where there is something proves nothing: each neighbour finds itself."""
        if one.marks is None:
            return
        here = replace(one, address=None)
        targets = [target for target in at_neighbour(here) if target[2] == "127.0.0.1"]
        needle = Secret("a decoy", one.marks.decoy.encode()).needle()
        rows = self._look(one, [one], [])
        rows += self._reach(one, targets=targets, calls=calls(one, [one], self._call_of(one, "control")))
        rows += self._search(one, [needle], everywhere=False)
        seen = {row[1] for row in rows if row[0] == "R" and row[3]}
        wanted = {"files", "/tmp", "processes", "environment", "secrets in files", "secrets in environment"}  # noqa: S108
        wanted |= {target[0] for target in targets} | ({"kernel connection"} if one.marks.kernels else set())
        for probe in sorted(wanted - seen):
            self._fail(f"pool {one.label}: '{probe}' proves nothing, a session does not even find its own")

    # -- probing -----------------------------------------------------------------------------------------

    def _attack(
        self, attacker: Session, neighbours: Sequence[Session], listeners: Listeners, canary: Path
    ) -> Rows:
        targets, notes = at_listeners(attacker, self._all, listeners)
        for note in notes:
            self._skip(note)
        written = Path(tempfile.gettempdir()) / f"written-{self._run}-by-{attacker.label}"
        hidden = [str(canary), str(self._state_dir / "signing-key.pem"), str(written)]
        rows = self._look(attacker, neighbours, hidden)
        if written.exists():
            rows.append(["R", "host files", "-", f"wrote {written}"])
            written.unlink()
        own = [json.loads(row[1]) for row in self._sessions.run(attacker, program("mark"))]
        targets += [target for one in neighbours for target in at_neighbour(one, own)]
        targets += at_emulator(self._status, attacker, self._all)
        # Asked only where no name server outside can be reached.
        names = [] if attacker.pool["egress"] else names_of(str(self._status["instance"]), neighbours)
        rows += self._reach(
            attacker,
            targets=targets,
            names=names,
            calls=calls(attacker, neighbours, self._call_of(attacker, "attack")),
            table=[(one.label, one.address) for one in neighbours if one.address],
        )
        return rows + self._search(attacker, self._needles, everywhere=True)

    def _look(self, session: Session, neighbours: Sequence[Session], hidden: list[str]) -> Rows:
        marked = [
            {
                "label": one.label,
                "file": one.marks.file,
                "process": one.marks.process,
                "kernels": [
                    (kernel.get("key", ""), kernel["ip"] if kernel.get("transport") == "ipc" else "")
                    for kernel in one.marks.kernels
                ],
            }
            for one in neighbours
            if one.marks is not None
        ]
        given = {"run": self._run, "neighbours": marked, "canaries": hidden[:2], "written": hidden[2:]}
        return self._sessions.run(session, program("look", **given))

    def _reach(self, session: Session, **given: Any) -> Rows:
        return self._sessions.run(session, program("reach", **given))

    def _search(self, session: Session, needles: Sequence[Needle], *, everywhere: bool) -> Rows:
        first = [".", "/tmp", "/run", "/mnt", "/home", "/root", "/app", "/etc", "/var"]  # noqa: S108
        given = {
            "needles": needles,
            "first": [str(self._state_dir), *first] if everywhere else first[:3],
            "everywhere": everywhere,
            "label": "-",
            "seconds": SEARCH_SECONDS,
            "bytes": SEARCH_BYTES,
        }
        return self._sessions.run(session, program("search", **given))

    def _call_of(self, session: Session, why: str) -> str:
        return f"{why}-{self._run}-{session.label}"

    def _hear(self, neighbours: Sequence[Session], rows: dict[str, Rows]) -> None:
        """Whose call each neighbour heard: its own, which proves the probe, and nobody else's."""
        for one in neighbours:
            if one.marks is None or not one.marks.port:
                continue
            target = ("", one.label, "127.0.0.1", one.marks.port, "/", one.marks.answer)
            answer = {row[1] for row in self._reach(one, targets=[target], whole=True)}
            if self._call_of(one, "control") not in answer:
                text = f"pool {one.label}: 'broadcast' proves nothing, a session does not even hear itself"
                self._fail(text)
            for attacker, found in rows.items():
                said = f"attack-{self._run}-{attacker}"
                found.append(["R", "broadcast", one.label, "it was heard" if said in answer else ""])

    def _room(self, session: Session) -> Room:
        room = Room(
            session.label,
            str(self._status["runtime"]),
            bool(session.pool["egress"]),
            bool(self._status.get("sandboxed", True)),
        )
        if room.runtime != "docker":
            return room
        try:
            engine = Engine()
        except RuntimeUnavailable:
            return room
        try:
            return replace(room, internal=engine.internal(session.guid), driver=engine.driver)
        finally:
            engine.close()

    # -- keeping count -----------------------------------------------------------------------------------

    def _each(self, what: str, things: Sequence[T], work: Callable[[T], U | None]) -> list[U]:
        """`work` on each, a few at a time; what fails is reported and left out, and so is None."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"doctor-{what}") as workers:
            futures = [workers.submit(work, thing) for thing in things]
        found = []
        for future in futures:
            try:
                result = future.result()
            except CommandFailed as error:
                self._fail(str(error))
            else:
                found += [] if result is None else [result]
        return found

    def _late(self, one: Session) -> bool:
        if time.monotonic() < self._until:
            return False
        text = (
            f"pool {one.label}: the {self._time_limit:g} s of --time-limit were over before it was its turn"
        )
        self._fail(text)
        return True

    def _skip(self, note: str) -> None:
        if note not in self._report.skipped:
            self._report.skipped.append(note)

    def _fail(self, note: str) -> None:
        if note not in self._report.failed:
            self._report.failed.append(note)
