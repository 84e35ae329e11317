"""One emulator per runtime for the whole suite, with a pool of each built-in kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import docker.errors
import pytest

from emulator.conformance.runner import Pool
from tests.contract.pools import POOLS, pools_of
from tests.harness import Emulator, emulator, pool

SUBNETS = {"docker": "10.221.0.0/16", "process": "10.222.0.0/16"}


def _check(runtime: str) -> None:
    if runtime == "process":
        if shutil.which("bwrap") is None:
            pytest.fail("the process runtime needs bubblewrap: apt-get install bubblewrap, or scripts/test")
        return
    try:
        engine = docker.from_env()
        engine.ping()
        engine.close()
    except docker.errors.DockerException as error:
        pytest.fail(f"no Docker Engine answers ({error}): scripts/engine start, then scripts/images")


@pytest.fixture(scope="session")
def runnable() -> Callable[[str], None]:
    """Fails, with what to install, when a runtime cannot run here."""
    return _check


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Emulator]]:
    """The emulator of a runtime, started when it is first asked for."""
    with ExitStack() as stack:
        started: dict[str, Emulator] = {}

        def get(runtime: str) -> Emulator:
            if runtime not in started:
                _check(runtime)
                folder: Path = tmp_path_factory.mktemp(f"contract-{runtime}")
                documents = [
                    # Instances that are ready hide how long a container takes to start.
                    pool(name, POOLS[name], max_sessions=1 if name == "tiny" else 12, ready=2)
                    for name in pools_of(runtime)
                ]
                flags = ["--runtime", runtime, "--instance", f"contract-{runtime}"]
                flags += ["--session-subnet", SUBNETS[runtime]]
                started[runtime] = stack.enter_context(emulator(folder, *flags, pools=documents))
            return started[runtime]

        yield get


@pytest.fixture(scope="session")
def pool_of(running: Callable[[str], Emulator]) -> Callable[[str, str], Pool]:
    """A pool as the suite sees it: an endpoint and a token."""
    found: dict[tuple[str, str], Pool] = {}

    def get(runtime: str, name: str) -> Pool:
        if (runtime, name) not in found:
            one = running(runtime)
            found[runtime, name] = Pool(one.endpoint(name), None)
            assert found[runtime, name].container_type == POOLS[name]
        return found[runtime, name]

    return get
