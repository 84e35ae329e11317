"""Sessions as containers of a Docker Engine, each on a network of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import docker
import requests
from anyio import CapacityLimiter
from docker import errors as docker_errors
from docker.utils import kwargs_from_env

from emulator.resources.model import SessionPool
from emulator.runtimes import names
from emulator.runtimes.base import (
    Address,
    Exit,
    ImageMissing,
    ImagesChanged,
    Instance,
    RuntimeFailure,
    RuntimeUnavailable,
    Start,
)
from emulator.runtimes.docker_calls import Calls, unavailable
from emulator.runtimes.docker_compare import Comparison
from emulator.runtimes.docker_container import PORT, Containers, Started
from emulator.runtimes.docker_events import Disconnected, News, Stream
from emulator.runtimes.docker_known import RUNNING_STATES, Known, Phase, endpoint_of
from emulator.runtimes.docker_network import gone_is_fine
from emulator.runtimes.options import StartOptions, start_limit, startup_probe
from emulator.runtimes.readiness import NotReady, wait_until_ready
from emulator.runtimes.remains import Remains
from emulator.runtimes.subnets import Subnets
from emulator.runtimes.tail import Tail

log = logging.getLogger("emulator.runtimes.docker")

LOG_LINES, CONSOLE_LINES = 20, 2_000
LOG_SECONDS = 5.0
CALL_SECONDS = 60
"""Longest that docker-py waits for the answer to one call (but a pull), while the engine answers others."""


class DockerRuntime:
    """docker-py in worker threads; names and labels as in `names`.

    An engine that does not answer raises `RuntimeUnavailable`, everything else it refuses
    `RuntimeFailure`, with the engine's own words. Making one asks the engine, and blocks.
    """

    name = "docker"

    def __init__(self, options: StartOptions) -> None:
        self._options = options
        # More parallel starts than cores only make each one slower (16 at once on 2 cores: 7.3/s instead
        # of 5.3/s, but each took 1,765 ms instead of 187).
        self._starts = CapacityLimiter(max(1, options.start_concurrency))
        self._known: dict[str, Known] = {}
        self._has_quota = False
        self._adopted = False
        self._looked_around = False
        self._subnets = Subnets(options.subnets)
        try:
            patience: Any = options.engine_timeout  # any number of seconds, whatever its type stub says
            self._api = docker.APIClient(timeout=patience, max_pool_size=40, **kwargs_from_env())
            self._containers = Containers(self._api, options, self._subnets)
        except (requests.RequestException, docker_errors.DockerException, OSError) as error:
            raise unavailable(error) from error
        self._api.timeout = CALL_SECONDS
        self._calls = Calls(self._api.ping, options.engine_timeout)
        self._comparison = Comparison(self._calls, self._containers, self._known, self.stop)

    # -- contract ----------------------------------------------------------------------------------------

    def notes(self) -> list[str]:
        if self._containers.own:
            return []
        return [
            "sessions, also those without egress, reach what this machine serves on all of its addresses: "
            "let such services listen on 127.0.0.1, or run the emulator with docker compose"
        ]

    async def ping(self) -> None:
        await self._calls.ask()

    async def image(self, pool: SessionPool) -> str | None:
        try:
            found = await self._calls.run(self._api.inspect_image, self._options.image(pool))
        except docker_errors.ImageNotFound:
            return None
        return str(found["Id"])

    async def check_limits(self) -> None:
        images = await self._calls.run(self._api.images, quiet=True)
        for image in images[:1]:
            await self._check_quota(image, self._options.disk)

    async def _check_quota(self, image: str, size: int | None) -> None:
        if size is None or self._has_quota:
            return
        guid = f"quota-{time.time_ns()}"
        self._known[guid] = Known()
        try:
            await self._calls.run(self._containers.try_quota, image, size, guid)
        finally:
            self._known.pop(guid, None)
        self._has_quota = True  # once is enough: the storage driver stays what it is

    async def prepare(self, pool: SessionPool) -> str:
        if (found := await self.image(pool)) is not None:
            await self._check_quota(found, self._options.quota(pool))
            return found
        image = self._options.image(pool)
        if pool.container_type.built_in:
            raise ImageMissing(f"image {image} is not on this engine; build it with scripts/images")
        if not self._options.pull:
            raise ImageMissing(
                f"image {image} is not on this engine and pulling is switched off; build, load or pull it"
            )
        log.info("pulling %s", image)
        why: object = "it is not there afterwards"
        try:
            await self._calls.run(self._api.pull, *_repository_and_tag(image))
            found = await self.image(pool)
        except RuntimeUnavailable:
            raise
        except (docker_errors.APIError, RuntimeFailure) as error:
            why = error
        if found is None:
            raise ImageMissing(f"image {image} is not on this engine and could not be pulled: {why}")
        return found

    async def start(self, start: Start) -> Instance:
        began = time.perf_counter()
        created = time.time()
        known = self._known[start.guid] = Known()
        try:
            async with self._starts:
                started: Started = await self._calls.run(self._containers.start, start, created, known)
            probe = startup_probe(start.pool)
            limit = start_limit(start.pool, self._options)
            await wait_until_ready(started.address, probe, limit, lambda: self._why_over(start.guid))
        except BaseException as error:
            console = await self._last_lines(start.guid) if isinstance(error, NotReady) else None
            known.given_up = True
            with contextlib.suppress(RuntimeFailure):  # what cannot be removed now is found by `Comparison`
                await asyncio.shield(self.stop(start.guid))
            if isinstance(error, (RuntimeFailure, asyncio.CancelledError)):
                if console is not None:
                    lines = " | ".join(console.splitlines()[-LOG_LINES:])
                    failure = NotReady(f"{error}; its last lines: {lines}" if lines else str(error))
                    failure.console = console
                    raise failure from error
                raise
            raise RuntimeFailure(f"a session of pool {start.pool.name} could not start: {error}") from error
        known.phase = Phase.RUNNING
        log.debug("started %s in %.0f ms", start.guid, (time.perf_counter() - began) * 1000)
        return Instance(start.guid, start.pool.key, started.address, started.image, created, start.identifier)

    async def stop(self, guid: str) -> None:
        known = self._known.setdefault(guid, Known())
        known.phase = Phase.LEAVING
        try:
            await self._calls.run(self._containers.remove, guid)
        except BaseException:
            known.phase = Phase.LEFT
            raise
        self._known.pop(guid, None)
        self._subnets.give_back(known.take_subnet())

    async def kill(self, guid: str, *, oom: bool = False) -> None:
        known = self._known.get(guid)
        if known is None or known.phase is not Phase.RUNNING:
            return
        known.as_oom = oom
        await self._calls.run(gone_is_fine, self._api.kill, known.container, signal="SIGKILL")

    async def instances(self) -> list[Instance]:
        if not self._looked_around:
            remove = self._containers.remove_container
            remains = Remains(self._api, self._options, remove, self._containers.remove_network)
            await self._calls.run(remains.sweep)
            self._looked_around = True
        alive: list[Instance] = []
        for container in await self._calls.run(self._containers.all):
            guid = container["Labels"][names.SESSION]
            running = container["State"] in RUNNING_STATES
            if guid not in self._known and running and not self._adopted:
                self._known[guid] = self._adopt(container)
            known = self._known.get(guid)
            if known is None:
                await self.stop(guid)
            elif running and known.phase is Phase.RUNNING:
                alive.append(_instance(container))
        await self._comparison.sweep_networks()
        self._adopted = True
        await asyncio.sleep(0)  # whoever was told of a start just now has noted it when this returns
        return alive

    async def watch(self) -> AsyncIterator[Exit | ImagesChanged]:
        queue: asyncio.Queue[News] = asyncio.Queue()

        def put(news: News) -> None:
            if isinstance(news, Exit) and (known := self._known.get(news.guid)) is not None:
                known.told = True
                news = replace(news, oom=news.oom or known.as_oom)
            queue.put_nowait(news)

        stream = Stream(self._api, (self._options.instance, self._options.owner), put)
        await self._calls.run(stream.open)
        try:
            # What happened while nobody listened.
            for exit_ in await self._comparison.missed(sweep=self._adopted):
                yield exit_
            yield ImagesChanged()
            looked = time.monotonic()
            while True:
                if (wait := looked + self._options.engine_interval - time.monotonic()) <= 0:
                    missed = await self._comparison.missed(sweep=self._adopted)
                    looked = time.monotonic()
                    for exit_ in missed:
                        yield exit_
                    if missed:
                        text = "the Docker Engine's event stream tells nothing any more; opening another"
                        raise RuntimeUnavailable(text)
                    continue
                try:
                    news = await asyncio.wait_for(queue.get(), wait)
                except TimeoutError:
                    continue
                if isinstance(news, RuntimeFailure):
                    raise news
                if isinstance(news, Disconnected):
                    guid = next((one for one, k in self._known.items() if k.container == news.container), "")
                    found = await self.look(guid)
                    if found is None:
                        continue
                    news = found
                yield news
        finally:
            stream.close()

    async def look(self, guid: str) -> Exit | None:
        return await self._comparison.look(guid)

    async def tidy(self) -> list[str]:
        return await self._comparison.tidy()

    async def logs(self, guid: str, tail: int = 200) -> str | None:
        found = await self._calls.run(self._containers.all, guid)
        return await self._calls.run(self._console, found[0]["Id"], tail) if found else None

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        image = await self.prepare(pool)
        guid = f"metadata-{time.time_ns()}"
        self._known[guid] = Known()
        try:
            return await self._calls.run(self._containers.metadata, image, guid)
        finally:
            self._known.pop(guid, None)

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        filters = {"label": [f"{names.INSTANCE}={self._options.instance}"]}
        left: list[str] = []

        async def each(
            found: list[dict[str, Any]], name: Callable[[Any], str], remove: Callable[[Any], object]
        ) -> None:
            for one in found:
                try:
                    await self._calls.run(remove, one["Id"])
                except RuntimeFailure as error:
                    left.append(f"{name(one)}: {error}")
                else:
                    tell(name(one))

        containers = await self._calls.run(self._api.containers, all=True, filters=filters)
        remove = self._containers.remove_container
        await each(containers, lambda one: f"container {one['Names'][0].lstrip('/')}", remove)
        networks = await self._calls.run(self._api.networks, filters=filters)
        await each(networks, lambda one: f"network {one['Name']}", self._containers.remove_network)
        return left

    async def aclose(self) -> None:
        self._calls.close()
        self._api.close()

    def _adopt(self, container: dict[str, Any]) -> Known:
        endpoint = endpoint_of(container)
        host = endpoint.get("IPAddress", "")
        subnet = ""
        if host:
            subnet = str(ipaddress.ip_network(f"{host}/{endpoint.get('IPPrefixLen', 29)}", strict=False))
            self._subnets.reserve(subnet)
        return Known(Phase.RUNNING, subnet, container["Id"], str(endpoint.get("EndpointID", "")))

    # -- why a start failed ------------------------------------------------------------------------------

    async def _why_over(self, guid: str) -> str | None:
        found = await self._calls.run(self._containers.all, guid)
        if not found:
            return "its container is gone"
        state = await self._calls.run(self._containers.state, found[0]["Id"])
        if state["Running"]:
            return None
        memory = ", out of memory" if state.get("OOMKilled") else ""
        return f"its container exited with code {state['ExitCode']}{memory} {state.get('Error', '')}".rstrip()

    def _console(self, container: str, lines: int) -> str:
        tail = Tail(self._options.log_tail)
        for chunk in self._api.logs(container, stream=True, follow=False, tail=lines):
            tail.add(chunk)  # a stream, since lines can be long: only the end is ever held
        return tail.text()

    async def _last_lines(self, guid: str) -> str | None:
        with contextlib.suppress(RuntimeFailure, TimeoutError):
            async with asyncio.timeout(LOG_SECONDS):
                return await self.logs(guid, CONSOLE_LINES)
        return None


def _instance(container: dict[str, Any]) -> Instance:
    labels = container["Labels"]
    return Instance(
        labels[names.SESSION],
        labels[names.POOL],
        Address(f"http://{endpoint_of(container).get('IPAddress', '')}:{labels[PORT]}"),
        container["ImageID"],
        float(labels.get(names.CREATED, container["Created"])),
        labels.get(names.IDENTIFIER),
    )


def _repository_and_tag(image: str) -> tuple[str, str]:
    repository, _, tag = image.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (image, "latest")
