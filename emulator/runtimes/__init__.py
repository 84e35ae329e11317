"""Where a session's container lives."""

from __future__ import annotations

import os
from pathlib import Path

from emulator.errors import ConfigurationError
from emulator.runtimes.base import Runtime, RuntimeUnavailable
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


def engine_expected() -> bool:
    """Whether this machine says that it has an engine, which may still not answer."""
    return "DOCKER_HOST" in os.environ or Path("/var/run/docker.sock").exists()
