"""The verb: what it prints of a pool that does not keep its promises, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from emulator.conformance.match import ANY, COUNT, Having, Holds, Like, differences, optional
from tests.harness import Emulator


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", "conformance", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_all_is_well(running: Callable[[str], Emulator]) -> None:
    emulator = running("process")
    done = _run("--endpoint", emulator.endpoint("python"), "--only", "version.*", "--verbose")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version.supported.old  [recorded]" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" rows run, 0 differ")


def test_what_differs_is_told(running: Callable[[str], Emulator]) -> None:
    emulator = running("process")
    endpoint, token = emulator.endpoint("python"), emulator.token
    flags = ("--container-type", "Shell", "--token", token, "--only", "shell.exit.3")
    done = _run("--endpoint", endpoint, *flags)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ shell.exit.3  [⚑ ours]" in done.stdout
    assert "sent  POST" in done.stdout and '{"shellCommand": "exit 3"}' in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["expected", "200"] in lines and ["came", "400"] in lines
    assert "SessionPropertiesMissing" in done.stdout
    assert token not in done.stdout + done.stderr


def test_nobody_there() -> None:
    done = _run("--endpoint", "http://127.0.0.1:9/pool")
    assert done.returncode == 1
    assert "--token" in done.stderr


def test_the_command_line_knows_the_container_types(running: Callable[[str], Emulator]) -> None:
    done = _run("--endpoint", running("process").endpoint("shell"), "--list")
    assert done.returncode == 0 and "shell.timeout  [documented]" in done.stdout


def test_matching() -> None:
    expected = {"a": 1, "b": [COUNT], "c": Like({"x": ""}), "d": optional("d"), "e": Having(Holds({"n": 1}))}
    good = {"e": [{"n": 1, "m": 2}, 7], "c": {"x": "y"}, "b": [3], "a": 1}
    assert differences(expected, good) == []
    for changed, where in (
        ({"a": True}, "body.a"),
        ({"a": 1.0}, "body.a"),
        ({"b": []}, "body.b"),
        ({"b": [-1]}, "body.b[0]"),
        ({"c": {"x": 1}}, "body.c.x"),
        ({"c": {}}, "body.c.x"),
        ({"d": "e"}, "body.d"),
        ({"e": [{"n": 2}]}, "body.e"),
        ({"z": None}, "body.z"),
    ):
        assert [one.where for one in differences(expected, {**good, **changed})] == [where]
    assert [one.where for one in differences({"a": ANY}, {})] == ["body.a"]
