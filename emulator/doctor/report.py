"""The matrix a doctor brings home, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from emulator.doctor.judge import Cell, Verdict

LEGEND = (
    "apart   as promised",
    "limit   less than Azure keeps apart; known, told below and in docs/differences-from-azure.md",
    "BROKEN  a promise is broken; told below",
    "column -: what concerns no neighbour; a blank: the neighbour has nothing to be found that way",
)


@dataclass
class Report:
    """A cell for each probe of each pair.

    `skipped`: what cannot be looked at here, and why; `failed`: what should have been and was not.
    """

    about: dict[str, Any] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.verdict is Verdict.BROKEN]

    @property
    def limits(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.verdict is Verdict.LIMIT]

    @property
    def good(self) -> bool:
        """Whether everything was looked at and no promise is broken."""
        return not self.broken and not self.failed

    def as_dict(self) -> dict[str, Any]:
        counts = Counter(str(cell.verdict).lower() for cell in self.cells)
        return {
            **self.about,
            "good": self.good,
            "counts": {str(one).lower(): counts[str(one).lower()] for one in Verdict},
            "cells": [{**asdict(cell), "verdict": str(cell.verdict).lower()} for cell in self.cells],
            "skipped": self.skipped,
            "failed": self.failed,
        }

    def lines(self) -> Iterator[str]:
        """A table for each pool that was probed from: a row a probe, a column a neighbour."""
        for pool in dict.fromkeys(cell.pool for cell in self.cells):
            yield f"from a session of pool {pool}, looking at a neighbour of"
            yield from self._table([cell for cell in self.cells if cell.pool == pool])
            yield ""
        yield from LEGEND
        yield ""
        yield from _told("broken promises", self.broken)
        yield from _told("known limits here", self.limits)
        for title, notes in (("not looked at", self.skipped), ("could not be looked at", self.failed)):
            if notes:
                yield f"{title}:"
                yield from (f"  {note}" for note in notes)
        failed = f", {len(self.failed)} could not be looked at" if self.failed else ""
        yield (
            f"{len(self.cells)} probes, {len(self.limits)} known limits, {len(self.broken)} broken{failed}"
        )

    def _table(self, found: list[Cell]) -> Iterator[str]:
        cells = {(one.probe, one.neighbour): str(one.verdict) for one in found}
        columns = sorted({neighbour for _, neighbour in cells})
        rows = list(dict.fromkeys(probe for probe, _ in cells))
        wide = [max(len(column), len(str(Verdict.BROKEN))) + 2 for column in columns]
        first = max(map(len, rows)) + 2
        for row, texts in [
            ("", columns),
            *((row, [cells.get((row, one), "") for one in columns]) for row in rows),
        ]:
            line = "".join(f"{text:<{width}}" for text, width in zip(texts, wide, strict=True))
            yield f"  {row:<{first}}{line}".rstrip()


def _told(title: str, cells: list[Cell]) -> Iterator[str]:
    """Each with what was seen, at the first pair of those that share the reason, and why it is so."""
    if not cells:
        return
    yield f"{title}:"
    same: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        same.setdefault((cell.probe, cell.reason or cell.detail), []).append(cell)
    for (probe, why), found in same.items():
        pairs: dict[str, list[str]] = {}
        for one in found:
            pairs.setdefault(one.pool, []).append(one.neighbour)
        shown = "; ".join(
            pool if others == ["-"] else f"{pool} → {', '.join(others)}" for pool, others in pairs.items()
        )
        first = f"{found[0].detail}: " if found[0].reason else ""
        yield f"  {probe} ({shown}): {first}{why}"
