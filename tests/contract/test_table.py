"""Every row of the contract's table, on both runtimes; every answer also against the published shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulator.conformance.report import differing
from emulator.conformance.row import Need, Row
from emulator.conformance.rows import CONTAINER_TYPES, table
from emulator.conformance.runner import Pool, run
from tests.contract.openapi import violations
from tests.contract.pools import POOLS, pools_of

IMAGES_ONLY = {Need.MATPLOTLIB, Need.MEMORY_LIMIT}
"""What sessions of the process runtime do not have."""


def cases() -> Iterator[Any]:
    for runtime in ("process", "docker"):
        marks = [pytest.mark.engine] if runtime == "docker" else []
        for name in pools_of(runtime):
            for row in table(POOLS[name]):
                if (Need.ONE_SESSION in row.needs) != (name == "tiny"):
                    continue
                if runtime == "process" and row.needs & IMAGES_ONLY:
                    continue
                yield pytest.param(runtime, name, row, id=f"{runtime}-{name}-{row.id}", marks=marks)


@pytest.mark.parametrize(("runtime", "name", "row"), list(cases()))
def test_row(runtime: str, name: str, row: Row, pool_of: Callable[[str, str], Pool]) -> None:
    pool = pool_of(runtime, name)
    outcome = run(pool, row)
    assert not outcome.lacking, f"the pool lacks {outcome.lacking}"
    assert outcome.good, differing(outcome)
    for made in outcome.made:
        assert made.answer is not None
        kind = made.answer.headers.get("content-type", "")
        if "json" in kind and made.send.method != "HEAD":
            document = json.loads(made.answer.raw)
            found = violations(
                made.send.method,
                made.target,
                pool.path,
                pool.container_type,
                made.answer.status,
                kind,
                document,
            )
            assert not found, "\n".join(found)


@pytest.mark.parametrize("container_type", CONTAINER_TYPES)
def test_ids_are_unique(container_type: str) -> None:
    ids = [row.id for row in table(container_type)]
    assert len(ids) == len(set(ids))
