"""Whether an engine can give a session a disk of its own size: only trying tells."""

from __future__ import annotations

from typing import Any

from docker import errors as docker_errors

from emulator.resources.units import format_bytes
from emulator.runtimes.base import RuntimeFailure
from emulator.runtimes.engine import storage

REMEDY = (
    "leave --session-disk and x-emulator.disk out, or give the engine a storage driver with quotas: overlay2 "
    "on xfs mounted with pquota, btrfs or zfs"
)


def storage_options(size: int | None) -> dict[str, str] | None:
    """What an engine is told for a disk of `size` bytes."""
    return None if size is None else {"size": str(size)}


def try_quota(api: Any, image: str, size: int, labels: dict[str, str]) -> None:
    """Make a container of `image` with a disk of `size` bytes, which never runs, and remove it.

    Raises `RuntimeFailure` naming the storage driver, the engine's own words and what to do.
    """
    host_config = api.create_host_config(storage_opt=storage_options(size))
    try:
        made = api.create_container(image, ["true"], labels=labels, host_config=host_config)
    except docker_errors.ImageNotFound:
        raise
    except docker_errors.APIError as error:
        raise RuntimeFailure(
            f"a disk of {format_bytes(size)} for each session cannot be had of this engine (storage driver "
            f"{storage(api.info())}: {error.explanation or error}); {REMEDY}"
        ) from error
    api.remove_container(made["Id"], force=True, v=True)
