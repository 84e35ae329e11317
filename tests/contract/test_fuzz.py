"""Twenty seconds of fuzzing; scripts/fuzz does it for longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.fuzzing import check_nothing_left, explore
from tests.contract.pools import POOLS
from tests.harness import emulator, pool

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
RUNTIMES = os.environ.get("FUZZ_RUNTIMES", "process").split()


@pytest.mark.timeout(SECONDS * 2 + 300)
@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=pytest.mark.engine if name == "docker" else ()) for name in RUNTIMES]
)
def test_fuzz(runtime: str, tmp_path: Path, runnable: Callable[[str], None]) -> None:
    runnable(runtime)
    names = ("python", "shell", "node") if runtime == "docker" else ("python", "shell")
    documents = [pool(name, POOLS[name], max_sessions=6, cooldown=300) for name in names]
    flags = ("--runtime", runtime, "--instance", f"fuzz-{runtime}", "--session-subnet", "10.223.0.0/16")
    with emulator(tmp_path, *flags, pools=documents) as running:
        # The same requests every time in the suite, other ones each time in scripts/fuzz.
        sent = explore(running, names, SECONDS, None if "FUZZ_SECONDS" in os.environ else 0)
        check_nothing_left(running, 300)
        assert sent > SECONDS, "hardly anything was sent"
        print(f"{sent} requests on {runtime}")
        assert "Traceback" not in running.text(), running.text()[-4000:]
