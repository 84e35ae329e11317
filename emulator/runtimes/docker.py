"""Sessions as containers of a Docker Engine, each on a network of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import ipaddress
import json
import logging
import socket
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import docker
import requests
from anyio import CapacityLimiter, to_thread
from docker import errors as docker_errors
from docker.utils import kwargs_from_env

from emulator.resources.model import SessionPool
from emulator.runtimes import names
from emulator.runtimes.base import (
    Address,
    Exit,
    ImageMissing,
    Instance,
    RuntimeFailure,
    RuntimeUnavailable,
    Start,
)
from emulator.runtimes.options import StartOptions, environment, startup_probe, target_port
from emulator.runtimes.readiness import NotReady, wait_until_ready
from emulator.runtimes.remains import Remains
from emulator.runtimes.subnets import Subnets

log = logging.getLogger("emulator.runtimes.docker")

T = TypeVar("T")
PORT = f"{names.LABEL}.port"
LOG_LINES = 20
REAPED = "org.testcontainers"
"""Prefix of the labels by which Testcontainers' reaper finds what a test left behind."""


class DockerRuntime:
    """docker-py in worker threads; names and labels as in `names`.

    An engine that does not answer raises `RuntimeUnavailable`, everything else it refuses
    `RuntimeFailure`, with the engine's own words.
    """

    name = "docker"

    def __init__(self, options: StartOptions) -> None:
        self._options = options
        self._subnets = Subnets(options.subnets)
        self._calls = CapacityLimiter(32)
        # More parallel starts than cores only make each one slower (16 at once on 2 cores: 7.3/s instead
        # of 5.3/s, but each took 1,765 ms instead of 187).
        self._starts = CapacityLimiter(max(1, options.start_concurrency))
        self._known: dict[str, str] = {}  # guid -> subnet, for instances this process started or adopted
        self._own: str | None = options.own_container
        self._looked_around = False
        try:
            self._api = docker.APIClient(timeout=60, max_pool_size=40, **kwargs_from_env())
        except docker_errors.DockerException as error:
            raise RuntimeUnavailable(f"the Docker Engine does not answer: {error}") from error

    # -- contract ----------------------------------------------------------------------------------------

    def notes(self) -> list[str]:
        if self._own_container():
            return []
        return [
            "sessions, also those without egress, reach what this machine serves on all of its addresses: "
            "let such services listen on 127.0.0.1, or run the emulator with docker compose"
        ]

    async def ping(self) -> None:
        await self._call(self._api.ping)

    async def prepare(self, pool: SessionPool) -> str:
        image = self._options.image(pool)
        try:
            return str((await self._call(self._api.inspect_image, image))["Id"])
        except docker_errors.ImageNotFound:
            pass
        if pool.container_type.built_in:
            raise ImageMissing(f"image {image} is not on this engine; build it with scripts/images")
        if not self._options.pull:
            raise ImageMissing(f"image {image} is not on this engine and pulling is switched off")
        log.info("pulling %s", image)
        try:
            await self._call(self._api.pull, *_repository_and_tag(image))
            return str((await self._call(self._api.inspect_image, image))["Id"])
        except (docker_errors.APIError, RuntimeFailure) as error:
            text = f"image {image} is not on this engine and could not be pulled: {error}"
            raise ImageMissing(text) from error

    async def start(self, start: Start) -> Instance:
        began = time.perf_counter()
        created = time.time()
        self._known[start.guid] = ""
        try:
            async with self._starts:
                address = await self._call(self._start_sync, start, created)
            probe = startup_probe(start.pool)
            limit = self._options.start_timeout
            await wait_until_ready(address, probe, limit, lambda: self._why_over(start.guid))
        except BaseException as error:
            lines = await self._last_lines(start.guid) if isinstance(error, NotReady) else ""
            with contextlib.suppress(RuntimeFailure):
                await asyncio.shield(self.stop(start.guid))
            if isinstance(error, (RuntimeFailure, asyncio.CancelledError)):
                if lines:
                    raise NotReady(f"{error}; its last lines: {lines}") from error
                raise
            raise RuntimeFailure(f"a session of pool {start.pool.name} could not start: {error}") from error
        log.debug("started %s in %.0f ms", start.guid, (time.perf_counter() - began) * 1000)
        image = self._options.image(start.pool)
        return Instance(start.guid, start.pool.key, address, image, created, start.identifier)

    async def stop(self, guid: str) -> None:
        await self._call(self._stop_sync, guid)
        subnet = self._known.pop(guid, "")
        if subnet:
            self._subnets.give_back(subnet)

    async def instances(self) -> list[Instance]:
        if not self._looked_around:
            remains = Remains(self._api, self._options, self._remove_container, self._remove_network)
            await self._call(remains.sweep)
            self._looked_around = True
        containers = await self._call(self._api.containers, all=True, filters=self._ours())
        alive: list[Instance] = []
        for container in containers:
            labels = container["Labels"]
            guid = labels[names.SESSION]
            if container["State"] in ("running", "paused"):
                instance, subnet = self._adopt(container, guid, labels)
                alive.append(instance)
                if guid not in self._known:
                    self._known[guid] = subnet
                    self._subnets.reserve(subnet)
            elif guid not in self._known:
                await self.stop(guid)
        await self._sweep_networks(keep={instance.guid for instance in alive} | set(self._known))
        return alive

    async def watch(self) -> AsyncIterator[Exit]:
        queue: asyncio.Queue[Exit | RuntimeFailure] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        filters = {**self._ours(), "type": "container", "event": ["die", "oom"]}
        stream = await self._call(self._api.events, decode=True, filters=filters)

        def put(item: Exit | RuntimeFailure) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(queue.put_nowait, item)

        thread = threading.Thread(target=_pump, args=(stream, put), name="docker-events", daemon=True)
        thread.start()
        try:
            while True:
                item = await queue.get()
                if isinstance(item, RuntimeFailure):
                    raise item
                yield item
        finally:
            with contextlib.suppress(Exception):
                stream.close()

    async def logs(self, guid: str, tail: int = 200) -> str:
        container = await self._find(guid)
        if container is None:
            return ""
        raw: bytes = await self._call(self._api.logs, container, tail=tail, timestamps=False)
        return raw.decode("utf-8", "replace")

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        image = await self.prepare(pool)
        return await self._call(self._metadata_sync, image)

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        filters = {"label": [f"{names.INSTANCE}={self._options.instance}"]}
        left: list[str] = []

        async def each(
            found: list[dict[str, Any]], name: Callable[[Any], str], remove: Callable[[Any], object]
        ) -> None:
            for one in found:
                try:
                    await self._call(remove, one["Id"])
                except RuntimeFailure as error:
                    left.append(f"{name(one)}: {error}")
                else:
                    tell(name(one))

        containers = await self._call(self._api.containers, all=True, filters=filters)
        await each(containers, lambda one: f"container {one['Names'][0].lstrip('/')}", self._remove_container)
        networks = await self._call(self._api.networks, filters=filters)
        await each(networks, lambda one: f"network {one['Name']}", self._remove_network)
        return left

    async def aclose(self) -> None:
        self._api.close()

    # -- in worker threads -------------------------------------------------------------------------------

    async def _call(self, call: Callable[..., T], *args: Any, **keywords: Any) -> T:
        """Run a docker-py call in a thread; connection trouble becomes `RuntimeUnavailable`."""
        work = functools.partial(call, *args, **keywords)
        try:
            return await to_thread.run_sync(work, limiter=self._calls)
        except docker_errors.ImageNotFound:
            raise
        except docker_errors.APIError as error:
            raise RuntimeFailure(str(error.explanation or error)) from error
        except (requests.RequestException, docker_errors.DockerException, OSError) as error:
            raise RuntimeUnavailable(f"the Docker Engine does not answer: {error}") from error

    def _start_sync(self, start: Start, created: float) -> Address:
        pool, options = start.pool, self._options
        name = names.resource_name(options.instance, pool.name, start.guid)
        labels = {
            **self._passed_on(),
            names.INSTANCE: options.instance,
            names.OWNER: options.owner,
            names.HOLDER: options.holder,
            names.POOL: pool.key,
            names.SESSION: start.guid,
            names.CREATED: f"{created:.6f}",
            PORT: str(target_port(pool)),
        }
        if start.identifier is not None:
            labels[names.IDENTIFIER] = start.identifier
        own = self._own_container()
        subnet = self._make_network(
            name, labels, internal=not pool.egress, bare=bool(own) and not pool.egress
        )
        self._known[start.guid] = str(subnet)
        hosts = list(subnet.hosts())
        if own:
            endpoint = self._api.create_endpoint_config(ipv4_address=str(hosts[2]))
            self._api.connect_container_to_network(own, name, **_endpoint(endpoint))
        container = self._create(name, labels, pool, str(hosts[1]))
        self._api.start(container)
        return Address(f"http://{hosts[1]}:{target_port(pool)}")

    def _make_network(self, name: str, labels: dict[str, str], *, internal: bool, bare: bool) -> Any:
        # `bare`: the bridge gets no address of the host's, so that nothing of the host answers on it.
        extra = {"com.docker.network.bridge.inhibit_ipv4": "true"} if bare else {}
        for _ in range(64):
            subnet = self._subnets.take()
            gateway = str(next(iter(subnet.hosts())))
            ipam = docker.types.IPAMConfig(
                pool_configs=[docker.types.IPAMPool(subnet=str(subnet), gateway=gateway)]
            )
            try:
                self._api.create_network(
                    name, driver="bridge", ipam=ipam, internal=internal, labels=labels, options=extra
                )
            except docker_errors.APIError as error:
                if "overlap" in str(error.explanation):
                    self._subnets.drop(str(subnet))
                    continue
                self._subnets.give_back(str(subnet))
                raise
            return subnet
        raise RuntimeFailure(
            f"every address range tried in {self._subnets.cidr} is in use on this machine; "
            "give another one with --session-subnet"
        )

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

    def _stop_sync(self, guid: str) -> None:
        filters = {"label": [*self._ours()["label"], f"{names.SESSION}={guid}"]}
        for container in self._api.containers(all=True, filters=filters):
            self._remove_container(container["Id"])
        for network in self._api.networks(filters=filters):
            self._remove_network(network["Id"])

    def _remove_container(self, container: str) -> None:
        _gone_is_fine(self._api.remove_container, container, force=True, v=True)

    def _remove_network(self, network: str) -> None:
        for attempt in range(5):
            try:
                for container in self._api.inspect_network(network)["Containers"]:
                    disconnect = self._api.disconnect_container_from_network
                    _gone_is_fine(disconnect, container, network, force=True)
                self._api.remove_network(network)
                return
            except docker_errors.NotFound:
                return
            except docker_errors.APIError:
                if attempt == 4:  # endpoints of a container being removed linger for a moment
                    raise
                time.sleep(0.1 * (attempt + 1))

    async def _sweep_networks(self, keep: set[str]) -> list[str]:
        removed = []
        for network in await self._call(self._api.networks, filters=self._ours()):
            guid = network["Labels"].get(names.SESSION, "")
            if guid not in keep:
                await self._call(self._remove_network, network["Id"])
                removed.append(network["Name"])
        return removed

    def _adopt(self, container: dict[str, Any], guid: str, labels: dict[str, str]) -> tuple[Instance, str]:
        networks = container["NetworkSettings"]["Networks"]
        endpoint: dict[str, Any] = next(iter(networks.values()), {})
        host = endpoint.get("IPAddress", "")
        prefix = endpoint.get("IPPrefixLen", 29)
        subnet = str(socket_network(host, prefix)) if host else ""
        address = Address(f"http://{host}:{labels[PORT]}")
        created = float(labels.get(names.CREATED, container["Created"]))
        identifier = labels.get(names.IDENTIFIER)
        return Instance(guid, labels[names.POOL], address, container["Image"], created, identifier), subnet

    def _metadata_sync(self, image: str) -> dict[str, object]:
        labels = {
            **self._passed_on(),
            names.INSTANCE: self._options.instance,
            names.OWNER: self._options.owner,
            names.HOLDER: self._options.holder,
            names.SESSION: f"metadata-{time.time_ns()}",
        }
        container = self._api.create_container(image, labels=labels)["Id"]
        try:
            chunks, _ = self._api.get_archive(container, "/app/metadata.json")
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile("metadata.json")
                loaded: dict[str, object] = json.load(member) if member else {}
                return loaded
        finally:
            _gone_is_fine(self._api.remove_container, container, force=True, v=True)

    async def _find(self, guid: str) -> str | None:
        filters = {"label": [*self._ours()["label"], f"{names.SESSION}={guid}"]}
        found = await self._call(self._api.containers, all=True, filters=filters)
        return str(found[0]["Id"]) if found else None

    async def _why_over(self, guid: str) -> str | None:
        container = await self._find(guid)
        if container is None:
            return "its container is gone"
        state = (await self._call(self._api.inspect_container, container))["State"]
        if state["Running"]:
            return None
        memory = ", out of memory" if state.get("OOMKilled") else ""
        return f"its container exited with code {state['ExitCode']}{memory} {state.get('Error', '')}".rstrip()

    async def _last_lines(self, guid: str) -> str:
        with contextlib.suppress(RuntimeFailure):
            return " | ".join((await self.logs(guid, LOG_LINES)).splitlines())
        return ""

    def _ours(self) -> dict[str, list[str]]:
        options = self._options
        return {"label": [f"{names.INSTANCE}={options.instance}", f"{names.OWNER}={options.owner}"]}

    def _passed_on(self) -> dict[str, str]:
        """Labels for everything that is made: the user's, and those by which whoever started the emulator's
        own container finds what to clean up after it."""
        own = self._own_container()
        inherited: dict[str, str] = {}
        if own:
            labels = self._api.inspect_container(own)["Config"]["Labels"] or {}
            inherited = {name: labels[name] for name in labels if name.startswith(REAPED)}
        return {**inherited, **dict(self._options.labels)}

    def _own_container(self) -> str:
        if self._own is None:
            own = ""
            if Path("/.dockerenv").exists():
                with contextlib.suppress(docker_errors.APIError):
                    own = str(self._api.inspect_container(socket.gethostname())["Id"])
            self._own = own  # only now: another thread that starts a session must not see half an answer
        return self._own


