"""What `scripts/bench` runs: times side by side, never asserted (machines are shared and noisy)."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness import NEWEST, Emulator, emulator, pool


def milliseconds(work: Callable[[], object], rounds: int) -> list[float]:
    """Sorted durations of `rounds` runs."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


def shown(name: str, times: list[float], beside: list[float] | None = None) -> None:
    middle = statistics.median(times)
    text = f"{name:<58} p50 {middle:8.1f} ms   max {times[-1]:8.1f} ms"
    if beside is not None:
        text += f"   {middle / statistics.median(beside):5.2f} x"
    print(text, flush=True)


class Caller:
    """One kept-open connection that executes `1+1`."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        parts = urlsplit(endpoint)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._path = parts.path
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def run(self, identifier: str) -> None:
        body = json.dumps({"code": "1+1", "codeInputType": "Inline", "executionType": "Synchronous"})
        path = f"{self._path}/executions?api-version={NEWEST}&identifier={identifier}"
        self._connection.request("POST", path, body=body, headers=self._headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        if answer.status not in (200, 202):
            raise SystemExit(f"{answer.status} {raw.decode()}")


def settled(running: Emulator) -> None:
    while not running.ask("GET", "/ready")["ready"]:
        time.sleep(0.05)


def measure(running: Emulator, rounds: int) -> None:
    caller = Caller(running.endpoint("python"), running.token)
    names = iter(f"bench{number}" for number in range(10_000))

    def fresh() -> list[float]:
        running.reset()
        settled(running)
        return milliseconds(lambda: caller.run(next(names)), 1)

    ready = sorted(time for _ in range(rounds) for time in fresh())
    cold_caller = Caller(running.endpoint("cold"), running.token)

    def cold() -> None:
        cold_caller.run(next(names))

    starts = []
    for _ in range(rounds):
        running.reset()
        settled(running)
        starts += milliseconds(cold, 1)
    shown("new identifier, no instance ready: nothing to first result", sorted(starts))
    shown("new identifier, instance ready", ready, sorted(starts))
    caller.run("steady")
    through = milliseconds(lambda: caller.run("steady"), rounds * 20)
    sessions = running.ask("GET", "/sessions")["sessions"]
    address = next(one["address"] for one in sessions if one["identifier"] == "steady")
    if urlsplit(address).port is None:
        shown("execution of 1+1 through the emulator", through)
        return
    inside = Caller(address, None)
    direct = milliseconds(lambda: inside.run("steady"), rounds * 20)
    shown("execution of 1+1, straight to the session", direct)
    shown("execution of 1+1, through the emulator", through, direct)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--runtime", default="docker", choices=["docker", "process"])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    pools = [
        pool("python", "PythonLTS", ready=1),
        pool("cold", "PythonLTS", ready=0),
    ]
    flags = ["--runtime", options.runtime, "--instance", "bench", "--session-subnet", "10.253.0.0/16"]
    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder), *flags, pools=pools) as running:
        first = running.text().splitlines()[0]
        print(f"{first}\n", flush=True)
        measure(running, options.rounds)


if __name__ == "__main__":
    main()
