"""The account a kernel runs as."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigurationError

DEFAULT_NAME = "ubuntu"
# What root needs to start a process as somebody else, signal it, and write files for it:
# CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID.
_NEEDED = sum(1 << bit for bit in (0, 1, 5, 6, 7))


@dataclass(frozen=True, slots=True)
class KernelUser:
    """An account; `other` is true when it is not the proxy's own."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    other: bool


def kernel_user(asked: str | None) -> KernelUser:
    """The account that `asked` names, `ubuntu` where it exists, else the proxy's own.

    Only root with the capabilities CHOWN, DAC_OVERRIDE, KILL, SETGID and SETUID can change the account;
    anyone else runs the kernel as itself. Raises ConfigurationError when a name was given and is not known.
    """
    own = _own()
    if os.geteuid() != 0 or not _capable():
        return own
    try:
        entry = pwd.getpwnam(asked or DEFAULT_NAME)
    except KeyError:
        if asked is None:
            return own
        raise ConfigurationError(f"CODE_INTERPRETER_KERNEL_USER={asked!r} is no account here") from None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return KernelUser(
        entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, entry.pw_uid != os.geteuid()
    )


def _own() -> KernelUser:
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = str(uid), "/"
    return KernelUser(name, uid, os.getegid(), (), os.environ.get("HOME") or home, False)


def _capable() -> bool:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return True
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & _NEEDED == _NEEDED
    return True
