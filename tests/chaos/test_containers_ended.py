"""A session's container ends in every way a container can: its caller, the events and the next one know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import tiny_pool

pytestmark = pytest.mark.engine


def test_a_container_out_of_memory_is_reported_as_that(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, pools=[tiny_pool()])
    answer = emulator.send("GET", "tiny", "/cgi-bin/eat?identifier=alice")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "SessionContainerExited"), (
        answer.text
    )
    assert "out of memory" in answer.json()["error"]["message"]
    (crash,) = [one for one in emulator.ask("GET", "/events")["events"] if one["kind"] == "session.crashed"]
    assert "out of memory" in crash["cause"]
    assert crash["detail"]["oom"] is True
    assert emulator.send("GET", "tiny", "/cgi-bin/count?identifier=alice").text.strip() == "1"
