"""One emulator for all client tests, and a way to run a client with its own interpreter against it."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Emulator, emulator

DRIVERS = Path(__file__).parent / "drivers"
SUBNET = "10.232.0.0/16"

Drive = Callable[..., Any]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The default pools on the engine, over HTTP and HTTPS."""
    folder = tmp_path_factory.mktemp("clients")
    flags = ("--runtime", "docker", "--tls-port", "0", "--session-subnet", SUBNET, "--log-level", "info")
    with emulator(folder, *flags, "--instance", f"clients-{uuid.uuid4().hex[:8]}") as started:
        yield started


@pytest.fixture(autouse=True)
def swept(served: Emulator) -> Iterator[None]:
    """No test's sessions take the next one's places in the pool."""
    yield
    for session in served.ask("GET", "/sessions")["sessions"]:
        served.ask("POST", f"/sessions/{session['guid']}/stop")


def interpreter(group: str) -> Path:
    """The interpreter (or npm folder) of a group of versions.txt; fails the test when it is not there."""
    cache = os.environ.get("DSE_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dynamic-sessions"
    )
    folder = Path(cache) / "clients" / group
    if not (folder / ".installed").exists():
        pytest.fail(f"the clients of group '{group}' are not installed: run scripts/clients {group}")
    return folder


def environment(emulator: Emulator, home: Path) -> dict[str, str]:
    """What a user exports, and nothing of this process but the search path."""
    ready = emulator.ready
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "IDENTITY_ENDPOINT": ready["identityEndpoint"],
        "IDENTITY_HEADER": ready["identityHeader"],
        "SSL_CERT_FILE": ready["ca"],
        "REQUESTS_CA_BUNDLE": ready["ca"],
        "NODE_EXTRA_CA_CERTS": ready["ca"],
        "PYTHONWARNINGS": "ignore",
        "HTTP_ENDPOINT": emulator.http,
        "HTTPS_ENDPOINT": ready["https"],
        "POOL_ENDPOINT": emulator.endpoint("python"),
        "SHELL_ENDPOINT": emulator.endpoint("shell"),
        "POOL_ENDPOINT_HTTPS": ready["pools"]["python"]["endpointHttps"],
        "SESSION": f"client-{uuid.uuid4().hex}",
    }


@pytest.fixture
def drive(served: Emulator, tmp_path: Path) -> Drive:
    """Runs a driver of this folder with its client's interpreter; returns what its last line says in JSON."""

    def run(group: str, driver: str, *, timeout: float = 120, **extra: str) -> Any:
        folder = interpreter(group)
        script = DRIVERS / driver
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        if script.suffix == ".mjs":
            # Node looks packages up beside the script, so the script goes where they are installed.
            placed = folder / f"{script.stem}-{uuid.uuid4().hex}.mjs"
            placed.write_bytes(script.read_bytes())
            command = ["node", str(placed)]
        else:
            placed = None
            command = [str(folder / "bin/python"), str(script)]
        env = {**environment(served, tmp_path), **extra}
        env = {name: value for name, value in env.items() if value}  # "" takes a variable away
        try:
            done = subprocess.run(
                command, env=env, cwd=work, capture_output=True, text=True, timeout=timeout, check=False
            )
        finally:
            if placed:
                placed.unlink()
        said = f"{done.stdout}\n{done.stderr}"[-6000:]
        assert done.returncode == 0, (
            f"{driver} ended with {done.returncode}:\n{said}\n{served.text()[-3000:]}"
        )
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run
