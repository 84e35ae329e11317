"""What the emulator remembers of an instance on an engine, and whether the engine still agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

RUNNING_STATES = ("running", "paused")


class Phase(Enum):
    """Of an instance. LEFT: it was to be removed, and the engine did not do it (yet)."""

    STARTING = "starting"
    RUNNING = "running"
    LEAVING = "leaving"
    LEFT = "left"


@dataclass
class Known:
    """An instance that this process started or adopted.

    `subnet` its network's, `container` its id. `endpoint`: the container's end of its network, which is
    another one after the container was restarted or joined the network anew. `given_up`: nobody waits for
    its start any more. `told`: that it ended was said already. `as_oom`: its end is to be told as for
    want of memory.
    """

    phase: Phase = Phase.STARTING
    subnet: str = ""
    container: str = ""
    endpoint: str = ""
    given_up: bool = False
    told: bool = False
    as_oom: bool = False

    def take_subnet(self) -> str:
        """The subnet, for the one who gives it back; `""` if somebody did already."""
        subnet, self.subnet = self.subnet, ""
        return subnet


RESTARTED = "was restarted or moved to another network, which a session does not survive"


def endpoint_of(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container's end of its only network, of a listed or an inspected container; {} without one."""
    networks: Mapping[str, Mapping[str, Any]] = container["NetworkSettings"]["Networks"] or {}
    return next((one for one in networks.values() if one.get("EndpointID") or one.get("IPAddress")), {})


def trouble(known: Known, container: Mapping[str, Any] | None) -> str | None:
    """Why a container that should serve cannot, as the list has it; None: it can, or has exited by itself."""
    if container is None:
        return "was removed"
    if container["State"] not in RUNNING_STATES:
        return None
    endpoint = endpoint_of(container).get("EndpointID", "")
    if not known.endpoint and known.subnet:
        return None  # this engine tells of no endpoints
    if not endpoint:
        return "has no network any more: it was disconnected or its network removed"
    if endpoint != known.endpoint:
        return RESTARTED
    return None
