"""A session's network on an engine: made in a subnet nobody has, removed with whatever is still on it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
from docker import errors as docker_errors

from emulator.runtimes.base import RuntimeFailure
from emulator.runtimes.subnets import Subnets

ATTEMPTS = 64
"""Subnets tried for one session before the range counts as used by others."""


def make_network(
    api: docker.APIClient,
    subnets: Subnets,
    name: str,
    labels: Mapping[str, str],
    *,
    internal: bool,
    bare: bool,
) -> ipaddress.IPv4Network:
    """Make a bridge network; returns its subnet. Blocks; raises `RuntimeFailure` when none is free.

    `internal`: without a way out. `bare`: the bridge gets no address of the host's, so that nothing of the
    host answers on it.
    """
    extra = {"com.docker.network.bridge.inhibit_ipv4": "true"} if bare else {}
    for _ in range(ATTEMPTS):
        subnet = subnets.take()
        gateway = str(next(iter(subnet.hosts())))
        pools = [docker.types.IPAMPool(subnet=str(subnet), gateway=gateway)]
        ipam = docker.types.IPAMConfig(pool_configs=pools)
        try:
            api.create_network(
                name, driver="bridge", ipam=ipam, internal=internal, labels=dict(labels), options=extra
            )
        except docker_errors.APIError as error:
            if "overlap" in str(error.explanation):
                subnets.skip(str(subnet))
                continue
            subnets.give_back(str(subnet))
            raise
        except BaseException:
            subnets.give_back(str(subnet))
            raise
        return subnet
    raise RuntimeFailure(
        f"every address range tried in {subnets.cidr} is in use on this machine; "
        "give another one with --session-subnet"
    )


def remove_network(api: docker.APIClient, network: str) -> None:
    """Remove a network and take off it whatever is on it. Blocks; of one that is gone: nothing to do."""
    for attempt in range(5):
        try:
            for container in api.inspect_network(network)["Containers"]:
                disconnect = api.disconnect_container_from_network
                gone_is_fine(disconnect, container, network, force=True)
            api.remove_network(network)
            return
        except docker_errors.NotFound:
            return
        except docker_errors.APIError:
            if attempt == 4:  # endpoints of a container being removed linger for a moment
                raise
            time.sleep(0.1 * (attempt + 1))


def gone_is_fine(call: Callable[..., Any], *args: Any, **keywords: Any) -> None:
    """Removing what is gone, or being removed by somebody else, is success."""
    try:
        call(*args, **keywords)
    except docker_errors.NotFound:
        return
    except docker_errors.APIError as error:
        if error.status_code != 409 and "is not connected" not in str(error.explanation):
            raise
