"""What uses a session up has a bound of its own: here nothing else stops it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.doctor.inside import program, strain

LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({32 * 2**20}, {32 * 2**20}))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""


def _run(folder: Path, stage: str, before: str = "", **given: object) -> list[str]:
    """In a process of its own, as in a session; returns the row without its times."""
    given = {"stage": stage, "hold": 0.1, "bounded": False, "quota": None, **given}
    text = program("strain", **given)
    text = text.replace("\nimport contextlib\n", f"\nimport contextlib\n{before}\n", 1)
    done = subprocess.run(
        [sys.executable, "-I", "-"], input=text, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert float(row[1]) + 0.1 <= float(row[2]) + 0.001
    return list(row[3:])


def test_where_there_is_no_limit_little_is_taken(tmp_path: Path) -> None:
    assert _run(tmp_path, "processes") == ["free", f"{strain.FEW_PROCESSES} processes were not refused"]
    assert _run(tmp_path, "memory") == ["free", f"{strain.LITTLE_MEMORY // strain.MIB} MiB were not refused"]
    assert _run(tmp_path, "cores")[0] == "free"


def test_the_disk_is_filled_up_to_a_bound_and_emptied_again(tmp_path: Path) -> None:
    outcome, text = _run(tmp_path, "disk")
    assert outcome == "free"
    assert int(text.split()[0]) <= strain.MOST_DISK // strain.MIB
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_more_is_a_limit(tmp_path: Path) -> None:
    assert _run(tmp_path, "disk", LIMITED) == ["stopped", "32 MiB, then: File too large"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("quota", "outcome"), [(2**60, "stopped"), (2**30, "untried"), (16 * 2**20, "unlimited")]
)
def test_a_quota_too_large_to_be_filled_is_known_by_the_size_of_the_disk_or_not_at_all(
    tmp_path: Path, quota: int, outcome: str
) -> None:
    assert _run(tmp_path, "disk", quota=quota)[0] == outcome


def test_a_limit_that_does_not_stop_is_no_limit() -> None:
    assert strain._outcome(None, 50, True, "x")[0] == "unlimited"
    assert strain._outcome(200, 300, True, "x")[0] == "unlimited"
    assert strain._outcome(5000, 2000, True, "x")[0] == "untried"
    assert strain._outcome(0, 50, True, "x")[0] == "free"
