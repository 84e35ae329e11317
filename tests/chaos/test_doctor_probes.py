"""The probes themselves: where nothing keeps sessions apart, each of them finds something."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.commands.client import Client
from emulator.doctor.isolation import Isolation, Report
from emulator.doctor.judge import LOOPBACK, NO_SANDBOX
from tests.harness import emulator, pool

BETWEEN = (
    "files",
    "/tmp",
    "processes",
    "environment",
    "kernel connection",
    "TCP to a neighbour",
    "broadcast",
)
ALONE = ("host files", "secrets in files", "the emulator's admin API", "the emulator's data plane", LOOPBACK)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """Of sessions that are plain processes: the bubblewrap they find does not work."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "bin").mkdir()
    (folder / "bin" / "bwrap").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (folder / "bin" / "bwrap").chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    flags = ("--runtime", "process", "--instance", "doctor-plain")
    with emulator(
        folder, *flags, pools=[pool("python", "PythonLTS", ready=0)], env={"PATH": path}
    ) as started:
        yield Isolation(Client(started.http), folder / "state", gentle=True).run()


@pytest.mark.parametrize("probe", BETWEEN)
def test_a_neighbour_is_seen(report: Report, probe: str) -> None:
    (cell,) = [cell for cell in report.limits if (cell.probe, cell.neighbour) == (probe, "python")]
    assert (bool(cell.detail), cell.reason) == (True, NO_SANDBOX)


@pytest.mark.parametrize("probe", ALONE)
def test_the_host_is_seen(report: Report, probe: str) -> None:
    assert probe in {cell.probe for cell in report.limits if cell.neighbour == "-"}


def test_a_session_that_is_no_more_than_a_process_breaks_no_promise_but_is_named(report: Report) -> None:
    assert report.broken == []
    assert (report.skipped, report.failed) == ([], [])


def test_secrets_are_named_and_not_told(report: Report) -> None:
    (cell,) = [cell for cell in report.limits if cell.probe == "secrets in files"]
    assert "the signing key in /" in cell.detail
    assert "the identity header in /" in cell.detail


def test_what_was_left_behind_to_be_found_is_removed(report: Report) -> None:
    (cell,) = [cell for cell in report.limits if cell.probe == "/tmp"]
    assert not Path(cell.detail).exists()
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if b"DOCTOR=environment-" in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
