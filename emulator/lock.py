"""A lock file that its holder's death releases: who runs an instance, and who left something behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


class Held(Exception):
    """Somebody else holds the lock; `pid` is theirs, 0 where it cannot be told."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"{path} is held by process {pid or 'unknown'}")
        self.pid = pid


class Lock:
    """An advisory lock on `path`, which holds the pid of its holder.

    The operating system lets go of it when the process dies, however it dies, so a stale file is no
    obstacle. On Windows, which has no such locks, taking it always succeeds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Hold it until `release`. Raises `Held`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="ascii")
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                said = file.read().strip()
                file.close()
                raise Held(self.path, int(said) if said.isdigit() else 0) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go; again: nothing happens. The file stays, since removing it would race with the next taker."""
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
