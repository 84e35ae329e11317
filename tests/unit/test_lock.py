"""Locks that tell who runs an instance, and that its death releases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.lock import Held, Lock

HOLD = """
import pathlib, sys
from emulator.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "lock"
    with Lock(path).held():
        with pytest.raises(Held) as told:
            Lock(path).take()
        assert told.value.pid == os.getpid()
        assert f"process {os.getpid()}" in str(told.value)
        assert Lock(path).is_held()
    assert not Lock(path).is_held()
    with Lock(path).held():
        pass


def test_asking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not Lock(path).is_held()
    assert not path.exists()
    lock = Lock(path)
    lock.take()
    lock.release()
    before = path.read_text(), path.stat().st_mtime_ns
    assert not Lock(path).is_held()
    assert (path.read_text(), path.stat().st_mtime_ns) == before


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(Held) as told:
            Lock(path).take()
        assert told.value.pid == holder.pid
        holder.kill()
        holder.wait()
        with Lock(path).held():
            pass


def test_a_process_of_another_host_has_no_pid_here(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path).held():
        path.write_text("elsewhere 1")
        with pytest.raises(Held) as told:
            Lock(path).take()
    assert told.value.pid is None
    assert told.value.who == "process 1 on elsewhere"
