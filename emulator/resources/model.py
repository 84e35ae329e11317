"""The session pool as the rest of the emulator sees it, free of ARM's spellings and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

DEFAULT_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
DEFAULT_RESOURCE_GROUP = "local"
DEFAULT_LOCATION = "local"


class ContainerType(StrEnum):
    """What runs in a pool's sessions; the built-in types are served through the interpreter proxy."""

    PYTHON = "PythonLTS"
    NODE = "NodeLTS"
    SHELL = "Shell"
    CUSTOM = "CustomContainer"

    @property
    def built_in(self) -> bool:
        return self is not ContainerType.CUSTOM


class LifecycleType(StrEnum):
    TIMED = "Timed"
    ON_CONTAINER_EXIT = "OnContainerExit"


class Network(StrEnum):
    DISABLED = "EgressDisabled"
    ENABLED = "EgressEnabled"


@dataclass(frozen=True)
class Lifecycle:
    """When a session ends by itself.

    Timed: `cooldown` seconds after its last request ended. OnContainerExit: when the container exits, or
    `max_alive` seconds after it was allocated. The member that does not apply is None.
    """

    type: LifecycleType = LifecycleType.TIMED
    cooldown: float | None = 300.0
    max_alive: float | None = None


@dataclass(frozen=True)
class Probe:
    """A Liveness or Startup probe by HTTP GET; times in seconds."""

    type: str
    path: str = "/"
    port: int = 80
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()
    failure_threshold: int = 3
    initial_delay: float = 0.0
    period: float = 10.0
    success_threshold: int = 1
    timeout: float = 1.0


@dataclass(frozen=True)
class ContainerTemplate:
    """The one container of a CustomContainer pool. `memory` in bytes, `cpu` in cores, `env` resolved."""

    image: str
    target_port: int
    name: str = "main"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cpu: float | None = None
    memory: int | None = None
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A fault's rule, as it was written.

    `match`: `pool`, `identifier`, `route` and `method` are shell patterns, `nth` and `every` count matching
    requests from 1, `probability` is 0 to 1. `times`: how often it strikes (None: always). `seed` decides
    everything random.
    """

    effect: str
    options: Mapping[str, Any] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None
    seed: int = 0
    id: str | None = None


@dataclass(frozen=True)
class EmulatorOptions:
    """The pool file's `x-emulator` block: what Azure's document cannot say.

    `image`: another image for a built-in pool. `runtime_name`: an OCI runtime of the engine (e.g. runsc).
    `ready`: warm instances of a built-in pool (None: the emulator's setting). `cpu`, `memory` (bytes):
    limits of a built-in pool's session; `disk` (bytes) of any pool's. `forward_authorization`: pass the
    caller's token into a custom container. `env`: extra environment of a built-in session. `faults`: rules
    in force from the start.
    """

    image: str | None = None
    runtime_name: str | None = None
    ready: int | None = None
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    forward_authorization: bool = False
    env: tuple[tuple[str, str], ...] = ()
    faults: tuple[Rule, ...] = field(default=(), compare=False)  # no other instances for another rule


@dataclass(frozen=True)
class SessionPool:
    """One session pool: who it is, what it runs, how many, how long, with or without the internet.

    `document` is the ARM document the pool was made from (write-only values included), for rendering.
    `mcp_enabled`: an MCP server answers under the endpoint; `mcp_key_disabled`: it asks for no key.
    `warnings`: what Azure would refuse and the emulator does not, and what it ignores, one sentence each.
    """

    name: str
    container_type: ContainerType
    subscription: str = DEFAULT_SUBSCRIPTION
    resource_group: str = DEFAULT_RESOURCE_GROUP
    location: str = DEFAULT_LOCATION
    max_sessions: int = 10
    ready_sessions: int | None = None
    lifecycle: Lifecycle = Lifecycle()
    network: Network = Network.DISABLED
    template: ContainerTemplate | None = None
    emulator: EmulatorOptions = EmulatorOptions()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    mcp_enabled: bool = False
    mcp_key_disabled: bool = False
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def resource_id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.App/sessionPools/{self.name}"
        )

    @property
    def endpoint_path(self) -> str:
        """Path of the pool's management endpoint, as on `<region>.dynamicsessions.io`."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/sessionPools/{self.name}"

    @property
    def key(self) -> str:
        """Identity of the pool; ARM compares ids without regard to case."""
        return self.resource_id.lower()

    @property
    def egress(self) -> bool:
        return self.network is Network.ENABLED
