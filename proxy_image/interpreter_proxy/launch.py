"""From settings to a started kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .config import Config
from .errors import ConfigurationError
from .kernelspec import find
from .settings import Settings
from .spawn import Launch, Spawned, spawn
from .users import KernelUser, kernel_user


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that serving needs. Without a kernel in shell mode."""

    config: Config
    settings: Settings
    user: KernelUser
    launch: Launch | None
    spawned: Spawned | None
    lines: tuple[str, ...]  # log lines from before logging was set up


def prepare(config: Config, settings: Settings, environment: Mapping[str, str]) -> Prepared:
    """Finds the kernel and starts it; raises ConfigurationError when that is impossible."""
    user = kernel_user(settings.kernel_user)
    directory = config.files.data_directory
    try:
        if not Path(directory).is_dir():
            Path(directory).mkdir(parents=True)
            if user.other:
                os.chown(directory, user.uid, user.gid)
        elif user.other and not _writable(directory, user):
            os.chown(directory, user.uid, user.gid)  # a volume somebody mounted there, most likely
    except OSError as error:
        raise ConfigurationError(f"The data directory {directory} cannot be made: {error}") from None
    if settings.shell:
        return Prepared(config, settings, user, None, None, ())
    name = config.kernel.name
    spec = find(name, user.home, environment)
    lines = [
        f"Checking if the '{name}' (read from environment variable 'CODE_INTERPRETER_KERNEL_NAME') "
        "kernel is installed ...",
        f"The '{name}' kernel is installed in {spec.directory}.",
    ]
    launch = Launch(spec, user, directory, dict(environment))
    try:
        spawned = spawn(launch)
    except OSError as error:
        program = spec.command("")[0]
        found = shutil.which(program) or "not found"
        raise ConfigurationError(
            f"The kernel '{name}' cannot be started: {error} (program {program!r}: {found})"
        ) from None
    if user.other:
        lines.append(f"The kernel runs as user '{user.name}'.")
    return Prepared(config, settings, user, launch, spawned, tuple(lines))


def _writable(directory: str, user: KernelUser) -> bool:
    status = Path(directory).stat()
    if status.st_uid == user.uid:
        return True
    return bool(status.st_mode & 0o002 or (status.st_gid in user.groups and status.st_mode & 0o020))
