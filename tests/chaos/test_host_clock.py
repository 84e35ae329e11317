"""The host's clock jumps, as NTP, suspended laptops and administrators make it do: no session notices."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.asking import causes, count, sessions
from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import tiny_pool
from tests.harness import Emulator

pytestmark = pytest.mark.engine
HOUR = 3600


def library() -> str:
    """libfaketime, which changes what the wall clock says to one process and leaves its monotonic clocks."""
    listed = subprocess.run(["dpkg-query", "-L", "libfaketime"], capture_output=True, text=True, check=False)
    found = [line for line in listed.stdout.splitlines() if line.endswith("libfaketimeMT.so.1")]
    if not found or shutil.which("faketime") is None:
        pytest.fail("libfaketime is missing; scripts/test installs it (Debian package faketime)")
    return found[0]


class WallClock:
    """What `time.time()` says in an emulator, as against here; `environment` is the emulator's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n", encoding="ascii")
        fresh.replace(self._file)


def moments(emulator: Emulator, identifier: str) -> dict[str, float]:
    """Seconds from now, here, to the times that a session's description holds."""
    (found,) = [
        one for one in emulator.ask("GET", "/sessions")["sessions"] if one["identifier"] == identifier
    ]
    names = ("createdAt", "lastAccessedAt", "expiresAt")
    return {name: _epoch(found[name]) - time.time() for name in names}


def _epoch(text: str) -> float:
    return datetime.strptime(text[:26], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_ends_no_session_and_no_token(engine: OwnEngine, tmp_path: Path, jump: int) -> None:
    clock = WallClock(tmp_path)
    options: dict[str, Any] = {"pools": [tiny_pool(cooldown=300)], "env": clock.environment}
    emulator = engine.emulator(tmp_path, "--token-lifetime", "600", **options)
    assert count(emulator, "alice") == 1  # with a token of the time before the jump
    before, token = sessions(emulator), emulator.token
    clock.set(jump)
    emulator.advance(1)  # whatever were due by the wall clock would be done by now
    assert sessions(emulator) == before
    assert emulator.token == token
    assert count(emulator, "alice") == 2
    assert (
        emulator.send("GET", "tiny", "/cgi-bin/count?identifier=alice", headers=_bearer(emulator)).text
        == "3\n"
    )
    assert count(emulator, "robert") == 1
    for identifier in ("alice", "robert"):
        seen = moments(emulator, identifier)
        assert -120 < seen["createdAt"] <= seen["lastAccessedAt"] < 120
        assert 200 < seen["expiresAt"] < 400
    emulator.process.kill()
    emulator.process.wait()

    # The next one starts in the time after the jump, which is all it knows: adopted sessions are sane in it.
    following = engine.emulator(tmp_path, "--token-lifetime", "600", **options)
    assert set(sessions(following)) == {"alice", "robert"}
    assert sessions(following)["alice"] == before["alice"]
    assert count(following, "alice") == 4
    seen = moments(following, "alice")
    assert seen["createdAt"] <= seen["lastAccessedAt"] < jump + 120
    assert jump + 200 < seen["expiresAt"] < jump + 400
    following.advance(301)
    assert sessions(following) == {}
    assert [cause for cause in causes(following, "session.expired") if "cooldown" not in cause] == []
    assert following.stop() == 0
    assert engine.left() == []


def _bearer(emulator: Emulator) -> dict[str, str]:
    """A token made after the jump."""
    return {"Authorization": f"Bearer {emulator.new_token()}"}
