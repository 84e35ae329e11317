"""What each finding means: as promised, a limit of this kind of runtime that is known, or broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from emulator.runtimes.options import KEPT_CAPABILITIES

# Numbers of linux/capability.h, of those that a session may have.
_NUMBERS = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "NET_BIND_SERVICE": 10,
}
_ALLOWED = sum(1 << _NUMBERS[name] for name in KEPT_CAPABILITIES)

HOST_ADDRESSES = (
    "a session's bridge has an address of the host's, so services of the host that listen on all addresses "
    "can be reached, with egress disabled too; an emulator in a container (docker compose) has none"
)
HOST = "the host's addresses"
EGRESS = "egress"
LOOPBACK = "the host's loopback"
DISK = "disk exhaustion"
BUSY = "busy loop"
SHARED_NETWORK = (
    "the process runtime has one network: with egress a session shares this machine's, loopback too"
)
NO_LIMITS = (
    "the process runtime sets no limit on memory, processes and disk (the kernel counts processes by user, "
    "not by session, and root's not at all); use the docker runtime where sessions must not starve others"
)
NO_QUOTA = (
    "no quota for sessions on this engine (storage driver {driver}): a session can fill the engine's disk; "
    "--session-disk sets one where the engine can"
)
UNTOLD = {
    "free": "the session cannot read its limit, so only a little was tried",
    "untried": "the limit is higher than what the doctor takes of a machine",
}
NO_SANDBOX = "without bubblewrap a session is a plain process of this machine; use it for code you trust"


class Verdict(StrEnum):
    """`APART`: as promised. `LIMIT`: less than Azure gives, known and documented. `BROKEN`: a promise is."""

    APART = "apart"
    LIMIT = "limit"
    BROKEN = "BROKEN"


@dataclass(frozen=True)
class Room:
    """Where a probe ran: the pool, its runtime, whether it has egress and is locked in at all.

    `internal`: whether the engine made the session's network without a way out; None where nobody knows.
    `driver`: the engine's storage driver.
    """

    pool: str
    runtime: str
    egress: bool
    sandboxed: bool
    internal: bool | None = None
    driver: str = "unknown"


@dataclass(frozen=True)
class Strain:
    """One exhaustion of something by a session: when it stood (seconds since the epoch) and how it ended.

    `outcome`: as `inside.strain` says it; `probe`: the row of the matrix.
    """

    probe: str
    began: float
    ended: float
    outcome: str
    text: str


@dataclass(frozen=True)
class Poll:
    """One question to a neighbour: when it was asked and answered, and what was wrong (empty: nothing)."""

    began: float
    ended: float
    problem: str = ""


@dataclass(frozen=True)
class Cell:
    """One probe of one pair; `neighbour` is `-` for what has none. `detail`: what was seen.

    `reason`: why a limit is one.
    """

    pool: str
    probe: str
    neighbour: str
    verdict: Verdict
    detail: str = ""
    reason: str = ""


def judge(room: Room, lines: Sequence[Sequence[str]]) -> list[Cell]:
    """Cells for the lines a probing script printed, the worst one for each probe and neighbour."""
    found: dict[tuple[str, str], Cell] = {}
    seen = [line for line in lines if line[0] == "R" and line[1] != EGRESS]
    cells = [_seen(room, line[1], line[2], line[3].strip()) for line in seen]
    cells += [_egress(room, lines)]
    cells += _capabilities(room, {line[1]: line[2] for line in lines if line[0] == "S"})
    cells += _mounts(room, [line[1:] for line in lines if line[0] == "M"])
    for cell in cells:
        before = found.get((cell.probe, cell.neighbour))
        if before is None or _weight(cell) > _weight(before):
            found[cell.probe, cell.neighbour] = cell
    return list(found.values())


def _weight(cell: Cell) -> int:
    return list(Verdict).index(cell.verdict)


def _seen(room: Room, probe: str, neighbour: str, detail: str) -> Cell:
    if not detail:
        return Cell(room.pool, probe, neighbour, Verdict.APART)
    limit = _limit(room, probe)
    verdict = Verdict.LIMIT if limit else Verdict.BROKEN
    return Cell(room.pool, probe, neighbour, verdict, detail, limit or "")


def _limit(room: Room, probe: str) -> str | None:
    """The known reason why `probe` may see something here, or None."""
    if room.runtime == "process" and not room.sandboxed:
        return NO_SANDBOX
    network = probe in (
        "TCP to a neighbour",
        "kernel ports",
        "broadcast",
        LOOPBACK,
        "the emulator's admin API",
        "the emulator's data plane",
        "kernel connection",
    )
    if room.runtime == "process" and room.egress and network:
        return SHARED_NETWORK
    if room.runtime == "docker" and probe == HOST:
        return HOST_ADDRESSES
    return None


def _egress(room: Room, lines: Sequence[Sequence[str]]) -> Cell:
    """Egress as the pool has it. With none, the host's own addresses say nothing (see `HOST_ADDRESSES`), and
    no other machine is asked: what counts is that the network was made without a way out.
    """
    ways = [line[1] for line in lines if line[0] == "N"]
    if room.egress:
        reached = [line[3].strip() for line in lines if line[0] == "R" and line[1] in (EGRESS, LOOPBACK)]
        if any(reached) or (ways and room.runtime == "process"):
            return Cell(room.pool, EGRESS, "-", Verdict.APART, "enabled")
        return Cell(room.pool, EGRESS, "-", Verdict.BROKEN, "enabled, but there is no way out")
    if room.internal or (room.runtime == "process" and not ways):
        return Cell(room.pool, EGRESS, "-", Verdict.APART, "disabled")
    if room.runtime == "process" and not room.sandboxed:
        return Cell(room.pool, EGRESS, "-", Verdict.LIMIT, "not disabled", NO_SANDBOX)
    if room.runtime == "docker" and room.internal is None:
        return Cell(room.pool, EGRESS, "-", Verdict.LIMIT, "disabled", "no engine answers here to confirm it")
    return Cell(room.pool, EGRESS, "-", Verdict.BROKEN, "disabled, but the session's network has a way out")


def _capabilities(room: Room, status: dict[str, str]) -> list[Cell]:
    if not status:
        return []
    problems = []
    for name in ("CapEff", "CapBnd"):
        extra = int(status.get(name, "0"), 16) & ~_ALLOWED
        # A bounding set does nothing by itself where no new privileges can be had.
        if extra and not (name == "CapBnd" and status.get("NoNewPrivs") == "1" and room.runtime == "process"):
            problems.append(f"{name} has {extra:#x} beyond what sessions keep")
    if status.get("NoNewPrivs") != "1":
        problems.append("new privileges can be gained")
    return [_seen(room, "capabilities", "-", "; ".join(problems))]


def _mounts(room: Room, mounts: Sequence[Sequence[str]]) -> list[Cell]:
    """Mounts that bring in something of the host's: root inside the file system, where, mode, type."""
    if not mounts:
        return []
    strange = []
    for root, point, mode, kind in (mount for mount in mounts if len(mount) == 4):
        if point == "/" or point.startswith(("/proc", "/sys", "/dev")):
            continue
        if kind in ("tmpfs", "proc", "sysfs", "devpts", "mqueue", "overlay") and root == "/":
            continue
        if room.runtime == "process":
            # The system is there read-only; what can be written is the session's own folder.
            if mode == "ro" or point == "/mnt/data" or "/dse-" in point:
                continue
        elif point in ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts") or point.endswith("/docker-init"):
            continue
        strange.append(f"{point} ({mode})")
    return [_seen(room, "mounts", "-", ", ".join(strange[:5]))]


