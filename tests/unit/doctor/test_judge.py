"""What the doctor makes of what a probe saw: a promise kept, a known limit, a promise broken."""

from __future__ import annotations

import pytest

from emulator.doctor.judge import (
    BUSY,
    DISK,
    EGRESS,
    HOST,
    LOOPBACK,
    NO_LIMITS,
    Cell,
    Poll,
    Room,
    Strain,
    Verdict,
    felt,
    judge,
    stopped,
)

DOCKER = Room("python", "docker", egress=False, sandboxed=True, internal=True)
OPEN = Room("open", "docker", egress=True, sandboxed=True, internal=False)
PROCESS = Room("python", "process", egress=False, sandboxed=True)
PLAIN = Room("python", "process", egress=False, sandboxed=False)
SHARED = Room("open", "process", egress=True, sandboxed=True)

PROBES = (
    "files",
    "/tmp",
    "processes",
    "environment",
    "kernel connection",
    "kernel ports",
    "broadcast",
    "secrets in files",
    "TCP to a neighbour",
    "a neighbour's own API",
    "DNS names",
    "the emulator's admin API",
    "the emulator's data plane",
    LOOPBACK,
    "host files",
    "engine socket",
    "secrets in environment",
    "/proc/sys writes",
    "devices",
    "raw sockets",
)


def _one(room: Room, *lines: list[str], probe: str) -> Cell:
    (cell,) = [cell for cell in judge(room, lines) if cell.probe == probe]
    return cell


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("room", [DOCKER, OPEN, PROCESS])
def test_whatever_is_seen_breaks_a_promise(room: Room, probe: str) -> None:
    seen = _one(room, ["R", probe, "node", "something"], probe=probe)
    assert (seen.verdict, seen.neighbour, seen.detail) == (Verdict.BROKEN, "node", "something")
    assert _one(room, ["R", probe, "node", ""], probe=probe).verdict is Verdict.APART


def test_one_hit_among_many_misses_counts() -> None:
    lines = [["R", LOOPBACK, "-", one] for one in ("", "127.0.0.1:5 answered", "")]
    assert _one(DOCKER, *lines, probe=LOOPBACK).verdict is Verdict.BROKEN


def test_known_limits_are_named() -> None:
    host = _one(DOCKER, ["R", HOST, "-", "10.0.0.1:5 answered"], probe=HOST)
    assert host.verdict is Verdict.LIMIT
    assert (host.detail, "docker compose" in host.reason) == ("10.0.0.1:5 answered", True)
    assert _one(SHARED, ["R", LOOPBACK, "-", "hit"], probe=LOOPBACK).verdict is Verdict.LIMIT
    for probe in ("broadcast", "kernel ports", "TCP to a neighbour"):
        assert _one(SHARED, ["R", probe, "x", "hit"], probe=probe).verdict is Verdict.LIMIT
    for probe in ("files", "secrets in files"):
        assert _one(SHARED, ["R", probe, "x", "hit"], probe=probe).verdict is Verdict.BROKEN
    assert _one(PLAIN, ["R", "files", "x", "hit"], probe="files").verdict is Verdict.LIMIT


def test_egress_is_what_the_pool_says() -> None:
    reached, route = ["R", EGRESS, "-", "10.0.0.9:5 answered"], ["N", "default route"]
    assert _one(OPEN, reached, route, probe=EGRESS).verdict is Verdict.APART
    assert _one(OPEN, ["R", EGRESS, "-", ""], route, probe=EGRESS).verdict is Verdict.BROKEN
    assert _one(DOCKER, route, probe=EGRESS).verdict is Verdict.APART
    leaking = Room("python", "docker", egress=False, sandboxed=True, internal=False)
    assert _one(leaking, route, probe=EGRESS).verdict is Verdict.BROKEN
    unknown = Room("python", "docker", egress=False, sandboxed=True)
    assert _one(unknown, route, probe=EGRESS).verdict is Verdict.LIMIT
    assert _one(PROCESS, probe=EGRESS).verdict is Verdict.APART
    assert _one(PROCESS, route, probe=EGRESS).verdict is Verdict.BROKEN


