"""What settings change: limits that hold, and the mode that takes what is wrong but harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulator.conformance.row import NEWEST
from emulator.conformance.rows.parts import LABEL, form, part
from tests.harness import Emulator, emulator, pool

TIMED_OUT = "Request timed out waiting for code execution to complete"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, runnable: Callable[[str], None]) -> Iterator[Emulator]:
    """Loose, and every limit as low as it goes."""
    runnable("process")
    flags = ["--runtime", "process", "--instance", "contract-modes", "--loose", "--default-timeout", "1"]
    flags += ["--code-timeout", "2", "--shell-timeout", "2", "--output-length", "100", "--body-limit", "2000"]
    flags += ["--upload-limit", "1000"]
    pools = [pool("python", "PythonLTS"), pool("shell", "Shell")]
    with emulator(tmp_path_factory.mktemp("modes"), *flags, pools=pools) as running:
        yield running


def _run(emulator: Emulator, name: str, query: str = "", path: str = "/executions", **body: Any) -> Any:
    answer = emulator.send("POST", name, f"{path}?identifier=modes&{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_timeouts(limited: Emulator) -> None:
    spin = "import time\nfor _ in range(100): time.sleep(0.1)"
    # The default is not the caller's: its text names no seconds.
    result = _run(limited, "python", code=spin)["result"]
    assert result["stderr"].splitlines()[0] == TIMED_OUT
    result = _run(limited, "python", code=spin, timeoutInSeconds=100)["result"]
    assert result["stderr"].splitlines()[0] == f"{TIMED_OUT} after 2 seconds"
    ended = _run(limited, "shell", shellCommand="sleep 30", timeoutInSeconds=100)
    assert (ended["status"], ended["result"]["executionTimeInMilliseconds"]) == ("-1", 2000)


def test_sizes(limited: Emulator) -> None:
    ran = _run(limited, "python", f"api-version={NEWEST}", code="print('x' * 200)")
    assert ran["result"]["stdout"] == "x" * 100
    answer = limited.send("POST", "python", "/executions?identifier=modes", json={"code": "#" * 2000})
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (413, "RequestTooLarge")
    for size, status in ((1000, 200), (1001, 413)):
        answer = limited.send(
            "POST",
            "python",
            "/files?identifier=modes",
            data=form(part(b"x" * size)),
            headers={"Content-Type": LABEL},
        )
        assert answer.status_code == status, answer.text


def test_loose(limited: Emulator) -> None:
    two = {"code": "1 + 1"}
    for query in ("", "api-version=2099-01-01", f"api-version={NEWEST}"):
        for body in (two, {"properties": two}):
            assert _run(limited, "python", query, **body)["result"]["executionResult"] == 2
            properties = _run(limited, "python", query, "/code/execute", **body)["properties"]
            assert (properties["status"], properties["result"]) == ("Success", 2)
            assert _run(limited, "python", query, "/python/execute", **body)["result"] == 2
    for identifier in ("a", "with blank", "ünï", "x" * 200):
        answer = limited.send("GET", "python", "/files", params={"identifier": identifier})
        assert answer.status_code == 200, answer.text
    answer = limited.send("GET", "python", "/files")
    assert answer.status_code == 400, "an identifier is needed even so"
