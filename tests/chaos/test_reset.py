"""`reset` is one step that says what it removed."""

from __future__ import annotations

import threading
from pathlib import Path

import requests

from tests.harness import emulator, pool

POOLS = [pool("one", "PythonLTS", max_sessions=4), pool("two", "Shell", max_sessions=4)]


def test_it_says_what_it_removed(tmp_path: Path) -> None:
    with emulator(tmp_path, "--runtime", "process", pools=POOLS) as running:
        running.value("one", "alice", "kept = 1")
        running.value("one", "bobby", "kept = 1")
        added = requests.post(
            f"{running.admin}/faults",
            json={"effect": "allocation", "match": {"identifier": "nobody"}},
            timeout=30,
        )
        assert added.status_code == 201
        running.advance(60)
        sessions = running.ask("GET", "/sessions")["sessions"]
        said = running.ask("POST", "/reset")
        assert {(one["pool"], one["identifier"], one["guid"]) for one in said["sessions"]} == {
            (one["pool"], one["identifier"], one["guid"]) for one in sessions
        }
        assert {one["guid"] for one in sessions} <= set(said["removed"])
        assert said["resisting"] == []
        assert said["faults"] == 1
        assert said["requests"] == 2
        assert said["events"] > 0
        assert -61 < said["clockMovedSeconds"] <= -59
        assert running.value("one", "alice", "'kept' in globals()") is False
        assert running.ask("GET", "/clock")["offsetSeconds"] == 0


def test_requests_meanwhile_meet_all_of_it_or_nothing(tmp_path: Path) -> None:
    """Callers keep asking while resets go on: each is answered, by a session of before or of after."""
    with emulator(tmp_path, "--runtime", "process", pools=POOLS) as running:
        done = threading.Event()
        wrong: list[str] = []

        def ask(identifier: str) -> None:
            while not done.is_set():
                answer = running.send(
                    "POST",
                    "one",
                    f"/executions?api-version=2025-10-02-preview&identifier={identifier}",
                    json={"code": "1+1"},
                )
                # What was in flight when its session was removed is told so; nothing else is an answer.
                if answer.status_code not in (200, 502):
                    wrong.append(f"{answer.status_code} {answer.text}")

        askers = [threading.Thread(target=ask, args=(name,)) for name in ("alice", "bobby")]
        for asker in askers:
            asker.start()
        try:
            for _ in range(5):
                removed = running.ask("POST", "/reset")["removed"]
                assert len(removed) == len(set(removed))
        finally:
            done.set()
            for asker in askers:
                asker.join()
        assert wrong == []
