"""Runs the emulator as users do, as a process of its own, and speaks to it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

NEWEST = "2025-10-02-preview"
START_SECONDS = 150


class Emulator:
    """A running emulator: where it is, and the requests a client would send."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log
        self.http = str(ready["http"])
        self.runtime = str(ready["runtime"])
        self._token: str | None = None

    @property
    def admin(self) -> str:
        return str(self.ready["admin"])

    @property
    def token(self) -> str:
        """A good bearer token."""
        if self._token is None:
            self._token = self.new_token()
        return self._token

    def new_token(self, **query: str) -> str:
        answer = requests.get(f"{self.admin}/token", params=query, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["accessToken"])

    def endpoint(self, pool: str) -> str:
        return str(self.ready["pools"][pool]["endpoint"])

    def send(self, method: str, pool: str, path: str, **options: Any) -> requests.Response:
        """A request to a pool's data plane, with a good token unless `headers` say otherwise."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        options.setdefault("timeout", 300)
        return requests.request(method, self.endpoint(pool) + path, headers=headers, **options)

    def run(
        self, pool: str, identifier: str, code: str, *, version: str = NEWEST, **fields: Any
    ) -> dict[str, Any]:
        """Run code on `/executions` and return the answer's body; anything but 200 or 202 fails the test."""
        body = {"codeInputType": "Inline", "executionType": "Synchronous", "code": code, **fields}
        answer = self.send(
            "POST", pool, f"/executions?api-version={version}&identifier={identifier}", json=body
        )
        assert answer.status_code in (200, 202), f"{answer.status_code} {answer.text} {dict(answer.headers)}"
        found: dict[str, Any] = answer.json()
        return found

    def value(self, pool: str, identifier: str, code: str, **fields: Any) -> Any:
        """The value of the last expression of code that must succeed."""
        found = self.run(pool, identifier, code, **fields)
        assert found["status"] == "Succeeded", found
        return found["result"]["executionResult"]

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """A request to the admin API; returns its JSON."""
        answer = requests.request(method, self.admin + path, timeout=120, **options)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        return answer.json()

    def advance(self, seconds: float) -> None:
        self.ask("POST", "/clock/advance", json={"seconds": seconds})

    def reset(self) -> None:
        self.ask("POST", "/reset")

    def stop(self, number: int = signal.SIGTERM, at_most: float = 30) -> int:
        """Ask the process to end and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(at_most)

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def emulator(
    folder: Path,
    *flags: str,
    pools: Sequence[dict[str, Any]] | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[Emulator]:
    """`dynamic-sessions up` on a free port with its state in `folder`; ended when the block is left."""
    started = start(folder, *flags, pools=pools, env=env)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop()


def start(
    folder: Path,
    *flags: str,
    pools: Sequence[dict[str, Any]] | None = None,
    env: dict[str, str] | None = None,
) -> Emulator:
    """As `emulator`, without ending it."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "emulator.log"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "emulator", "up", "--port", "0", "--ready-file", str(ready)]
    command += ["--state-dir", str(folder / "state"), *flags]
    if not any(flag.startswith("--tls-port") for flag in flags):
        command += ["--tls-port", "off"]
    if pools is not None:
        (folder / "pools.json").write_text(json.dumps(list(pools)), encoding="utf-8")
        command += ["--config", str(folder / "pools.json")]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=folder
        )
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            tail = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise AssertionError(
                f"the emulator did not become ready (exit status {process.returncode}):\n{tail}"
            )
        time.sleep(0.05)
    return Emulator(process, json.loads(ready.read_text(encoding="utf-8")), log)


def pool(name: str, container_type: str, **options: Any) -> dict[str, Any]:
    """A pool document; `max_sessions`, `cooldown`, `egress`, `ready` and `template` in short."""
    properties: dict[str, Any] = {
        "containerType": container_type,
        "poolManagementType": "Dynamic",
        "scaleConfiguration": {"maxConcurrentSessions": options.get("max_sessions", 10)},
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": options.get("lifecycle")
            or {"lifecycleType": "Timed", "cooldownPeriodInSeconds": options.get("cooldown", 300)}
        },
        "sessionNetworkConfiguration": {
            "status": "EgressEnabled" if options.get("egress") else "EgressDisabled"
        },
    }
    if "template" in options:
        properties["customContainerTemplate"] = options["template"]
        properties["scaleConfiguration"]["readySessionInstances"] = options.get("ready", 0)
    document: dict[str, Any] = {"name": name, "location": "local", "properties": properties}
    extra = dict(options.get("emulator", {}))
    if "ready" in options and "template" not in options:
        extra["ready"] = options["ready"]
    if extra:
        document["x-emulator"] = extra
    return document