@pytest.mark.parametrize(
    ("effective", "no_new", "verdict"),
    [
        ("0000000000000000", "1", Verdict.APART),
        ("00000000000004fb", "1", Verdict.APART),
        ("0000000000200000", "1", Verdict.BROKEN),  # CAP_SYS_ADMIN
        ("0000000000002000", "1", Verdict.BROKEN),  # CAP_NET_RAW
        ("00000000000004fb", "0", Verdict.BROKEN),
    ],
)
def test_capabilities(effective: str, no_new: str, verdict: Verdict) -> None:
    lines = [["S", "CapEff", effective], ["S", "CapBnd", "00000000000004fb"], ["S", "NoNewPrivs", no_new]]
    assert _one(DOCKER, *lines, probe="capabilities").verdict is verdict


def test_mounts_of_the_engine_are_expected_and_others_are_not() -> None:
    usual = [
        ["M", "/", "/", "rw", "overlay"],
        ["M", "/", "/dev/shm", "rw", "tmpfs"],
        ["M", "/docker/x", "/sys/fs/cgroup/cpu", "ro", "cgroup"],
        ["M", "/containers/x/hosts", "/etc/hosts", "rw", "ext4"],
        ["M", "/usr/bin/tini-static", "/usr/sbin/docker-init", "ro", "ext4"],
    ]
    assert _one(DOCKER, *usual, probe="mounts").verdict is Verdict.APART
    strange = _one(DOCKER, *usual, ["M", "/home/me", "/secret", "ro", "ext4"], probe="mounts")
    assert (strange.verdict, strange.detail) == (Verdict.BROKEN, "/secret (ro)")
    system = ["M", "/", "/", "ro", "ext4"]
    assert _one(PROCESS, system, ["M", "/", "/opt", "ro", "ext4"], probe="mounts").verdict is Verdict.APART
    assert _one(PROCESS, system, ["M", "/", "/opt", "rw", "ext4"], probe="mounts").verdict is Verdict.BROKEN


def _strain(probe: str, outcome: str) -> Strain:
    return Strain(probe, 100.0, 101.0, outcome, "so many")


@pytest.mark.parametrize("room", [DOCKER, PROCESS, PLAIN])
def test_a_limit_that_stops_a_session_is_as_promised_everywhere(room: Room) -> None:
    assert stopped(room, _strain("fork bomb", "stopped")).verdict is Verdict.APART
    assert stopped(room, _strain(BUSY, "free")).verdict is Verdict.APART


@pytest.mark.parametrize("probe", ["fork bomb", "memory exhaustion", DISK])
def test_a_limit_that_should_be_there_and_is_not_is_a_broken_promise(probe: str) -> None:
    assert stopped(DOCKER, _strain(probe, "unlimited")).verdict is Verdict.BROKEN


def test_what_has_no_limit_is_named_with_the_reason() -> None:
    room = Room("python", "docker", egress=False, sandboxed=True, driver="overlay2 on extfs")
    disk = stopped(room, _strain(DISK, "free"))
    assert (disk.verdict, disk.detail) == (Verdict.LIMIT, "so many")
    assert "storage driver overlay2 on extfs" in disk.reason
    assert "--session-disk" in disk.reason
    assert stopped(PROCESS, _strain("fork bomb", "free")).reason == NO_LIMITS
    assert "higher" in stopped(room, _strain(DISK, "untried")).reason
    untried = stopped(DOCKER, _strain("memory exhaustion", "untried"))
    assert (untried.verdict, "higher" in untried.reason) == (Verdict.LIMIT, True)


@pytest.mark.parametrize(
    ("polls", "verdict"),
    [
        ([Poll(100.2, 100.4)], Verdict.APART),
        ([Poll(99.5, 100.1), Poll(100.3, 104.0)], Verdict.APART),
        ([Poll(100.2, 100.4), Poll(100.5, 100.9, "answered 'NameError'")], Verdict.BROKEN),
        ([Poll(100.2, 100.4), Poll(100.9, 131.0, "timed out")], Verdict.BROKEN),
        ([Poll(98.0, 99.0, "was ill before"), Poll(100.2, 100.4)], Verdict.APART),
        ([Poll(99.0, 99.5), Poll(101.5, 102.0)], None),
        ([Poll(99.9, 101.1)], None),
        ([], None),
    ],
)
def test_a_neighbour_felt_nothing_only_if_it_answered_meanwhile(
    polls: list[Poll], verdict: Verdict | None
) -> None:
    cell = felt(DOCKER, _strain("fork bomb", "stopped"), "node", polls)
    assert (cell.verdict if cell else None) is verdict
