"""The pools that exist when nobody gave a file, and the one of `up --image`."""

from __future__ import annotations

from typing import Any

from emulator.resources.document import parse_pool
from emulator.resources.model import ContainerType, SessionPool


def default_pools() -> tuple[SessionPool, ...]:
    """`python`, `node` and `shell`: Timed, 300 s cooldown, 10 sessions, no egress (az's defaults)."""
    return tuple(
        parse_pool(_document(name, kind), where="")
        for name, kind in (
            ("python", ContainerType.PYTHON),
            ("node", ContainerType.NODE),
            ("shell", ContainerType.SHELL),
        )
    )


def one_off_pool(image: str, target_port: int, name: str = "custom") -> SessionPool:
    """A CustomContainer pool around one image, as `up --image IMG --target-port N [--name P]` asks for.

    Raises `PoolDocumentError` naming the flag's value.
    """
    document = _document(name, ContainerType.CUSTOM)
    document["properties"]["customContainerTemplate"] = {
        "containers": [{"name": "main", "image": image}],
        "ingress": {"targetPort": target_port},
    }
    return parse_pool(document, where="--image")


def _document(name: str, kind: ContainerType) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "containerType": str(kind),
            "poolManagementType": "Dynamic",
            "scaleConfiguration": {"maxConcurrentSessions": 10},
            "dynamicPoolConfiguration": {
                "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
            },
            "sessionNetworkConfiguration": {"status": "EgressDisabled"},
        },
    }
