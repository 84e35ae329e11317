"""The table, in parts; `table` puts together what holds for a pool's container type."""

from __future__ import annotations

from emulator.conformance.languages import NODE, PYTHON
from emulator.conformance.row import Row
from emulator.conformance.rows import (
    execute,
    files,
    recorded,
    refused,
    results,
    routing,
    sessions,
    shell,
    uploads,
)

CONTAINER_TYPES = ("PythonLTS", "NodeLTS", "Shell")


def table(container_type: str) -> list[Row]:
    """Every row for pools of `container_type`, one of `CONTAINER_TYPES`. Ids are unique."""
    found: list[Row] = []
    if container_type == "Shell":
        found += shell.rows()
    else:
        language = NODE if container_type == "NodeLTS" else PYTHON
        for part in (execute, refused, results, files):
            found += part.rows(language)
    found += uploads.rows()
    found += sessions.rows(container_type)
    found += routing.rows()
    found += recorded.rows(container_type)
    return found
