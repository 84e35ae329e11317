"""The engine of the tests: images of their own, emulators beside each other, proof of no leftovers."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from tests import harness
from tests.harness import Emulator

LABEL = "dynamic-sessions-emulator.instance"
SESSION = "dynamic-sessions-emulator.session"
IDENTIFIER = "dynamic-sessions-emulator.identifier"
FIXTURES = Path(__file__).parent / "fixtures"
PREFIX = "docker-tests"
PATIENCE = 60.0
"""Seconds after which something that should happen by itself counts as not happening."""


def eventually(what: Callable[[], Any], saying: str, at_most: float = PATIENCE) -> Any:
    """Wait until `what()` is true and return it; `saying` tells what did not happen."""
    deadline = time.monotonic() + at_most
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {at_most:g} s: {saying}"
        time.sleep(0.1)


class Lab:
    """A Docker Engine and what the tests have on it; everything carries a label with this process's id."""

    def __init__(self) -> None:
        self.engine: Any = docker.from_env(timeout=120)
        self.engine.ping()
        self._numbers = itertools.count(1)
        self._built: set[str] = set()
        self.emulators: list[Emulator] = []

    def new_instance(self) -> str:
        return f"{PREFIX}-{os.getpid()}-{next(self._numbers)}"

    def flags(self, instance: str) -> list[str]:
        """Flags that keep an emulator out of everybody else's way."""
        # Two runs of the tests beside each other must not fight for one range; 10.231.255 is `outside`'s.
        third = (os.getpid() + int(instance.rsplit("-", 1)[1])) % 255
        return ["--runtime", "docker", "--instance", instance, "--session-subnet", f"10.231.{third}.0/24"]

    def start(self, folder: Path, *flags: str, instance: str, **options: Any) -> Emulator:
        """An emulator of `instance`; the caller ends it."""
        started = harness.start(folder, *self.flags(instance), *flags, **options)
        self.emulators.append(started)
        return started

    @contextlib.contextmanager
    def emulator(
        self, folder: Path, *flags: str, instance: str | None = None, **options: Any
    ) -> Iterator[Emulator]:
        """An emulator on the engine; after the block nothing of it may be left."""
        instance = instance or self.new_instance()
        started = self.start(folder, *flags, instance=instance, **options)
        try:
            yield started
            started.stop()
            left = self.all_of(instance)
            assert left == [], f"left behind by instance {instance}: {left}"
        finally:
            if started.process.poll() is None:
                started.process.kill()
                started.process.wait()
            self.emulators.remove(started)
            self.sweep(instance)

    # -- what is there -----------------------------------------------------------------------------------

    def containers(self, instance: str) -> list[Any]:
        """Every container of an emulator, running or not."""
        filters = {"label": f"{LABEL}={instance}"}
        return list(self.engine.containers.list(all=True, filters=filters, ignore_removed=True))

    def networks(self, instance: str) -> list[Any]:
        return list(self.engine.networks.list(filters={"label": f"{LABEL}={instance}"}))

    def all_of(self, instance: str) -> list[str]:
        """Names of the containers and networks of an emulator."""
        return [str(one.name) for one in (*self.containers(instance), *self.networks(instance))]

    def container(self, instance: str, guid: str) -> Any:
        """The container of one session."""
        filters = {"label": [f"{LABEL}={instance}", f"{SESSION}={guid}"]}
        (found,) = self.engine.containers.list(all=True, filters=filters, ignore_removed=True)
        return found

    def bridge_address(self) -> str:
        """The host's address on the engine's default bridge."""
        config = self.engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
        return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))

    def kill_emulator(self, emulator: Emulator) -> None:
        """SIGKILL, as when the machine runs out of memory."""
        emulator.process.kill()
        emulator.process.wait()

    # -- images ------------------------------------------------------------------------------------------

    def build(self, name: str) -> str:
        """Build fixtures/`name` with the client that users have; returns the image's name."""
        image = f"{PREFIX}/{name}:latest"
        if image not in self._built:
            done = subprocess.run(
                ["docker", "build", "--quiet", "--tag", image, str(FIXTURES / name)],
                capture_output=True,
                text=True,
                timeout=280,
                check=False,
            )
            assert done.returncode == 0, f"{name} could not be built:\n{done.stdout}{done.stderr}"
            self._built.add(image)
        return image

    # -- cleaning up -------------------------------------------------------------------------------------

    def sweep(self, instance: str) -> None:
        for container in self.containers(instance):
            with contextlib.suppress(NotFound, APIError):
                container.remove(force=True, v=True)
        for network in self.networks(instance):
            with contextlib.suppress(NotFound):
                network.reload()
                for container in network.containers:
                    network.disconnect(container, force=True)
                network.remove()

    def sweep_old(self) -> None:
        """Remove what earlier runs left that were themselves killed."""
        everything = [
            *self.engine.containers.list(all=True, ignore_removed=True),
            *self.engine.networks.list(),
        ]
        for instance in {_instance(one) for one in everything}:
            parts = instance.removeprefix(f"{PREFIX}-").split("-")
            if instance.startswith(f"{PREFIX}-") and not Path(f"/proc/{parts[0]}").exists():
                self.sweep(instance)

    def sweep_own(self) -> None:
        for number in range(1, next(self._numbers)):
            self.sweep(f"{PREFIX}-{os.getpid()}-{number}")
        self.engine.close()

    def logs(self) -> Iterator[tuple[str, str]]:
        """What emulators and their containers printed, for a test that failed."""
        for emulator in self.emulators:
            yield f"log of {emulator.ready['http']}", emulator.text()[-6000:]
        for container in self.engine.containers.list(all=True, ignore_removed=True):
            if _instance(container).startswith(f"{PREFIX}-{os.getpid()}-"):
                with contextlib.suppress(DockerException):
                    text = container.logs(tail=30).decode("utf-8", "replace")
                    yield f"container {container.name} ({container.status})", text


def _instance(thing: Any) -> str:
    labels = thing.attrs.get("Labels") or thing.attrs.get("Config", {}).get("Labels") or {}
    return str(labels.get(LABEL, ""))
