"""Random kills and faults while the load goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import docker
import requests
from docker.errors import APIError, NotFound

from tests.docker.engine import LABEL
from tests.harness import Emulator
from tests.soak.load import CUT_SHORT

FAULTS = (
    {"effect": {"type": "error", "status": 599, "code": "Soak"}, "times": 3},
    {"effect": {"type": "latency", "min": 0.01, "max": 0.3}, "times": 20},
    {"effect": {"type": "coldStart", "seconds": 0.3}, "times": 5},
    {"effect": {"type": "cut"}, "times": 2},
    {"effect": {"type": "cut", "afterBytes": 20}, "times": 2},
    {"effect": {"type": "kill", "after": 0.05}, "times": 1},
    {"effect": {"type": "kill", "oom": True}, "times": 1},
    {"effect": {"type": "expire", "after": 0.05}, "times": 1},
    {"effect": {"type": "kernelDeath", "after": 0.05}, "times": 1, "match": {"pool": "python"}},
    {"effect": {"type": "latency", "distribution": "exponential", "mean": 0.1, "max": 2}, "times": 20},
    {"effect": {"type": "truncate", "afterBytes": CUT_SHORT}, "times": 2, "match": {"route": "/files*"}},
    # {"effect": {"type": "kernelDeath", "after": 0.05}, "times": 1, "match": {"pool": "python"}},
    {"effect": {"type": "error", "code": "SessionsCountExceedsLimit"}, "times": 3},
)


class Trouble:
    """A thread that does something nasty every `pause` seconds or so until it is told to rest."""

    def __init__(self, running: Emulator, instance: str, pause: float, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._running = running
        self._instance = instance
        self._pause = pause
        self._dice = random.Random(seed)
        self._rest = threading.Event()
        self._over = threading.Event()
        self._idle = threading.Event()
        self._kinds: list[Callable[[], None]] = [self._fault, self._fault, self._kill, self._end, self._time]
        self._engine = docker.from_env() if running.runtime == "docker" else None
        self._rest.set()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def work(self) -> None:
        self._rest.clear()

    def rest(self) -> None:
        """Return once nothing nasty is under way; the faults in force are removed."""
        self._rest.set()
        self._idle.wait(120)
        requests.delete(f"{self._running.admin}/faults", timeout=30)

    def end(self) -> None:
        self._over.set()
        self._thread.join(120)
        if self._engine is not None:
            self._engine.close()

    def _run(self) -> None:
        while not self._over.wait(self._dice.uniform(0.2, 1.8) * self._pause):
            if self._rest.is_set():
                self._idle.set()
                continue
            self._idle.clear()
            self._dice.choice(self._kinds)()
        self._idle.set()

    def _fault(self) -> None:
        rule = self._dice.choice(FAULTS)
        answer = requests.post(f"{self._running.admin}/faults", json=rule, timeout=30)
        assert answer.status_code == 201, answer.text
        self.done[f"fault {rule['effect']['type']}"] += 1  # type: ignore[index]

    def _kill(self) -> None:
        """What holds some session, or a warm instance, ends from outside."""
        if self._engine is None:
            victims = _children(self._running.process.pid)
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._dice.choice(victims), signal.SIGKILL)
                    self.done["kill"] += 1
            return
        found = self._engine.containers.list(
            filters={"label": f"{LABEL}={self._instance}"}, ignore_removed=True
        )
        if found:
            how = self._dice.choice(["kill", "kill", "stop", "remove", "restart"])
            victim = self._dice.choice(found)
            act: Callable[[], object] = {
                "kill": victim.kill,
                "stop": lambda: victim.stop(timeout=1),
                "remove": lambda: victim.remove(force=True),
                "restart": lambda: victim.restart(timeout=1),
            }[how]
            with contextlib.suppress(NotFound, APIError):
                act()
                self.done[f"container {how}"] += 1

    def _end(self) -> None:
        sessions = self._running.ask("GET", "/sessions")["sessions"]
        if sessions:
            action = self._dice.choice(["stop", "kill", "expire"])
            guid = self._dice.choice(sessions)["guid"]
            requests.post(f"{self._running.admin}/sessions/{guid}/{action}", timeout=60)
            self.done[f"session {action}"] += 1

    def _time(self) -> None:
        self._running.advance(self._dice.choice([10, 60, 200]))
        self.done["clock"] += 1


def _children(pid: int) -> list[int]:
    """Session processes that an emulator started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(status.parent.name))
    return found
