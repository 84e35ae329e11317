"""Sizes as people and Kubernetes write them: `1Gi`, `0.5Gi`, `512Mi`, `128MiB`, `1000`."""

from __future__ import annotations

import re

_FACTORS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{letter}{tail}": 1024**power for power, letter in enumerate("kmgt", 1) for tail in ("i", "ib")},
    **{f"{letter}{tail}": 1000**power for power, letter in enumerate("kmgt", 1) for tail in ("", "b")},
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]{0,3})\s*", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """The number of bytes `text` stands for; a bare number is bytes. Raises ValueError with a remedy."""
    match = _SIZE.fullmatch(text)
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError("is no size; write a number and a unit, such as 0.5Gi or 512Mi")
    whole, _, fraction = match[1].partition(".")
    tenth: int = 10 ** len(fraction)
    return int(whole or "0") * factor + int(fraction or "0") * factor // tenth


def format_bytes(size: int) -> str:
    """`size` in the largest binary unit that keeps it exact: 1073741824 → `1Gi`, 1000 → `1000`."""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)
