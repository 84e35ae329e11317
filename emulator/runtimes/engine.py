"""What `doctor` asks a Docker Engine: its version, its room on disk, images, what emulators left on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker import errors as docker_errors
from docker.utils import kwargs_from_env

from emulator.runtimes import names
from emulator.runtimes.base import RuntimeUnavailable


def storage(info: Mapping[str, Any]) -> str:
    """An engine's storage driver and what it stands on, from `docker info`, e.g. `overlay2 on extfs`."""
    below = dict(info.get("DriverStatus") or []).get("Backing Filesystem")
    return f"{info.get('Driver', 'unknown')}{f' on {below}' if below else ''}"


@dataclass(frozen=True)
class Leftovers:
    """Containers and networks that carry an instance's label."""

    instance: str
    containers: int
    networks: int


class Engine:
    """The engine that docker's own environment variables name. Raises `RuntimeUnavailable`."""

    def __init__(self) -> None:
        try:
            self._api = docker.APIClient(timeout=20, **kwargs_from_env())
            info = self._api.info()
        except (docker_errors.DockerException, requests.RequestException, OSError) as error:
            raise RuntimeUnavailable(f"the Docker Engine does not answer: {error}") from error
        self.version = str(info.get("ServerVersion", "?"))
        self.driver = storage(info)
        self.root = str(info.get("DockerRootDir", ""))
        self.address = str(self._api.base_url)

    def has_image(self, image: str) -> bool:
        return bool(self._api.images(name=image))

    def leftovers(self) -> list[Leftovers]:
        """What carries a label of ours, by instance."""
        filters = {"label": names.INSTANCE}
        containers = Counter(
            one["Labels"][names.INSTANCE] for one in self._api.containers(all=True, filters=filters)
        )
        networks = Counter(one["Labels"][names.INSTANCE] for one in self._api.networks(filters=filters))
        return [Leftovers(one, containers[one], networks[one]) for one in sorted({*containers, *networks})]

    def internal(self, guid: str) -> bool | None:
        """Whether a session's network was made without a way out; None if there is no such network."""
        found = self._api.networks(filters={"label": f"{names.SESSION}={guid}"})
        return all(bool(one["Internal"]) for one in found) if found else None

    def close(self) -> None:
        self._api.close()
