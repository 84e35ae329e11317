"""What tests of recovery ask an emulator, in few words."""

from __future__ import annotations

from typing import Any

import requests

from tests.chaos.own_engine import eventually
from tests.harness import Emulator


def count(emulator: Emulator, identifier: str, pool: str = "tiny") -> int:
    """One more in a session's memory: 1 in a new session."""
    answer = ask(emulator, identifier, "/cgi-bin/count", pool=pool)
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return int(answer.text)


def ask(
    emulator: Emulator, identifier: str, path: str, *, pool: str = "tiny", at_most: float = 60
) -> requests.Response:
    """A request into a session; not to be answered within `at_most` seconds fails the test."""
    joint = "&" if "?" in path else "?"
    return emulator.send("GET", pool, f"{path}{joint}identifier={identifier}", timeout=at_most)


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code and message of an answer that says no; the reason is in a header as well."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def sessions(emulator: Emulator) -> dict[str, str]:
    """Guids of sessions by identifier."""
    return {one["identifier"]: one["guid"] for one in emulator.ask("GET", "/sessions")["sessions"]}


def causes(emulator: Emulator, kind: str) -> list[str]:
    """Causes of all events of a kind, oldest first."""
    return [one["cause"] for one in emulator.ask("GET", "/events")["events"] if one["kind"] == kind]


def readiness(emulator: Emulator, at_most: float = 30) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{emulator.admin}/ready", timeout=at_most)
    return answer.status_code, answer.json()


def until_ready(emulator: Emulator) -> None:
    eventually(lambda: readiness(emulator)[0] == 200, "the emulator is ready again by itself")


def until_not_ready(emulator: Emulator) -> str:
    """Wait until readiness is red because of the engine; returns the reason given."""

    def reason() -> str:
        status, body = readiness(emulator)
        found = [one for one in body["waitingFor"] if "Docker Engine" in one]
        return found[0] if status == 503 and found else ""

    return str(eventually(reason, "the emulator notices that its engine is away"))