def stopped(room: Room, strain: Strain) -> Cell:
    """Whether a limit of the session's own stopped it, before it could be felt elsewhere."""
    if strain.outcome == "stopped" or strain.probe == BUSY:
        return Cell(room.pool, strain.probe, "-", Verdict.APART, strain.text)
    if room.runtime == "process":
        return Cell(room.pool, strain.probe, "-", Verdict.LIMIT, strain.text, NO_LIMITS)
    if strain.outcome == "unlimited":
        return Cell(room.pool, strain.probe, "-", Verdict.BROKEN, strain.text)
    no_quota = strain.probe == DISK and strain.outcome == "free"
    reason = NO_QUOTA.format(driver=room.driver) if no_quota else UNTOLD[strain.outcome]
    return Cell(room.pool, strain.probe, "-", Verdict.LIMIT, strain.text, reason)


def felt(room: Room, strain: Strain, neighbour: str, polls: Sequence[Poll]) -> Cell | None:
    """Whether `neighbour` felt it; None if no answer came while it stood, so that nothing is known yet."""
    during = [one for one in polls if one.began <= strain.ended and one.ended >= strain.began]
    problems = [one.problem for one in during if one.problem]
    if problems:
        return Cell(room.pool, strain.probe, neighbour, Verdict.BROKEN, f"the neighbour {problems[0]}")
    if any(strain.began <= one.ended <= strain.ended for one in during):
        return Cell(room.pool, strain.probe, neighbour, Verdict.APART)
    return None
