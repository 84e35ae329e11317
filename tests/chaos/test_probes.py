"""Probes of custom containers on a real engine: a session answers them, or ends with the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.asking import ask, causes, count, refusal, sessions
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.tiny_image import PORT, tiny_pool

pytestmark = pytest.mark.engine


def probe(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "httpGet": {"path": "/cgi-bin/health", "port": PORT}, **more}


def test_a_container_that_fails_its_liveness_probe_is_ended(engine: OwnEngine, tmp_path: Path) -> None:
    liveness = probe("Liveness", periodSeconds=30, failureThreshold=3, timeoutSeconds=5)
    pool = tiny_pool(container={"probes": [liveness]}, cooldown=3600)
    emulator = engine.emulator(tmp_path, pools=[pool])
    for identifier in ("alice", "robert"):
        assert count(emulator, identifier) == 1
    before = sessions(emulator)
    emulator.advance(300)
    assert sessions(emulator) == before
    assert ask(emulator, "alice", "/cgi-bin/sick").status_code == 200
    emulator.advance(60)  # two periods: not yet the threshold
    assert sessions(emulator) == before
    assert count(emulator, "alice") == 2
    emulator.advance(31)
    assert set(sessions(emulator)) == {"robert"}
    (cause,) = causes(emulator, "session.crashed")
    assert "failed its liveness probe (GET /cgi-bin/health) 3 times in a row" in cause
    assert "503" in cause
    assert count(emulator, "alice") == 1
    assert count(emulator, "robert") == 2
    eventually(lambda: len(engine.containers()) == 2, "the sick container is removed")
    assert emulator.stop() == 0
    assert engine.left() == []


def test_a_container_that_hangs_fails_its_liveness_probe(engine: OwnEngine, tmp_path: Path) -> None:
    liveness = probe("Liveness", periodSeconds=30, failureThreshold=1, timeoutSeconds=1)
    pool = tiny_pool(container={"probes": [liveness]}, cooldown=3600)
    emulator = engine.emulator(tmp_path, pools=[pool])
    assert count(emulator, "alice") == 1
    engine.container(sessions(emulator)["alice"]).pause()
    emulator.advance(31)
    assert sessions(emulator) == {}
    assert "failed its liveness probe" in causes(emulator, "session.crashed")[0]
    eventually(lambda: engine.left() == [], "also a paused container is removed")
    assert count(emulator, "alice") == 1


def test_a_session_is_given_out_once_its_startup_probe_succeeds(engine: OwnEngine, tmp_path: Path) -> None:
    startup = probe("Startup", periodSeconds=1, failureThreshold=30)
    container = {"probes": [startup], "env": [{"name": "PROBES_TO_FAIL", "value": "3"}]}
    emulator = engine.emulator(tmp_path, pools=[tiny_pool(container=container)])
    answer = ask(emulator, "alice", "/cgi-bin/health")
    assert answer.text.strip() == "asked 4 times before"  # three times in vain, once with success


def test_a_startup_probe_that_never_succeeds_ends_the_start(engine: OwnEngine, tmp_path: Path) -> None:
    """After its initial delay and as many periods as it may fail, not only after --start-timeout."""
    startup = probe("Startup", initialDelaySeconds=1, periodSeconds=1, failureThreshold=2)
    container = {"probes": [startup], "env": [{"name": "PROBES_TO_FAIL", "value": "1000000"}]}
    emulator = engine.emulator(tmp_path, "--start-timeout", "100", pools=[tiny_pool(container=container)])
    status, code, message = refusal(ask(emulator, "alice", "/cgi-bin/health"))
    assert (status, code) == (500, "SessionAllocationFailed")
    assert "not ready after 3 s of waiting for GET /cgi-bin/health" in message
    assert "503" in message
    assert engine.left() == []
