from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.proxy.harness import Proxy


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since the path of a Unix socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """One proxy for the tests of a module: they must not depend on each other's leftovers."""
    path = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    running = Proxy(path)
    yield running
    running.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies of the test's own; they end with it."""
    started: list[Proxy] = []

    def begin(**options: Any) -> Proxy:
        own = folder / str(len(started))
        own.mkdir()
        started.append(Proxy(own, **options))
        return started[-1]

    yield begin
    for one in started:
        one.stop()
