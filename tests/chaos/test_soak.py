"""A short soak on every run; `scripts/soak` is the long one."""

from __future__ import annotations

import os
import time

import pytest

from tests.soak.__main__ import soak

MINUTES = float(os.environ.get("DYNAMIC_SESSIONS_TEST_SOAK_MINUTES", "0.3"))


@pytest.mark.engine
@pytest.mark.timeout(240 + MINUTES * 120)
@pytest.mark.parametrize("runtime", ["docker", "process"])
def test_nothing_is_left_of_load_kills_and_faults(runtime: str) -> None:
    seed = int(os.environ.get("DYNAMIC_SESSIONS_TEST_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}")
    assert soak(MINUTES, runtime, seed, stretch=MINUTES * 30, callers=4) == []
