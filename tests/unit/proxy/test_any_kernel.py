"""A kernel the proxy knows nothing about, and one that never starts."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.proxy.harness import Proxy

TIMED_OUT = "Request timed out waiting for code execution to complete after 1 seconds"


def install(folder: Path, argv: list[str]) -> dict[str, str]:
    kernel = folder / "kernels" / "fake"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "language": "fake", "display_name": "Fake"})
    )
    return {"JUPYTER_PATH": str(folder)}


@pytest.fixture(scope="module")
def fake() -> Iterator[Proxy]:
    folder = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    script = str(Path(__file__).with_name("fake_kernel.py"))
    running = Proxy(
        folder, kernel="fake", environment=install(folder, [sys.executable, script, "{connection_file}"])
    )
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_it_works_as_it_is(fake: Proxy) -> None:
    assert fake.value("value 4") == 4
    assert fake.value("value [1] 4") == "[1] 4"
    assert fake.run("say hello")["stdout"] == "hello"
    metadata = fake.call("GET", "/metadata").json
    assert metadata["jupyterKernel"]["name"] == "fake"


def test_an_idle_that_never_comes_does_not_hang(fake: Proxy) -> None:
    assert fake.run("say a\nquiet")["stdout"] == "a"
    assert fake.run("say b")["stdout"] == "b"


def test_garbage_is_ignored(fake: Proxy) -> None:
    result = fake.run("say before\ngarbage\nvalue 7\nsay after")
    assert result["executionResult"] == 7
    assert result["stdout"].startswith("before") and result["stdout"].endswith("after")


def test_a_run_waits_for_an_asynchronous_one_and_its_time_begins_with_its_turn(fake: Proxy) -> None:
    background = fake.execute("sleep 1.5\nvalue 1", executionType="Asynchronous").json["id"]
    assert fake.value("value 2", timeoutInSeconds=1) == 2
    assert fake.poll(background)["result"]["executionResult"] == 1


def test_a_timeout_of_a_waiting_run_hits_nobody_else(fake: Proxy) -> None:
    results: list[object] = []
    running = threading.Thread(
        target=lambda: results.append(fake.value("sleep 1.5\nvalue 1", timeoutInSeconds=10))
    )
    running.start()
    background = fake.execute("sleep 60", executionType="Asynchronous", timeoutInSeconds=1).json["id"]
    assert fake.poll(background)["result"]["stderr"] == TIMED_OUT
    running.join(10)
    assert results == [1]


def test_a_kernel_that_never_starts_says_why(folder: Path) -> None:
    environment = install(folder, [sys.executable, "-c", "import sys; sys.exit('no such thing as a kernel')"])
    proxy = Proxy(folder, kernel="fake", environment=environment, wait=False)
    try:
        text = proxy.wait_for(503, "no such thing as a kernel")
        assert "exited with code 1" in text
    finally:
        assert proxy.stop() == 0
