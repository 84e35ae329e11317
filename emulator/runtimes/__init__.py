"""Where a session's container lives."""

from __future__ import annotations

import os
from pathlib import Path

from emulator.errors import ConfigurationError
from emulator.runtimes.base import Runtime, RuntimeFailure, RuntimeUnavailable
from emulator.runtimes.options import StartOptions


async def choose(name: str, options: StartOptions) -> Runtime:
    """The runtime called `name`; `auto` is docker where an engine answers, process elsewhere.

    Raises `ConfigurationError` when docker was asked for and no engine answers.
    """
    if name in ("docker", "auto"):
        try:
            if name == "auto" and not engine_expected():
                raise RuntimeUnavailable("there is no engine socket")
            from emulator.runtimes.docker import DockerRuntime  # a quarter of a second, only where it is used

            runtime = DockerRuntime(options)
            await runtime.ping()
            return runtime
        except RuntimeUnavailable as error:
            if name == "docker":
                remedy = "start Docker (scripts/engine start does on Debian), or use --runtime process"
                raise ConfigurationError(f"--runtime docker: {error}; {remedy}") from error
    from emulator.runtimes.process import ProcessRuntime

    return ProcessRuntime(options)


async def require_limits(runtime: Runtime) -> None:
    """Raises `ConfigurationError` if sessions cannot have what the settings limit them to."""
    try:
        await runtime.check_limits()
    except RuntimeUnavailable:
        return  # gone since it was chosen: the pools will say so, and the limits when it is back
    except RuntimeFailure as error:
        raise ConfigurationError(f"--session-disk: {error}") from error


def engine_expected() -> bool:
    """Whether this machine says that it has an engine, which may still not answer."""
    return "DOCKER_HOST" in os.environ or Path("/var/run/docker.sock").exists()
