"""The session's files: one directory tree that hostile code writes to while the proxy reads it.

Every step of a path is opened relative to the step before and never through a symbolic link, so no link
that a session makes leads the file API anywhere. Links, pipes, sockets and devices count as not there.
All functions here block and are called in threads.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import Refused, delete_file_error, file_name_invalid, file_not_found, file_path_invalid
from .users import KernelUser

# The name under which the service's sessions know their data directory; accepted wherever ours really is.
PUBLIC_ROOT = "/mnt/data"
_PARTIAL = ".interpreter-proxy-upload-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory. `directory` is relative to the listing's root; the time in nanoseconds."""

    name: str
    directory: str
    size: int
    modified: int
    is_directory: bool


class Storage:
    """Files below `root`; what is written there belongs to `user`."""

    def __init__(self, root: str, user: KernelUser) -> None:
        self.root = root
        self._user = user

    def prepare(self) -> None:
        """Removes what an earlier life left half-written."""
        for left in Path(self.root).glob(_PARTIAL + "*"):
            with contextlib.suppress(OSError):
                left.unlink()

    def directory_parts(self, path: str) -> tuple[str, ...]:
        """The steps of a directory path: relative, or absolute below the root. Raises FilePathInvalid."""
        return self._parts(path, path, file_path_invalid)

    def name_parts(self, path: str, name: str) -> tuple[str, ...]:
        """The steps to a file `name` (it may be nested, or absolute below the root) in a directory `path`."""
        inside = self._parts(name, name, file_name_invalid)
        if not inside or inside[-1].startswith(_PARTIAL):
            raise file_name_invalid(name)
        return inside if name.startswith("/") else (*self.directory_parts(path), *inside)

    def list(self, parts: tuple[str, ...], recursive: bool) -> list[Entry]:
        """What a directory holds, by name; raises FileNotFound."""
        with self._opened(parts) as descriptor:
            return list(_walk(descriptor, "", recursive))

    def describe(self, parts: tuple[str, ...]) -> Entry:
        """One file or directory; raises FileNotFound."""
        with self._opened(parts[:-1], parts) as parent:
            return _entry(parts[-1], "", _status(parent, parts))

    def open(self, parts: tuple[str, ...]) -> tuple[BinaryIO, Entry]:
        """A file opened for reading, with its size at this moment; raises FileNotFound."""
        with self._opened(parts[:-1], parts) as parent:
            if not stat.S_ISREG(_status(parent, parts).st_mode):
                raise file_not_found("/".join(parts))
            # Looked at first, and opened without blocking, since it may be swapped for a pipe in between.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            try:
                file = os.fdopen(os.open(parts[-1], flags, dir_fd=parent), "rb", buffering=0)
            except OSError:
                raise file_not_found("/".join(parts)) from None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise file_not_found("/".join(parts))
        return file, _entry(parts[-1], "", status)

    def delete(self, parts: tuple[str, ...]) -> None:
        """Removes a file (or a link itself); raises DeleteFileError for none, and for a directory."""
        name = "/".join(parts)
        try:
            with self._opened(parts[:-1], parts) as parent:
                os.unlink(parts[-1], dir_fd=parent)
        except (Refused, OSError):
            raise delete_file_error(name) from None

    def create(self, parts: tuple[str, ...]) -> Upload:
        """Begins to write a file, making the directories on the way; raises FilePathInvalid."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for index, part in enumerate(parts[:-1]):
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
                    if self._user.other:
                        os.chown(
                            part, self._user.uid, self._user.gid, dir_fd=descriptor, follow_symlinks=False
                        )
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            except OSError:
                os.close(descriptor)
                raise file_path_invalid("/".join(parts[: index + 1])) from None
            os.close(descriptor)
            descriptor = inner
        return Upload(descriptor, parts, self._user)

    def _parts(self, path: str, shown: str, refuse: Callable[[str], Refused]) -> tuple[str, ...]:
        if "\0" in path:
            raise refuse(shown)
        if path.startswith("/") and path.strip("/"):
            for root in (self.root, PUBLIC_ROOT):
                if path.rstrip("/") == root or path.startswith(root + "/"):
                    path = path[len(root) :]
                    break
            else:
                raise refuse(shown)
        parts = tuple(part for part in path.split("/") if part)
        if any(part in {".", ".."} or len(os.fsencode(part)) > _LONGEST for part in parts):
            raise refuse(shown)
        return parts

    @contextlib.contextmanager
    def _opened(self, parts: tuple[str, ...], wanted: tuple[str, ...] | None = None) -> Iterator[int]:
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                try:
                    inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                except OSError:
                    raise file_not_found("/".join(wanted or parts)) from None
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


class Upload:
    """A file being written under a hidden name, put in its place all at once by `finish`."""

    def __init__(self, parent: int, parts: tuple[str, ...], user: KernelUser) -> None:
        self._parent = parent
        self._parts = parts
        self._partial = _PARTIAL + os.urandom(8).hex()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._partial, flags, 0o644, dir_fd=parent)
            if user.other:
                os.fchown(self._descriptor, user.uid, user.gid)
        except OSError:
            os.close(parent)
            raise
        self._open = True

    def write(self, data: bytes) -> None:
        """Appends to the file."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> Entry:
        """Replaces whatever had the name; raises FileNameInvalid when that is a directory."""
        try:
            status = os.fstat(self._descriptor)
            os.rename(self._partial, self._parts[-1], src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except OSError:
            self.abandon()
            raise file_name_invalid("/".join(self._parts)) from None
        self._close()
        return _entry(self._parts[-1], "", status)

    def abandon(self) -> None:
        """Removes what was written; does nothing after `finish`."""
        if self._open:
            with contextlib.suppress(OSError):
                os.unlink(self._partial, dir_fd=self._parent)
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)
            os.close(self._parent)


def _status(parent: int, parts: tuple[str, ...]) -> os.stat_result:
    try:
        status = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
    except OSError:
        raise file_not_found("/".join(parts)) from None
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise file_not_found("/".join(parts))
    return status


def _entry(name: str, directory: str, status: os.stat_result) -> Entry:
    shown = os.fsencode(name).decode("utf-8", "replace")
    return Entry(shown, directory, status.st_size, status.st_mtime_ns, stat.S_ISDIR(status.st_mode))


def _walk(descriptor: int, directory: str, recursive: bool) -> Iterator[Entry]:
    for name in sorted(os.listdir(descriptor)):
        if name.startswith(_PARTIAL):
            continue
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            continue
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            continue
        entry = _entry(name, directory, status)
        yield entry
        if recursive and entry.is_directory:
            try:
                inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
            except OSError:
                continue
            try:
                yield from _walk(inner, f"{directory}/{entry.name}" if directory else entry.name, True)
            finally:
                os.close(inner)
