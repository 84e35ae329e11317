"""The pools that the suite runs against."""

from __future__ import annotations

POOLS = {"python": "PythonLTS", "node": "NodeLTS", "shell": "Shell", "tiny": "PythonLTS"}


def pools_of(runtime: str) -> list[str]:
    """Names of the pools that a runtime can serve; the process runtime has no Node."""
    return [name for name in POOLS if name != "node" or runtime == "docker"]
