"""What every runtime needs to know about starting sessions, with the limits that apply to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulator.resources.model import ContainerType, Probe, SessionPool

MIB = 1024 * 1024
PROXY_PORT = 6000

KEPT_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
)
"""What ordinary images need as root inside (package managers, dropping to a user); no raw sockets."""


@dataclass(frozen=True)
class StartOptions:
    """Limits and names for starting a session. Times in seconds, memory in bytes.

    `owner`: tells two emulators of one instance name apart, who must leave each other's sessions alone;
    `holder`: `host:path` of the lock that tells whether one lives.
    `labels`: more labels for everything made on an engine. `images`: image of each built-in container type.
    `own_container`: id of the container the emulator itself runs in, `""` on a host, None to find out.
    `engine_timeout`: an engine that answers nothing for that long does not answer. `engine_interval`: how
    often it is asked what really runs. `log_tail`: bytes of a console that are ever read. `hidden`: folders
    no session may see.
    """

    instance: str = "default"
    owner: str = ""
    holder: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    images: Mapping[ContainerType, str] = field(default_factory=dict)
    subnets: str = "10.213.0.0/16"
    start_concurrency: int = 2
    start_timeout: float = 120.0
    engine_timeout: float = 10.0
    engine_interval: float = 15.0
    cpu: float | None = None
    memory: int | None = 1024 * MIB
    disk: int | None = None
    pids: int = 512
    log_size: str = "10m"
    log_tail: int = 128 * 1024
    capabilities: tuple[str, ...] = KEPT_CAPABILITIES
    own_container: str | None = None
    hidden: tuple[Path, ...] = ()
    pull: bool = True
    default_timeout: int = 60
    upload: int = 128 * MIB
    executions_kept: int = 1000

    def image(self, pool: SessionPool) -> str:
        if pool.template is not None:
            return pool.template.image
        return pool.emulator.image or self.images[pool.container_type]

    def limits(self, pool: SessionPool) -> tuple[float | None, int | None]:
        """(cores, bytes) a session of `pool` may use; None: no limit."""
        own = pool.template or pool.emulator
        return (own.cpu or self.cpu, own.memory or self.memory)

    def quota(self, pool: SessionPool) -> int | None:
        """Bytes a session of `pool` may have on disk; None: no limit."""
        return pool.emulator.disk or self.disk


def target_port(pool: SessionPool) -> int:
    return pool.template.target_port if pool.template is not None else PROXY_PORT


def environment(pool: SessionPool, options: StartOptions) -> dict[str, str]:
    """Environment the runtime adds to what the image sets."""
    if pool.template is not None:
        return dict(pool.template.env)
    return {
        "ENABLE_EGRESS": "true" if pool.egress else "false",
        # The image's own configuration file is that of a container somebody runs alone; a pool decides these.
        "CODE_INTERPRETER_DEFAULT_TIMEOUT_SECONDS": str(options.default_timeout),
        "CODE_INTERPRETER_MAX_UPLOAD_BYTES": str(options.upload),
        "CODE_INTERPRETER_EXECUTIONS_KEPT": str(options.executions_kept),
        "CODE_INTERPRETER_FAULTS": "true",  # the kernel can be told to die: `kernelDeath`
        **dict(pool.emulator.env),
    }


def startup_probe(pool: SessionPool) -> Probe | None:
    """How to tell that an instance can serve; None: its port takes connections."""
    if pool.template is None:
        return Probe("Startup", "/health", PROXY_PORT)
    return next((probe for probe in pool.template.probes if probe.type.lower() == "startup"), None)


def start_limit(pool: SessionPool, options: StartOptions) -> float:
    """Seconds until a start counts as failed: at most what the container's own startup probe allows."""
    probe = startup_probe(pool) if pool.template is not None else None
    if probe is None:
        return options.start_timeout
    return min(options.start_timeout, probe.initial_delay + probe.period * probe.failure_threshold)
