"""Finding the kernel that CODE_INTERPRETER_KERNEL_NAME names, in any language, by its kernel.json."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ConfigurationError

# The virtualenv of the base image (documented); user Dockerfiles install kernels there or for the user.
SNENV = "/home/ubuntu/snenv"


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One installed kernel: how to start and how to interrupt it."""

    name: str
    directory: str
    argv: tuple[str, ...]
    language: str = ""
    display_name: str = ""
    interrupt_by_message: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, connection_file: str) -> list[str]:
        """The command line with its placeholders filled in."""
        values = {"connection_file": connection_file, "resource_dir": self.directory, "prefix": self.prefix}
        return [
            re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], m[0]), argument)
            for argument in (self._program(), *self.argv[1:])
        ]

    @property
    def prefix(self) -> str:
        """The installation that holds the specification: PREFIX of PREFIX/share/jupyter/kernels/NAME."""
        parts = Path(self.directory).parts
        return str(Path(*parts[:-4])) if parts[-4:-1] == ("share", "jupyter", "kernels") else ""

    @property
    def ipc(self) -> bool:
        """Whether it can be spoken to over Unix sockets.

        Every kernel that runs in Python is built on ipykernel, which can. Of the others many know TCP only,
        whatever the connection file says: ijavascript, IJava, icsharp.
        """
        return Path(self.argv[0]).name.startswith("python")

    def _program(self) -> str:
        """A bare `python` means the one beside the specification, not whichever is first on the PATH."""
        program = self.argv[0]
        beside = f"{self.prefix}/bin/{program}"
        return beside if self.prefix and "/" not in program and os.access(beside, os.X_OK) else program


def directories(home: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Where kernels are looked for, first come first served (Jupyter's own order, plus the snenv)."""
    yield from (path for path in environment.get("JUPYTER_PATH", "").split(os.pathsep) if path)
    if data := environment.get("JUPYTER_DATA_DIR"):
        yield data
    yield from (
        f"{home}/.local/share/jupyter",
        "/home/ubuntu/.local/share/jupyter",  # also where the account could not be changed
        f"{SNENV}/share/jupyter",
        f"{sys.prefix}/share/jupyter",
        "/usr/local/share/jupyter",
        "/usr/share/jupyter",
    )


def find(name: str, home: str, environment: Mapping[str, str]) -> KernelSpec:
    """The first specification of that name; raises ConfigurationError naming those that do exist."""
    known: set[str] = set()
    for data in directories(home, environment):
        try:
            entries = sorted(Path(data, "kernels").iterdir())
        except OSError:
            continue
        for entry in entries:
            if not (entry / "kernel.json").is_file():
                continue
            known.add(entry.name)
            if entry.name.lower() == name.lower():
                return _read(entry.name, str(entry))
    raise ConfigurationError(
        f"The kernel '{name}' is not installed. Installed: {', '.join(sorted(known)) or 'none'}. Install it "
        f"with 'jupyter-kernelspec install --user' as the kernel's user, or set CODE_INTERPRETER_KERNEL_NAME."
    )


def _read(name: str, directory: str) -> KernelSpec:
    path = f"{directory}/kernel.json"
    try:
        data = json.loads(Path(path).read_bytes())
        argv = tuple(str(argument) for argument in data["argv"])
        environment = {str(k): str(v) for k, v in (data.get("env") or {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path}: is not a kernel specification: {error!r}") from None
    if not argv:
        raise ConfigurationError(f"{path}: 'argv' is empty")
    return KernelSpec(
        name=name,
        directory=directory,
        argv=argv,
        language=str(data.get("language", "")).lower(),
        display_name=str(data.get("display_name", name)),
        interrupt_by_message=data.get("interrupt_mode") == "message",
        environment=environment,
    )
