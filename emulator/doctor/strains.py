"""Strains a session and asks its neighbours meanwhile whether they feel it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from emulator.doctor.inside import program
from emulator.doctor.judge import BUSY, DISK, Cell, Poll, Room, Strain, Verdict, felt, stopped
from emulator.doctor.session import ALIVE_SECONDS, Session, Sessions

STAGES: Final = {
    "processes": "fork bomb",
    "memory": "memory exhaustion",
    "disk": DISK,
    "cores": BUSY,
}
"""What is used up, and the row of the matrix."""

HOLDS: Final = (0.8, 4.0, 15.0)
"""Seconds a strain stands; longer if no neighbour's answer came in that time on a slow machine."""
PAUSE: Final = 0.3
SKEW: Final = 2.0
"""Between two questions; and how far a session's clock may be off the doctor's without being corrected."""


class Watch:
    """Asks each neighbour over and over, each on a thread of its own, until the block is left."""

    def __init__(self, ask: Callable[[Session], str], neighbours: Sequence[Session]) -> None:
        self._ask = ask
        self.polls: dict[str, list[Poll]] = {one.label: [] for one in neighbours}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(one,), name=f"watch {one.label}", daemon=True)
            for one in neighbours
        ]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(ALIVE_SECONDS + 5)

    def _watch(self, one: Session) -> None:
        while not self._over.wait(PAUSE):
            began = time.time()
            problem = self._ask(one)
            self.polls[one.label].append(Poll(began, time.time(), problem))

    def settle(self, moment: float) -> None:
        """Return once every neighbour has answered a question since `moment`, at most `ALIVE_SECONDS` on."""
        until = time.monotonic() + ALIVE_SECONDS
        while time.monotonic() < until and not all(
            polls and polls[-1].ended >= moment for polls in self.polls.values()
        ):
            time.sleep(PAUSE / 8)


def strain(sessions: Sessions, attacker: Session, room: Room, watch: Watch, quota: int | None) -> list[Cell]:
    """The cells of every stage. Raises `CommandFailed` if a strain could not be run in the session."""
    cells: list[Cell] = []
    for stage, probe in STAGES.items():
        for hold in HOLDS:
            given = {"stage": stage, "hold": hold, "bounded": room.runtime == "docker", "quota": quota}
            sent = time.time()
            rows = sessions.run(attacker, program("strain", **given))
            answered = time.time()
            (row,) = (row for row in rows if row[0] == "T")
            done = Strain(probe, *_moments(row, sent, answered), row[3], row[4])
            watch.settle(answered)
            seen = {label: felt(room, done, label, polls) for label, polls in watch.polls.items()}
            if all(seen.values()):
                break
        late = f"the neighbour did not answer within the {HOLDS[-1]:g} s that it stood"
        cells.append(stopped(room, done))
        for label, cell in seen.items():
            cells.append(cell or Cell(room.pool, probe, label, Verdict.BROKEN, late))
    return cells


def _moments(row: Sequence[str], sent: float, answered: float) -> tuple[float, float]:
    """When a strain began and ended, by the doctor's clock: a session's may be another machine's."""
    began, ended = float(row[1]), float(row[2])
    if sent - SKEW <= began and ended <= answered + SKEW:
        return began, ended
    return began - ended + answered, answered
