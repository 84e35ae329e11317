"""A Docker Engine of the tests' own, which may be stopped, killed, frozen and filled up.

Everything of it lives below one folder; its data are on a file system of limited size, so that a full disk
is a real one. It has a bridge of its own and no packet-filter rules (they are one table per machine), so
nothing it does reaches another engine of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from tests import harness
from tests.chaos import leftovers
from tests.harness import Emulator

LABEL = "dynamic-sessions-emulator.instance"
INSTANCE = "own-engine"
PATIENCE = 30.0
"""Seconds after which something that should happen by itself counts as not happening."""


def eventually(what: Callable[[], Any], saying: str, at_most: float = PATIENCE) -> Any:
    """Wait until `what()` is true and return it; `saying` tells what did not happen."""
    deadline = time.monotonic() + at_most
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {at_most:g} s: {saying}"
        time.sleep(0.05)
    return found


class OwnEngine:
    """One engine; `size` bounds its data (tmpfs). Start it, and `remove` it whatever happened.

    `subnet` is where its sessions' addresses come from; no other engine of the tests has it.
    """

    def __init__(self, size: str = "256m", *arguments: str) -> None:
        for program in ("dockerd", "ip", "busybox"):
            assert shutil.which(program), f"{program} is missing; scripts/test installs it"
        leftovers.sweep_dead()
        self.folder, number = leftovers.claim_folder()
        self.bridge = leftovers.bridge(number)
        self.subnet = leftovers.subnet(number)
        self.data = self.folder / "data"
        self.host = f"unix://{self.folder}/docker.sock"
        self.emulators: list[Emulator] = []
        # No --default-address-pool: with one, an engine that starts again removes docker0, another's bridge.
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self.data.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "dse-engine", str(self.data))
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "address", "add", leftovers.bridge_address(number), "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")

    # -- the engine --------------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """A client of this engine."""
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.host, timeout=60)
        return self._client

    def start(self, *arguments: str) -> None:
        """Start it (again) and return once it answers; `arguments` add to those given at first."""
        # It would refuse to start over a reused number, or wait for a containerd that died with the last one.
        for stale in (self.folder / "dockerd.pid", self.folder / "exec" / "containerd" / "containerd.pid"):
            stale.unlink(missing_ok=True)
        command = ["dockerd", "--data-root", str(self.data), "--exec-root", str(self.folder / "exec")]
        command += ["--pidfile", str(self.folder / "dockerd.pid"), "--host", self.host]
        command += ["--bridge", self.bridge, "--iptables=false", "--ip-forward=false"]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self._arguments, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PATH": path},
            )
        eventually(self._answers, f"dockerd answers; its words are in {self.log}:\n{self.last_words()}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"dockerd ended:\n{self.last_words()}"
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(5)
            try:
                knock.connect(str(self.folder / "docker.sock"))
                knock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b"200 OK" in knock.recv(100)
            except OSError:
                return False

    def stop(self) -> None:
        """SIGTERM, as a service manager does; returns when it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as when the machine runs out of memory."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
        eventually(lambda: not leftovers.containerds(self.folder), "its containerd ends with it")

    def freeze(self) -> None:
        """It takes connections and answers none, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return ""

    # -- its disk ----------------------------------------------------------------------------------------

    def fill_disk(self) -> None:
        """Not a byte is left for the engine's data, until `free_disk`."""
        with (self.data / "ballast").open("wb", buffering=0) as ballast:
            for size in (1 << 22, 4096):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def free_disk(self) -> None:
        (self.data / "ballast").unlink(missing_ok=True)

    # -- emulators on it ---------------------------------------------------------------------------------

    def flags(self) -> list[str]:
        return ["--runtime", "docker", "--instance", INSTANCE, "--session-subnet", self.subnet]

    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": self.host}

    def emulator(
        self, folder: Path, *flags: str, env: dict[str, str] | None = None, **options: Any
    ) -> Emulator:
        """An emulator whose sessions run here; it ends with the engine at the latest."""
        variables = {**self.environment(), **(env or {})}
        started = harness.start(folder, *self.flags(), *flags, env=variables, **options)
        self.emulators.append(started)
        return started

    def containers(self) -> list[Any]:
        """What emulators have here, running or not."""
        filters = {"label": LABEL}
        return list(self.client.containers.list(all=True, filters=filters, ignore_removed=True))

    def networks(self) -> list[Any]:
        return list(self.client.networks.list(filters={"label": LABEL}))

    def left(self) -> list[str]:
        """Names of all containers and networks of emulators."""
        return [str(one.name) for one in (*self.containers(), *self.networks())]

    def container(self, guid: str) -> Any:
        """The container of one session."""
        (found,) = [one for one in self.containers() if guid in one.name]
        return found

    # -- the end -----------------------------------------------------------------------------------------

    def remove(self) -> None:
        """End the emulators and the engine, and remove all there is of it from this machine."""
        for emulator in self.emulators:
            if emulator.process.poll() is None:
                emulator.process.kill()
                emulator.process.wait()
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        leftovers.remove(self.folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (the tests need to be root)"
