"""How the process runtime locks a session in: bubblewrap where it is installed, nothing otherwise."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

DATA = "/mnt/data"

PROGRAMS = frozenset(
    {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt", "nix", "gnu", "snap"}
)
"""Folders of the root that programs need; a session sees these and no others of the machine's."""
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""Variables that name files of certificates, which a session is given and must be able to read."""
OWN = frozenset({"dev", "proc", "sys", "tmp", "run", "mnt"})
"""Those it has of its own."""


def bubblewrap() -> str | None:
    """Path of a bubblewrap that works here, or None (not installed, or namespaces are forbidden)."""
    found = shutil.which("bwrap")
    if found is None:
        return None
    trial = [found, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "true"]
    try:
        done = subprocess.run(trial, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if done.returncode == 0 else None


def wrapped(
    bwrap: str, command: list[str], *, run: Path, data: Path, hide: list[Path], egress: bool
) -> list[str]:
    """`command` in namespaces of its own: own network unless `egress`, the system's folders read-only.

    `run` (the socket's folder) keeps its path, `data` becomes /mnt/data. Folders that are not the system's,
    and what is under `hide` (the emulator's state: keys, other sessions), are not there.
    """
    arguments = [bwrap, "--unshare-all", *(["--share-net"] if egress else [])]
    arguments += ["--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev"]
    arguments += ["--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/mnt"]  # noqa: S108
    # Started by root, a session is the host's root to the kernel: it could set the host's core_pattern and
    # be root outside. bubblewrap itself makes only those parts of /proc read-only that look writable to it.
    arguments += ["--cap-drop", "ALL", "--ro-bind", "/proc/sys", "/proc/sys"]
    for path in [*_others(), *hide, Path.home(), Path("/root")]:
        # Home directories hold tokens, projects too; but an interpreter below one must stay readable.
        if path.is_dir() and path != Path("/"):
            arguments += ["--tmpfs", str(path)]
    for needed in dict.fromkeys(_needed()):
        arguments += ["--ro-bind", needed, needed]
    return [*arguments, "--bind", str(run), str(run), "--bind", str(data), DATA, "--chdir", DATA, *command]


def _others() -> list[Path]:
    """Folders of the root that hold a machine's data and people's work, not its programs."""
    return [
        path
        for path in sorted(Path("/").iterdir())
        if path.is_dir() and not path.is_symlink() and path.name not in PROGRAMS | OWN
    ]


def python_path() -> list[str]:
    """Where the session's Python finds the proxy and the kernel: this interpreter's own packages."""
    import interpreter_proxy

    proxy = Path(interpreter_proxy.__file__).resolve().parents[1]
    return list(dict.fromkeys([*site.getsitepackages(), str(proxy)]))


def _needed() -> list[str]:
    """Folders the session's Python runs from, and certificates it is told of, wherever they are."""
    interpreter = Path(sys.executable).resolve().parents[1]
    roots = [sys.prefix, sys.base_prefix, str(interpreter), *python_path()]
    named = (os.environ.get(name, "") for name in CERTIFICATES)
    files = [one for one in named if Path(one).is_file() and Path(one).parts[1:2] != ("etc",)]
    return [root for root in roots if root not in ("/usr", "/")] + files


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; run in the child before it becomes the session."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig, sigkill = 1, 9
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, sigkill)
        os.setpgid(0, 0)
