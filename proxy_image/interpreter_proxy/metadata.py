"""What the image holds: `GET /metadata`; `python -m interpreter_proxy.metadata` prints it at build."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import config_file
from .environment import kernel_environment
from .errors import ConfigurationError
from .kernelspec import KernelSpec, find
from .metadata_scripts import NODE, PYTHON
from .settings import from_environment
from .spawn import Launch
from .users import KernelUser, kernel_user

WRITTEN = "/app/metadata.json"
_PROJECTS = {
    "python": ("ipykernel", "https://github.com/ipython/ipykernel", "IPython Kernel for Jupyter"),
    "javascript": (
        "ijavascript",
        "https://github.com/n-riesco/ijavascript",
        "IJavascript is a Javascript kernel for Jupyter notebooks",
    ),
}


async def read(launch: Launch | None) -> dict[str, Any]:
    """What was written at build, else what is found now; `launch` is None in a shell session."""
    return await asyncio.to_thread(_read, launch)


def _read(launch: Launch | None) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        written = json.loads(Path(WRITTEN).read_bytes())
        if isinstance(written, dict):
            return written
    return collect(launch.spec, launch.user) if launch else collect_shell()


def collect(spec: KernelSpec, user: KernelUser) -> dict[str, Any]:
    """Asks the kernel's own interpreter what it is and what is installed for it."""
    runtime, script = _interpreter(spec)
    found = _ask([*runtime, *script], kernel_environment(os.environ, spec, user), user) if runtime else {}
    packages = found.get("packages", {})
    name, url, description = _PROJECTS.get(spec.language, (spec.name, "", spec.display_name))
    version = packages.get(name, "")
    if not version and spec.language == "javascript":
        version = _beside(spec)
    language = {"python": "Python", "javascript": "Node.js"}.get(spec.language, spec.language)
    return {
        "runtimes": [{"name": language, "version": found.get("version", "")}],
        "preInstalledPackages": _listed(packages),
        **_times(),
        "jupyterKernel": {"name": name, "version": version, "projectUrl": url, "description": description},
    }


def collect_shell() -> dict[str, Any]:
    """Bash and the system's packages."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    version = _output(["/bin/bash", "-c", "echo ${BASH_VERSION%%(*}"], environment).strip()
    listing = _output(["dpkg-query", "-W", "-f", "${Package}\\t${Version}\\n"], environment)
    packages = dict(line.split("\t", 1) for line in listing.splitlines() if "\t" in line)
    return {
        "runtimes": [
            {"name": "Bash", "version": version},
            {"name": "Python", "version": platform.python_version()},
        ],
        "preInstalledPackages": _listed(packages),
        **_times(),
    }


def _interpreter(spec: KernelSpec) -> tuple[list[str], list[str]]:
    program = spec.command("")[0]
    if spec.language == "python":
        return [program], ["-c", PYTHON]
    if spec.language == "javascript":
        # The specification names a script or node itself, depending on how it was installed.
        node = program if Path(program).name.startswith("node") else "node"
        return [node], ["-e", NODE]
    return [], []


def _beside(spec: KernelSpec) -> str:
    """The version in the package.json above the kernel's own script."""
    for argument in spec.argv:
        for parent in Path(argument).resolve().parents if "/" in argument else ():
            with contextlib.suppress(OSError, ValueError, KeyError):
                data = json.loads((parent / "package.json").read_bytes())
                if data["name"] == "ijavascript":
                    return str(data["version"])
    return ""


def _ask(command: list[str], environment: dict[str, str], user: KernelUser) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(_output(command, environment, user) or "{}")
        if isinstance(found, dict):
            return found
    return {}


def _output(command: list[str], environment: dict[str, str], user: KernelUser | None = None) -> str:
    other = user if user is not None and user.other else None
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",
            user=other.uid if other else None,
            group=other.gid if other else None,
            extra_groups=other.groups if other else None,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _listed(packages: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"name": name, "version": str(version)}
        for name, version in sorted(packages.items(), key=lambda item: item[0].lower())
    ]


def _times() -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"createdAt": now, "lastUpdatedAt": now}


def main() -> int:
    """Prints the metadata of this image as JSON."""
    try:
        settings = from_environment(os.environ)
        user = kernel_user(settings.kernel_user)
        if settings.shell:
            found = collect_shell()
        else:
            path = settings.config_path
            config = config_file.load(path, settings) if path else config_file.default(settings)
            found = collect(find(config.kernel.name, user.home, os.environ), user)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