def socket_network(host: str, prefix: int) -> Any:
    return ipaddress.ip_network(f"{host}/{prefix}", strict=False)


def _endpoint(config: dict[str, Any]) -> dict[str, Any]:
    return {"ipv4_address": config["IPAMConfig"]["IPv4Address"]}


def _repository_and_tag(image: str) -> tuple[str, str]:
    repository, _, tag = image.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (image, "latest")


def _gone_is_fine(call: Callable[..., Any], *args: Any, **keywords: Any) -> None:
    """Removing what is gone, or being removed by somebody else, is success."""
    try:
        call(*args, **keywords)
    except docker_errors.NotFound:
        return
    except docker_errors.APIError as error:
        if error.status_code != 409 and "is not connected" not in str(error.explanation):
            raise


def _pump(stream: Any, put: Callable[[Exit | RuntimeFailure], None]) -> None:
    """Carry the engine's event stream (a blocking iterator) over to the loop, until it ends."""
    out_of_memory: set[str] = set()
    why = "it was closed"
    try:
        for event in stream:
            attributes = event["Actor"]["Attributes"]
            guid = attributes.get(names.SESSION, "")
            if event["Action"] == "oom":
                out_of_memory.add(guid)
                continue
            code = int(attributes.get("exitCode", "-1"))
            put(Exit(guid, code, oom=code == 137 and guid in out_of_memory))
            out_of_memory.discard(guid)
    except Exception as error:  # docker-py lets urllib3's and the socket's own errors through here
        why = str(error)
    put(RuntimeUnavailable(f"the Docker Engine's event stream ended: {why}"))
