"""A lock file that its holder's death releases: who runs an instance, and who left something behind."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


class Held(Exception):
    """Somebody else holds the lock: `who` in words; `pid` is theirs, None if it is not of this host."""

    def __init__(self, path: Path, text: str) -> None:
        host, _, pid = text.partition(" ")
        near = host == socket.gethostname() and pid.isdigit()
        self.pid = int(pid) if near else None
        self.who = f"process {pid}" if near else f"process {pid or '?'} on {host or 'an unknown host'}"
        super().__init__(f"{path} is held by {self.who}")


class Lock:
    """An advisory lock on `path`, which says host and pid of its holder.

    The operating system lets go of it when the process dies, however it dies, so a stale file is no
    obstacle. On Windows, which has no such locks, taking it always succeeds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Hold it until `release`. Raises `Held`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._locked()
        self._file.truncate(0)
        self._file.write(f"{socket.gethostname()} {os.getpid()}")
        self._file.flush()

    def _locked(self) -> IO[str]:
        file = self.path.open("a+", encoding="ascii")
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                said = file.read().strip()
                file.close()
                raise Held(self.path, said) from None
        return file

    def is_held(self) -> bool:
        """Whether somebody holds it; changes nothing."""
        if not self.path.exists():
            return False
        try:
            self._locked().close()
        except Held:
            return True
        return False

    def release(self) -> None:
        """Let go; again: nothing happens. The file stays: removing it would race with whoever takes it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for the length of the block. Raises `Held`."""
        self.take()
        try:
            yield
        finally:
            self.release()
