"""What a session is made of on an engine: a network and a container. Everything here blocks."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import socket
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker import errors as docker_errors

from emulator.resources.model import SessionPool
from emulator.runtimes import names
from emulator.runtimes.base import Address, RuntimeFailure, Start
from emulator.runtimes.docker_known import Known, endpoint_of
from emulator.runtimes.docker_network import gone_is_fine, make_network, remove_network
from emulator.runtimes.options import StartOptions, environment, target_port
from emulator.runtimes.quota import storage_options, try_quota
from emulator.runtimes.subnets import Subnets

PORT = f"{names.LABEL}.port"
REAPED = "org.testcontainers"
"""Prefix of the labels by which Testcontainers' reaper finds what a test left behind."""


@dataclass(frozen=True)
class Started:
    """A container that runs, which may not answer yet; `image` by id."""

    address: Address
    image: str


class Containers:
    """Makes, finds and removes containers that carry this emulator's labels.

    `own`: id of the container the emulator itself runs in, `""` on a host.
    """

    def __init__(self, api: docker.APIClient, options: StartOptions, subnets: Subnets) -> None:
        self._api = api
        self._options = options
        self._subnets = subnets
        self.own = _own_container(api) if options.own_container is None else options.own_container

    def start(self, start: Start, created: float, known: Known) -> Started:
        """Make and start it; `known` learns what there is as it comes to be."""
        try:
            return self._start(start, created, known)
        finally:
            if known.given_up:  # nobody waits for it any more: what the engine made meanwhile goes again
                self.remove(start.guid)
                self._subnets.give_back(known.take_subnet())

    def _start(self, start: Start, created: float, known: Known) -> Started:
        pool, options = start.pool, self._options
        name = names.resource_name(options.instance, pool.name, start.guid)
        labels = {
            **self._labels(start.guid),
            names.POOL: pool.key,
            names.CREATED: f"{created:.6f}",
            PORT: str(target_port(pool)),
        }
        if start.identifier is not None:
            labels[names.IDENTIFIER] = start.identifier
        own = self.own
        bare = bool(own) and not pool.egress
        _go_on(known)
        subnet = make_network(self._api, self._subnets, name, labels, internal=not pool.egress, bare=bare)
        known.subnet = str(subnet)
        hosts = list(subnet.hosts())
        _go_on(known)
        if own:
            endpoint = self._api.create_endpoint_config(ipv4_address=str(hosts[2]))
            self._api.connect_container_to_network(own, name, **_endpoint(endpoint))
        known.container = self._create(name, labels, pool, str(hosts[1]))
        _go_on(known)
        self._api.start(known.container)
        found = self._api.inspect_container(known.container)
        known.endpoint = str(endpoint_of(found).get("EndpointID", ""))
        return Started(Address(f"http://{hosts[1]}:{target_port(pool)}"), str(found["Image"]))

    def _labels(self, guid: str) -> dict[str, str]:
        return {
            **self._passed_on,
            names.INSTANCE: self._options.instance,
            names.OWNER: self._options.owner,
            names.HOLDER: self._options.holder,
            names.SESSION: guid,
        }

    def _create(self, name: str, labels: dict[str, str], pool: SessionPool, address: str) -> str:
        options = self._options
        cpu, memory = options.limits(pool)
        host_config = self._api.create_host_config(
            init=True,
            cap_drop=["ALL"],
            cap_add=list(options.capabilities),
            security_opt=["no-new-privileges:true"],
            pids_limit=options.pids,
            mem_limit=memory,
            memswap_limit=memory,
            storage_opt=storage_options(options.quota(pool)),
            nano_cpus=int(cpu * 1e9) if cpu else None,
            network_mode=name,
            # Engines resolve names for containers themselves, some versions also for those of internal
            # networks: a session without egress gets a server that is not there, and gives up soon.
            dns=None if pool.egress else ["127.0.0.1"],
            dns_opt=None if pool.egress else ["timeout:1", "attempts:1"],
            log_config=docker.types.LogConfig(
                type="json-file", config={"max-size": options.log_size, "max-file": "1"}
            ),
            runtime=pool.emulator.runtime_name,
        )
        template = pool.template
        created = self._api.create_container(
            options.image(pool),
            command=list(template.args) or None if template else None,
            entrypoint=list(template.command) or None if template else None,
            environment=environment(pool, options),
            labels=labels,
            name=name,
            hostname="session",
            host_config=host_config,
            networking_config={
                "EndpointsConfig": {name: self._api.create_endpoint_config(ipv4_address=address)}
            },
        )
        return str(created["Id"])

    def all(self, guid: str | None = None) -> list[dict[str, Any]]:
        """Containers of this emulator in any state, or only those of one instance."""
        found: list[dict[str, Any]] = self._api.containers(all=True, filters=self.filters(guid))
        return found

    def networks(self, guid: str | None = None) -> list[dict[str, Any]]:
        """Networks of this emulator, or only those of one instance."""
        found: list[dict[str, Any]] = self._api.networks(filters=self.filters(guid))
        return found

    def filters(self, guid: str | None = None) -> dict[str, list[str]]:
        options = self._options
        ours = [f"{names.INSTANCE}={options.instance}", f"{names.OWNER}={options.owner}"]
        return {"label": ours if guid is None else [*ours, f"{names.SESSION}={guid}"]}

    def remove(self, guid: str) -> None:
        """Remove all there is of an instance; of one that is gone: nothing to do."""
        for container in self.all(guid):
            self.remove_container(container["Id"])
        for network in self.networks(guid):
            remove_network(self._api, network["Id"])

    def state(self, container: str) -> dict[str, Any]:
        """How a container is: `Running`, `ExitCode`, `OOMKilled`, `Error`."""
        found: dict[str, Any] = self._api.inspect_container(container)["State"]
        return found

    def remove_network(self, network: str) -> None:
        remove_network(self._api, network)

    def remove_container(self, container: str) -> None:
        gone_is_fine(self._api.remove_container, container, force=True, v=True)

    def metadata(self, image: str, guid: str) -> dict[str, object]:
        """The file an image says in what is installed, read without running it."""
        container = self._api.create_container(image, labels=self._labels(guid))["Id"]
        try:
            chunks, _ = self._api.get_archive(container, "/app/metadata.json")
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile("metadata.json")
                loaded: dict[str, object] = json.load(member) if member else {}
                return loaded
        finally:
            self.remove_container(container)

    def try_quota(self, image: str, size: int, guid: str) -> None:
        """Raises `RuntimeFailure` if containers cannot have a disk of `size` bytes."""
        try_quota(self._api, image, size, self._labels(guid))

    @functools.cached_property
    def _passed_on(self) -> dict[str, str]:
        """Labels for everything that is made: the user's, and those by which whoever started the emulator's
        own container finds what to clean up after it."""
        own = self.own
        inherited: dict[str, str] = {}
        if own:
            labels = self._api.inspect_container(own)["Config"]["Labels"] or {}
            inherited = {name: labels[name] for name in labels if name.startswith(REAPED)}
        return {**inherited, **dict(self._options.labels)}


def _own_container(api: docker.APIClient) -> str:
    if Path("/.dockerenv").exists():
        with contextlib.suppress(docker_errors.APIError):
            return str(api.inspect_container(socket.gethostname())["Id"])
    return ""


def _go_on(known: Known) -> None:
    if known.given_up:
        raise RuntimeFailure("nobody waits for this start any more")


def _endpoint(config: dict[str, Any]) -> dict[str, Any]:
    return {"ipv4_address": config["IPAMConfig"]["IPv4Address"]}
