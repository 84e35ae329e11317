"""Which identifier holds which instance, on disk, so that a killed emulator finds its sessions again.

A container's labels cannot change after it was created, and a warm one is created before anybody asked
for it; so the claim is written here, before the caller gets an answer. A write to the page cache survives
the death of this process, which is the failure it is for; it is not synced to the platter.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Claim:
    """Identifier `identifier` of pool `pool` holds instance `guid` since `created_at` (epoch seconds)."""

    guid: str
    pool: str
    identifier: str
    created_at: float


class Ledger:
    """An append-only file of claims and releases; `None` for a path keeps it in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._claims: dict[str, Claim] = {}
        self._file: TextIO | None = None

    def open(self) -> dict[str, Claim]:
        """Read what an earlier process left, write it back compacted; returns claims by guid."""
        if self._path is None:
            return {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._replay(line)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(_line(claim) for claim in self._claims.values()), encoding="utf-8")
        fresh.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        return dict(self._claims)

    def claim(self, claim: Claim) -> None:
        self._claims[claim.guid] = claim
        if self._file is not None:
            self._file.write(_line(claim))

    def release(self, guid: str) -> None:
        if self._claims.pop(guid, None) is not None and self._file is not None:
            self._file.write(json.dumps({"released": guid}) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _replay(self, line: str) -> None:
        try:
            record = json.loads(line)
            if "released" in record:
                self._claims.pop(record["released"], None)
                return
            claim = Claim(
                str(record["guid"]),
                str(record["pool"]),
                str(record["identifier"]),
                float(record["created_at"]),
            )
        except (ValueError, TypeError, KeyError):
            return  # the last line of a process that died while writing it: that answer was never sent
        self._claims[claim.guid] = claim


def _line(claim: Claim) -> str:
    return json.dumps(asdict(claim)) + "\n"
