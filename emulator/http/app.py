"""The emulator put together: one constructor to read, one lifespan that owns every long-lived resource."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from emulator import log_lines, tracing
from emulator.clock import SystemClock
from emulator.errors import ConfigurationError
from emulator.faults import Faults
from emulator.http.admin import Admin, AdminSurface
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.state import State
from emulator.http.arm.surface import ArmSurface
from emulator.http.commands import Commands
from emulator.http.context import Limits, Plane
from emulator.http.dataplane import DataPlane
from emulator.http.dispatch import Dispatcher, Surface
from emulator.http.executions import Repeats
from emulator.http.faulting import Misfortune
from emulator.http.history import History
from emulator.http.issuers import IssuerSurface
from emulator.http.journal import Journal
from emulator.http.metrics import Gauges, Metrics
from emulator.http.server import Server, listen, make_server, own_addresses
from emulator.http.tracing import Tracing
from emulator.http.trust import Trust
from emulator.http.upstream import Upstreams
from emulator.http.watching import Watching
from emulator.identity.keys import load_secret
from emulator.identity.mcp_keys import McpKeys
from emulator.identity.service import Identity
from emulator.lock import Held, Lock
from emulator.pool.consoles import ENDS
from emulator.pool.events import Event, EventLog
from emulator.pool.ledger import Ledger
from emulator.pool.pool import Shared
from emulator.pool.registry import Registry
from emulator.pool.sweeper import Sweeper
from emulator.resources.defaults import default_pools, one_off_pool
from emulator.resources.files import load_all
from emulator.resources.model import ContainerType, SessionPool
from emulator.runtimes import choose, require_limits
from emulator.runtimes.base import Runtime
from emulator.runtimes.options import StartOptions
from emulator.settings import Settings
from emulator.tls import Certificate, development_certificate, own_certificate

log = logging.getLogger("emulator")


class Emulator:
    """Everything one emulator is made of. Raises `ConfigurationError` for settings that cannot work."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.clock = SystemClock()
        # Who follows events reads them from what is kept, so there is always room for some.
        self.events = EventLog(self.clock, max(settings.journal_size, 100))
        state = settings.instance_dir
        self.identity = Identity.open(
            settings.state_dir,
            self.clock,
            mode=settings.auth,
            tenant=settings.tenant,
            lifetime=settings.token_lifetime,
            leeway=settings.token_leeway,
            propagation=settings.role_propagation,
            principals=settings.principals,
        )
        self.identity_header = settings.identity_header or load_secret(settings.state_dir)
        shared = Shared(
            runtime=runtime,
            clock=self.clock,
            sweeper=Sweeper(self.clock),
            events=self.events,
            ledger=Ledger(state / "sessions.jsonl"),
            default_ready=settings.ready_sessions,
            logs_kept=settings.logs_kept,
            log_tail=settings.log_tail,
        )
        self.registry = Registry(shared)
        self.upstreams = Upstreams(settings.connect_timeout, settings.read_timeout, self.registry.doubt)
        self.plane = Plane(
            self.upstreams,
            _limits(settings),
            settings.strict,
            self.events,
            repeats=Repeats(settings.executions_kept),
            commands=Commands(settings.executions_kept),
        )
        self.faults = Faults(lambda: self.registry.pools)
        misfortune = Misfortune(self.faults, self.clock, shared.sweeper, self.events)
        self.metrics = Metrics(self.registry, self._gauges())
        self.events.listeners += [self.metrics.count, self._close_connections]
        self.mcp_keys = McpKeys.open(state, self.clock)
        data_plane = DataPlane(self.plane, self.identity, misfortune, self.mcp_keys)
        surfaces: list[Surface] = []
        dispatcher = Dispatcher(self.registry, data_plane, self.identity, surfaces)
        self.journal = Journal(
            dispatcher, self.clock, settings.journal_size, self.metrics.observe, settings.journal_excerpt
        )
        self.admin = Admin(self.registry, self.clock, self.identity, self.about)
        watching = Watching(self.journal, self.faults, self.metrics, self.events)
        watching.add_to(self.admin.router)
        History(self.registry).add_to(self.admin.router)
        self.admin.on_reset |= {"faults": self.faults.reset, "requests": self.journal.clear}
        self.trust = Trust()
        self.trust.add_to(self.admin.router)
        self.control = ControlPlane(
            self.registry,
            self.identity,
            self.clock,
            State(state / "control-plane.json"),
            self.mcp_keys,
            strict=settings.strict,
            operation_delay=settings.operation_delay,
        )
        surfaces += [
            AdminSurface(self.admin.router, settings.admin_key, settings.admin_from),
            IssuerSurface(self.identity, self.identity_header),
            ArmSurface(self.control),
        ]
        self.app = Tracing(self.journal, self.events)
        self.urls: dict[str, str | None] = {"http": None, "https": None}
        self._closing: set[asyncio.Future[None]] = set()

    def about(self) -> dict[str, Any]:
        s = self.settings
        return {
            **self.urls,
            "identityEndpoint": f"{self.urls['http']}/msi/token",
            "identityHeader": self.identity_header,
            "instance": s.instance,
            "runtime": self.runtime.name,
            "sandboxed": getattr(self.runtime, "bwrap", True) is not None,
            "sessionDisk": s.session_disk,
            "auth": s.auth,
            "strict": s.strict,
        }

    def pools(self) -> list[SessionPool]:
        """Pools of the pool files, the one of `--image`, or the default three."""
        s = self.settings
        specs = [entry.pool for entry in load_all(s.config, strict=s.strict)]
        if s.image is not None and s.target_port is not None:
            specs.append(one_off_pool(s.image, s.target_port, s.name or "custom"))
        return specs or list(default_pools())

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Pools open inside; every instance gone (unless `keep`) and every connection closed after."""
        specs = self.control.merge(self.pools())
        try:
            await self.registry.open(specs)
            yield
        finally:
            await asyncio.gather(*_cancelled(self.plane.background), return_exceptions=True)
            self.registry.shared.consoles.close()
            await self._close_pools()
            await asyncio.gather(*self._closing, return_exceptions=True)
            await self.upstreams.aclose()
            await self.runtime.aclose()

    async def _close_pools(self) -> None:
        limit = self.settings.stop_timeout
        try:
            async with asyncio.timeout(limit):
                await self.control.operations.aclose()
                await self.registry.close(keep=self.settings.keep)
                left = await self.runtime.tidy()
            if left:
                log.error("could not be removed: %s; 'dynamic-sessions down' tries again", ", ".join(left))
        except TimeoutError:
            text = (
                "sessions could not all be removed within %g s; 'dynamic-sessions down' removes what is left"
            )
            log.error(text, limit)

    def _close_connections(self, event: Event) -> None:
        """Sessions that ended take their connections with them."""
        if event.session is not None and event.kind in ENDS:
            with tracing.apart():
                closing = asyncio.ensure_future(self.upstreams.forget(event.session))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _gauges(self) -> Gauges:
        consoles, events = self.registry.shared.consoles, self.events
        return {
            "emulator_logs_kept": ("Ended sessions whose console is kept", lambda: len(consoles.ended)),
            "emulator_logs_kept_characters": ("Characters of those consoles", lambda: consoles.size),
            "emulator_journal_entries": ("Requests in the journal", lambda: self.journal.kept),
            "emulator_events_kept": ("Events that can be looked up", lambda: events.kept),
            "emulator_event_followers": ("Clients that follow events", lambda: events.followers),
            "emulator_upstream_clients": ("Sessions with open connections", lambda: self.upstreams.open),
        }

    def runtime_notes(self) -> list[str]:
        """What a user should know about how well sessions are kept apart here."""
        return self.runtime.notes()

    def certificate(self, hosts: list[str]) -> Certificate:
        """What HTTPS is served with on `hosts`. Raises `ConfigurationError`."""
        s = self.settings
        if s.tls_cert is not None and s.tls_key is not None:
            return own_certificate(s.tls_cert, s.tls_key)
        names = [*s.tls_names, *hosts, *(f"{pool.spec.name}.localhost" for pool in self.registry.pools)]
        made = development_certificate(s.state_dir / "tls", s.state_dir / s.instance / "tls", names)
        self.trust.ca = made.ca
        return made

    def ready_document(self) -> dict[str, Any]:
        """What `--ready-file` holds."""
        http = self.urls["http"]
        https = self.urls["https"]
        pools = {}
        for pool in self.registry.pools:
            path = pool.spec.endpoint_path
            pools[pool.spec.name] = {
                "endpoint": f"{http}{path}",
                "endpointHttps": f"{https}{path}" if https else None,
                "containerType": pool.spec.container_type.value,
            }
        return {
            "http": http,
            "https": https,
            "ca": str(self.trust.ca) if self.trust.ca else None,
            "admin": f"{http}/.emulator",
            "identityEndpoint": f"{http}/msi/token",
            "identityHeader": self.identity_header,
            "runtime": self.runtime.name,
            "pools": pools,
        }


def _cancelled(tasks: set[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    for task in tasks:
        task.cancel()
    return list(tasks)


def start_options(settings: Settings) -> StartOptions:
    """What a runtime needs of the settings."""
    return StartOptions(
        instance=settings.instance,
        owner=load_secret(settings.instance_dir, "owner"),
        holder=f"{socket.gethostname()}:{settings.lock_file.absolute()}",
        labels=settings.labels,
        images={
            ContainerType.PYTHON: settings.python_image,
            ContainerType.NODE: settings.node_image,
            ContainerType.SHELL: settings.shell_image,
        },
        subnets=settings.session_subnet,
        start_concurrency=settings.start_concurrency,
        start_timeout=settings.start_timeout,
        engine_timeout=settings.engine_timeout,
        engine_interval=settings.engine_interval,
        cpu=settings.session_cpu,
        memory=settings.session_memory,
        disk=settings.session_disk,
        pids=settings.pids_limit,
        hidden=(settings.state_dir.absolute(),),
        pull=settings.pull,
        default_timeout=settings.default_timeout,
        upload=settings.upload_limit,
        executions_kept=settings.executions_kept,
        log_tail=settings.log_tail,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        default_timeout=settings.default_timeout,
        code_timeout=settings.code_timeout,
        shell_timeout=settings.shell_timeout,
        output=settings.output_length,
        body=settings.body_limit,
        upload=settings.upload_limit,
        upstream_grace=settings.upstream_grace,
    )


async def serve(settings: Settings, announce: Callable[[Emulator, list[str]], None]) -> None:
    """Run until SIGINT or SIGTERM. `announce` is called once requests are answered.

    Raises `ConfigurationError` for settings that cannot work, also when this instance is running already.
    """
    lock = Lock(settings.lock_file)
    try:
        lock.take()
    except Held as held:
        raise ConfigurationError(
            f"instance {settings.instance} is running already ({held.who}); give another --instance, "
            "or stop that one with 'dynamic-sessions down'"
        ) from held
    try:
        await _serve(settings, announce)
    finally:
        lock.release()


async def _serve(settings: Settings, announce: Callable[[Emulator, list[str]], None]) -> None:
    began = time.perf_counter()
    hosts = own_addresses(settings.host)
    sockets = listen(hosts, settings.port, "--port")
    secure: list[socket.socket] = []
    try:
        if settings.tls_port is not None:
            # `--port 0` alone asks for free ports, not for one and 7443.
            free = settings.port == 0 and "tls_port" not in settings.origins
            secure = listen(hosts, 0 if free else settings.tls_port, "--tls-port")
        runtime = await choose(settings.runtime, start_options(settings))
        await require_limits(runtime)
        emulator = Emulator(settings, runtime)
        emulator.urls["http"] = f"http://{_shown(hosts[0])}:{sockets[0].getsockname()[1]}"
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        servers = [make_server(emulator.app)]
        async with emulator.lifespan():
            if secure:
                emulator.urls["https"] = f"https://{_shown(hosts[0])}:{secure[0].getsockname()[1]}"
                certificate = await asyncio.to_thread(emulator.certificate, hosts)
                servers.append(make_server(emulator.app, certificate=(certificate.chain, certificate.key)))
            listening = [
                asyncio.create_task(server.serve(sockets=on), name="listener")
                for server, on in zip(servers, (sockets, secure), strict=False)
            ]
            announce(emulator, [f"front end up in {(time.perf_counter() - began) * 1000:.0f} ms"])
            beside = [asyncio.create_task(_when_ready(emulator), name="ready")]
            if secure:
                beside.append(asyncio.create_task(_name_new_pools(emulator, hosts, servers[-1]), name="tls"))
            await asyncio.wait(
                [asyncio.ensure_future(stop.wait()), *listening], return_when=asyncio.FIRST_COMPLETED
            )
            for task in beside:
                task.cancel()
            log_lines.say("stopping: removing sessions …")
            emulator.events.close()
            for server in servers:
                _stop_listening(server)
            await asyncio.wait(listening, timeout=5)
    finally:
        for sock in (*sockets, *secure):
            sock.close()


async def _name_new_pools(emulator: Emulator, hosts: list[str], server: Server) -> None:
    """A pool made while the emulator runs is reached under its own host name as well."""
    made_anew = asyncio.Event()

    def heard(event: Event) -> None:
        if event.kind == "pool.created":
            made_anew.set()

    emulator.events.listeners.append(heard)
    while await made_anew.wait():
        made_anew.clear()
        if server.config.ssl is not None:
            made = await asyncio.to_thread(emulator.certificate, hosts)
            # New connections get it; those that are open keep theirs.
            await asyncio.to_thread(server.config.ssl.load_cert_chain, made.chain, made.key)


def _stop_listening(server: Server) -> None:
    server.should_exit = True


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _when_ready(emulator: Emulator) -> None:
    """Write the ready file once every pool has its warm set, or a reason why not."""
    while not all(pool.settled for pool in emulator.registry.pools):
        waits = [asyncio.ensure_future(pool.warm.changed.wait()) for pool in emulator.registry.pools]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=1)
        for wait in waits:
            wait.cancel()
        for pool in emulator.registry.pools:
            pool.warm.changed.clear()
    for pool in emulator.registry.pools:
        if pool.failure is not None:
            log_lines.say(f"pool {pool.spec.name} cannot start sessions: {pool.failure}")
    log_lines.say("ready")
    if emulator.settings.ready_file is not None:
        await asyncio.to_thread(
            _write_whole, emulator.settings.ready_file, json.dumps(emulator.ready_document(), indent=2)
        )


def _write_whole(path: Path, text: str) -> None:
    """Atomically: whoever waits for the file never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ready-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
