"""What the doctor makes of what a probe saw: a promise kept, a known limit, a promise broken."""

from __future__ import annotations

import pytest

from emulator.doctor.judge import EGRESS, HOST, LOOPBACK, Cell, Room, Verdict, judge

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
    assert "docker compose" in host.detail
    assert _one(SHARED, ["R", LOOPBACK, "-", "hit"], probe=LOOPBACK).verdict is Verdict.LIMIT
    assert _one(SHARED, ["R", "files", "x", "hit"], probe="files").verdict is Verdict.BROKEN
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
