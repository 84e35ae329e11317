"""Searches a session's files and environments for secrets that it is not told.

Of each secret it gets the first bytes, and of the rest only a salted hash: what it is sent does not hold the
secret, so it neither finds itself nor gives the secret to the session.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

SKIPPED = ("/proc", "/sys", "/dev")
MOST_OF_A_FILE = 16 * 1024 * 1024

Rows = list[list[str]]


def main(given: dict[str, Any]) -> Rows:
    """Rows `R` with the secrets found. `first`: folders before all others; `seconds`, `bytes`: at most.

    A needle is a name, its first bytes and the rest's length, salt and SHA-256 (hexadecimal).
    """
    needles = [
        (str(name), bytes.fromhex(start), int(length), bytes.fromhex(salt), str(digest))
        for name, start, length, salt, digest in given["needles"]
    ]
    environments: dict[str, str] = {}
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        for name in _held(_read(path), needles):
            environments.setdefault(name, path)
    files: dict[str, str] = {}
    until, left = time.monotonic() + given["seconds"], int(given["bytes"])
    for path, size in _files(given["first"], given["everywhere"], until):
        if time.monotonic() > until or left <= 0:
            break
        left -= size
        for name in _held(_read(path), needles):
            files.setdefault(name, path)
    return [
        ["R", "secrets in environment", given["label"], _told(environments)],
        ["R", "secrets in files", given["label"], _told(files)],
    ]


def _told(found: dict[str, str]) -> str:
    return ", ".join(f"{name} in {path}" for name, path in found.items())


def _held(content: bytes, needles: list[tuple[str, bytes, int, bytes, str]]) -> Iterator[str]:
    for name, start, length, salt, digest in needles:
        at = content.find(start)
        while at >= 0:
            rest = content[at + len(start) : at + len(start) + length]
            if hashlib.sha256(salt + rest).hexdigest() == digest:
                yield name
                break
            at = content.find(start, at + 1)


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return stream.read(MOST_OF_A_FILE)
    return b""


def _files(first: list[str], everywhere: bool, until: float) -> Iterator[tuple[str, int]]:
    """Readable files and their sizes: what changed since the session began, then all others.

    Folders of `first` come before the rest; what an image brought along comes last, since there is most of
    it, and least to be found in it.
    """
    try:
        began = os.stat("/proc/1").st_ctime - 60
    except OSError:
        began = 0.0
    done: set[str] = set()
    older: list[tuple[str, int]] = []
    for start in first + (["/"] if everywhere else []):
        for folder, folders, names in os.walk(start):
            if folder in done or folder.startswith(SKIPPED) or time.monotonic() > until:
                folders.clear()
                continue
            done.add(folder)
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    found = os.lstat(path)
                    if stat.S_ISREG(found.st_mode):
                        one = path, min(found.st_size, MOST_OF_A_FILE)
                        if found.st_ctime < began:
                            older.append(one)
                        else:
                            yield one
    yield from older
