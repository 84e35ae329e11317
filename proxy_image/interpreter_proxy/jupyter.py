"""Jupyter on port 8888 for a person who debugs, showing the very kernel that the proxy drives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from pathlib import Path

from . import children
from .environment import kernel_environment
from .instance import KernelInstance
from .kernelspec import SNENV
from .spawn import Launch, private_directory

log = logging.getLogger("interpreter_proxy")

_PROGRAMS = ("jupyter-lab", "jupyter-server")


class Jupyter:
    """A Jupyter server that is told of each kernel by its connection file."""

    def __init__(self, launch: Launch, port: int) -> None:
        self._launch = launch
        self._port = port
        self._directory = Path(private_directory("jupyter"))
        if launch.user.other:
            os.chown(self._directory, launch.user.uid, launch.user.gid)
        self._shown: Path | None = None
        self._something = asyncio.Event()

    async def show(self, instance: KernelInstance) -> None:
        """Makes a kernel that has just started the one that Jupyter lists."""
        if self._shown is not None:
            self._shown.unlink(missing_ok=True)
        source = Path(instance.process.spawned.connection_file)
        shown = self._directory / f"kernel-{instance.process.pid}.json"
        with contextlib.suppress(OSError):  # it may have died again already
            shutil.copy(source, shown)
            if self._launch.user.other:
                os.chown(shown, self._launch.user.uid, self._launch.user.gid)
            self._shown = shown
            self._something.set()

    async def run(self) -> None:
        """Serves until cancelled; a missing Jupyter is a warning, not a fault."""
        program = self._program()
        if program is None:
            log.warning("CODE_INTERPRETER_JUPYTER is set, but none of %s is installed.", ", ".join(_PROGRAMS))
            return
        user = self._launch.user
        await self._something.wait()
        token = self._launch.environment.get("JUPYTER_TOKEN") or os.urandom(24).hex()
        log.info("Token found in environment variable: %s", token)
        process = await asyncio.create_subprocess_exec(
            program,
            "--ServerApp.ip=0.0.0.0",
            f"--ServerApp.port={self._port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            "--ServerApp.allow_root=True",
            f"--ServerApp.root_dir={self._launch.directory}",
            "--ServerApp.allow_external_kernels=True",
            f"--ServerApp.external_connection_dir={self._directory}",
            env={
                **kernel_environment(self._launch.environment, self._launch.spec, user),
                "JUPYTER_TOKEN": token,
            },
            cwd=self._launch.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            user=user.uid if user.other else None,
            group=user.gid if user.other else None,
            extra_groups=user.groups if user.other else None,
        )
        children.own(process.pid)
        log.info("Jupyter is served on port %d: http://localhost:%d/lab", self._port, self._port)
        try:
            code = await process.wait()
            log.warning("Jupyter ended with code %d.", code)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            children.disown(process.pid)
            shutil.rmtree(self._directory, ignore_errors=True)

    def _program(self) -> str | None:
        homes = [self._launch.spec.prefix, SNENV]
        places = [f"{home}/bin/{name}" for home in homes if home for name in _PROGRAMS]
        return next((place for place in places if os.access(place, os.X_OK)), None)
