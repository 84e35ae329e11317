"""Shell sessions: real commands through /shellExecute."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.proxy.harness import Answer, Proxy


@pytest.fixture(scope="module")
def shell() -> Iterator[Proxy]:
    path = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    running = Proxy(path, kernel="bash", environment={"CODE_INTERPRETER_MODE": "shell"})
    yield running
    running.stop()
    shutil.rmtree(path, ignore_errors=True)


def ask(shell: Proxy, **body: Any) -> Answer:
    return shell.post("/shellExecute", body)


def run(shell: Proxy, **body: Any) -> dict[str, Any]:
    answer = ask(shell, **body)
    assert answer.status == 200
    result: dict[str, Any] = answer.json
    return result


def test_a_command(shell: Proxy) -> None:
    result = run(shell, shellCommand="echo out; echo err >&2; exit 3")
    milliseconds = result.pop("executionTimeInMilliseconds")
    assert isinstance(milliseconds, int) and result.pop("id")
    assert result == {
        "status": "Failed",
        "exitCode": 3,
        "errorName": "",
        "stdout": "out\n",
        "stderr": "err\n",
    }
    assert run(shell, shellCommand="true")["status"] == "Succeeded"


def test_where_and_who(shell: Proxy) -> None:
    assert run(shell, shellCommand="pwd")["stdout"] == f"{shell.data}\n"
    home = os.environ.get("HOME", "")
    assert run(shell, shellCommand='echo "$HOME"')["stdout"] == f"{home}\n"
    assert run(shell, shellCommand="shopt -q login_shell && echo login")["stdout"] == "login\n"
    assert run(shell, shellCommand="id -u")["stdout"] == f"{os.geteuid()}\n"


def test_an_argument_list_goes_through_no_shell(shell: Proxy) -> None:
    assert run(shell, execCommandAndArgs=["echo", "$HOME", "a b", "*"])["stdout"] == "$HOME a b *\n"
    missing = run(shell, execCommandAndArgs=["no-such-program"])
    assert (missing["exitCode"], missing["status"]) == (127, "Failed")
    assert "no-such-program" in missing["stderr"]
    (shell.data / "plain").write_text("not a program")
    assert run(shell, execCommandAndArgs=["./plain"])["exitCode"] == 126


def test_stdin(shell: Proxy) -> None:
    assert run(shell, shellCommand='read -r x; echo "<$x>"; cat', stdin="a é\nb")["stdout"] == "<a é>\nb"
    assert run(shell, shellCommand="cat")["stdout"] == ""
    big = "x" * 1_000_000
    assert run(shell, shellCommand="wc -c", stdin=big)["stdout"].strip() == "1000000"
    assert run(shell, shellCommand="true", stdin=big)["exitCode"] == 0  # nobody reads it


def test_a_timeout_kills_the_whole_group(shell: Proxy) -> None:
    command = "sleep 600 & echo $! > child; sleep 600"
    result = run(shell, shellCommand=command, timeoutInSeconds=1)
    assert (result["exitCode"], result["status"], result["stdout"], result["stderr"]) == (
        -1,
        "Failed",
        "",
        "",
    )
    assert result["executionTimeInMilliseconds"] == 1000
    child = Path(f"/proc/{(shell.data / 'child').read_text().strip()}/stat")
    end = time.monotonic() + 10
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.01)


def test_a_background_process_does_not_hold_the_answer(shell: Proxy) -> None:
    assert run(shell, shellCommand="sleep 5 & echo done", timeoutInSeconds=4)["stdout"] == "done\n"


def test_a_signal_is_128_and_its_number(shell: Proxy) -> None:
    assert run(shell, execCommandAndArgs=["/bin/bash", "-c", "kill -9 $$"])["exitCode"] == 137


def test_no_line_is_lost_and_long_output_is_cut(shell: Proxy) -> None:
    for _ in range(20):
        assert run(shell, shellCommand="seq 2000")["stdout"].endswith("\n2000\n")
    answer = ask(shell, shellCommand="head -c 20000000 /dev/zero | tr '\\0' 'x'", outputStreamsMaxLength=10)
    assert answer.json["stdout"] == "x" * 10
    assert answer.headers["x-emulator-output-truncated"] == "stdout=20000000"
    assert run(shell, shellCommand="printf 'a\\xffb'")["stdout"] == "a\ufffdb"


def test_commands_run_side_by_side(shell: Proxy) -> None:
    first = threading.Thread(target=run, args=(shell,), kwargs={"shellCommand": "mkfifo p && cat p > got"})
    first.start()
    end = time.monotonic() + 10
    while not (shell.data / "p").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert run(shell, shellCommand="echo through > p", timeoutInSeconds=10)["exitCode"] == 0
    first.join(10)
    assert (shell.data / "got").read_text() == "through\n"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"shellCommand": "ls", "execCommandAndArgs": ["ls"]},
        {"shellCommand": 5},
        {"execCommandAndArgs": "ls"},
        {"execCommandAndArgs": []},
        {"execCommandAndArgs": ["ls", 5]},
        {"shellCommand": "ls", "stdin": 5},
        {"shellCommand": "ls", "timeoutInSeconds": 0},
        {"shellCommand": "a\0b"},
    ],
)
def test_wrong_requests(shell: Proxy, body: dict[str, Any]) -> None:
    assert ask(shell, **body).status == 400


def test_the_rest_of_a_shell_session(shell: Proxy, proxy: Proxy) -> None:
    assert shell.post("/executions", {"code": "1"}).status == 404
    assert proxy.post("/shellExecute", {"shellCommand": "true"}).status == 404
    (shell.data / "f.txt").write_text("x")
    assert "f.txt" in [entry["name"] for entry in shell.call("GET", "/files").json["value"]]
    metadata = shell.call("GET", "/metadata").json
    assert metadata["runtimes"][0]["name"] == "Bash" and "jupyterKernel" not in metadata


def test_relative_paths_have_a_root_of_their_own(tmp_path: Path) -> None:
    """Observed on Shell pools: `path=x` is in /app/x, no path is /mnt/data, and neither lists the other's."""
    apart = tmp_path / "app"
    apart.mkdir()
    folder = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    environment = {"CODE_INTERPRETER_MODE": "shell", "CODE_INTERPRETER_RELATIVE_ROOT": str(apart)}
    shell = Proxy(folder, kernel="bash", environment=environment)
    try:
        (apart / "tools").mkdir()
        (apart / "tools" / "inside.txt").write_text("there", encoding="utf-8")
        assert [entry["name"] for entry in shell.call("GET", "/files?path=tools").json["value"]] == [
            "inside.txt"
        ]
        assert shell.call("GET", "/files").json["value"] == []
        assert (
            shell.call("GET", "/files/inside.txt/content?path=tools&api-version=2025-10-02-preview").raw
            == b"there"
        )
    finally:
        shell.stop()
        shutil.rmtree(folder, ignore_errors=True)
