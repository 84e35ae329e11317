"""Time limits, deaths, asynchronous runs, fresh kernels, the end of the proxy."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.proxy.harness import NEW, Proxy, UnixConnection

TIMED_OUT = "Request timed out waiting for code execution to complete"
LOST = "variables are gone, files are kept."
STUBBORN = """
import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
DIES_LATE = """
import os, time
kernel = get_ipython().kernel
publish = kernel._publish_status
def dying(status, *rest, **more):
    if status == 'idle':
        time.sleep(0.2)
        os.kill(os.getpid(), 9)
    return publish(status, *rest, **more)
kernel._publish_status = dying
"""


def test_a_timeout_interrupts_and_keeps_the_state(proxy: Proxy) -> None:
    proxy.run("kept = 1")
    assert proxy.fail("import time\ntime.sleep(60)", timeoutInSeconds=1) == f"{TIMED_OUT} after 1 seconds"
    assert proxy.value("kept") == 1


def test_what_was_printed_before_a_timeout_is_there(proxy: Proxy) -> None:
    body = proxy.execute("import time\nprint('begun')\ntime.sleep(60)", timeoutInSeconds=1).json
    assert body["result"]["stdout"] == "begun\n"


def test_a_kernel_that_dies_between_its_answer_and_its_last_output_is_replaced(proxy: Proxy) -> None:
    """The next one is ready before anybody stopped waiting for that output: it must count as ready."""
    body = proxy.execute(DIES_LATE).json
    assert body["status"] == "Succeeded"
    assert proxy.value("1+1", timeoutInSeconds=20) == 2


def test_the_default_limit_is_not_named(start: Callable[..., Proxy]) -> None:
    proxy = start(execution="  codeExecution: {defaultTimeoutSeconds: 1}")
    assert proxy.fail("import time\ntime.sleep(60)") == TIMED_OUT


def test_the_environment_caps_the_limit(start: Callable[..., Proxy]) -> None:
    proxy = start(environment={"CODE_INTERPRETER_MAX_TIMEOUT_SECONDS": "1"})
    assert proxy.fail("import time\ntime.sleep(60)", timeoutInSeconds=600) == f"{TIMED_OUT} after 1 seconds"


def test_a_kernel_that_ignores_the_interrupt_is_restarted(start: Callable[..., Proxy]) -> None:
    proxy = start(environment={"CODE_INTERPRETER_INTERRUPT_GRACE_SECONDS": "0.3"})
    proxy.run("lost = 1\nopen('kept.txt', 'w').write('x')")
    stderr = proxy.fail(STUBBORN, timeoutInSeconds=1)
    assert stderr.startswith(f"{TIMED_OUT} after 1 seconds\n") and stderr.endswith(LOST)
    assert proxy.value("import os\n('lost' in globals()), os.listdir()") == "(False, ['kept.txt'])"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import os\nos._exit(7)", "it exited with code 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal 9 (SIGKILL)"),
    ],
)
def test_a_death_is_explained_and_followed_by_a_new_kernel(proxy: Proxy, code: str, text: str) -> None:
    proxy.run("lost = 1")
    stderr = proxy.fail(code)
    assert text in stderr and stderr.endswith(LOST)
    assert proxy.value("'lost' in globals()") is False


def dying(proxy: Proxy, when: str) -> int:
    return proxy.call("POST", f"/faults/kernelDeath?when={when}").status


def test_a_kernel_that_is_told_to_die_does_so_at_once_or_with_the_next_code(
    start: Callable[..., Proxy],
) -> None:
    proxy = start(environment={"CODE_INTERPRETER_FAULTS": "1"})
    proxy.run("lost = 1")
    assert dying(proxy, "next") == 200
    assert proxy.call("GET", "/files").status == 200
    assert "signal 9 (SIGKILL)" in proxy.fail("lost = 2\nopen('ran', 'w')")
    assert proxy.value("'lost' in globals() or __import__('os').path.exists('ran')") is False
    proxy.run("lost = 1")
    assert dying(proxy, "now") == 200
    assert proxy.value("'lost' in globals()") is False


def test_kernels_of_their_own_die_as_well(start: Callable[..., Proxy]) -> None:
    proxy = start(environment={"CODE_INTERPRETER_FAULTS": "1"})
    proxy.run("kept = 1")
    assert dying(proxy, "next") == 200
    assert "signal 9 (SIGKILL)" in proxy.fail("1", useEmptyKernel=True)
    assert proxy.value("kept") == 1


def test_without_being_allowed_to_nobody_kills_the_kernel(proxy: Proxy) -> None:
    assert dying(proxy, "now") == 404


def test_exit_is_followed_by_a_new_kernel(proxy: Proxy) -> None:
    proxy.run("lost = 1\nexit()")
    assert proxy.value("'lost' in globals()") is False


def test_a_kernel_that_dies_between_runs_is_replaced(proxy: Proxy) -> None:
    pid = proxy.value("import os\nos.getpid()")
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while time.monotonic() < end and Path(f"/proc/{pid}").exists():
        time.sleep(0.01)
    assert proxy.value("import os\nos.getpid()") != pid


def test_a_caller_who_hangs_up_stops_nothing(proxy: Proxy) -> None:
    proxy.run("import time\ncount = 0")
    connection = UnixConnection(proxy.socket)
    body = json.dumps({"code": "time.sleep(0.3)\ncount += 1"})
    connection.request("POST", f"/executions?api-version={NEW}", body)
    time.sleep(0.1)
    connection.close()
    assert proxy.value("count") == 1


def test_asynchronous_runs(proxy: Proxy) -> None:
    proxy.run("import time\nshared = 20")
    answer = proxy.execute("time.sleep(0.4)\nprint('out')\nshared * 2", executionType="asynchronous")
    body = answer.json
    assert answer.status == 202 and "result" not in body
    assert (body["status"], body["executionType"]) == ("Running", "asynchronous")
    assert body["rawResult"]["stdout"] == body["id"] == answer.headers["operation-id"]
    # It sees the session's state, and the synchronous channel stays free.
    assert proxy.value("shared") == 20
    assert proxy.call("GET", answer.headers["operation-location"]).json["status"] == "Running"
    done = proxy.poll(body["id"])
    assert done["status"] == "Succeeded"
    assert (done["result"]["stdout"], done["result"]["executionResult"]) == ("out\n", 40)


def test_several_asynchronous_runs_at_once_keep_their_outputs_apart(proxy: Proxy) -> None:
    proxy.run("import time")
    ids = [
        proxy.execute(f"time.sleep(0.3)\nprint('n', {n})\n{n}", executionType="Asynchronous").json["id"]
        for n in range(8)
    ]
    results = [proxy.poll(one)["result"] for one in ids]
    assert [result["executionResult"] for result in results] == list(range(8))
    assert [result["stdout"] for result in results] == [f"n {n}\n" for n in range(8)]


def test_an_asynchronous_run_fails_and_times_out_alone(proxy: Proxy) -> None:
    proxy.run("kept = 1")
    failing = proxy.execute("1 / 0", executionType="Asynchronous").json["id"]
    endless = proxy.execute("while True: pass", executionType="Asynchronous", timeoutInSeconds=1).json["id"]
    assert "ZeroDivisionError" in proxy.poll(failing)["result"]["stderr"]
    assert proxy.poll(endless)["result"]["stderr"] == f"{TIMED_OUT} after 1 seconds"
    assert proxy.value("kept") == 1


def test_a_death_ends_asynchronous_runs_too(proxy: Proxy) -> None:
    waiting = proxy.execute("import time\ntime.sleep(60)", executionType="Asynchronous").json["id"]
    proxy.fail("import os\nos._exit(1)")
    assert "exited with code 1" in proxy.poll(waiting)["result"]["stderr"]


def test_asynchronous_runs_can_be_forbidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.proxy import harness

    monkeypatch.setattr(harness, "CONFIG", harness.CONFIG.replace("Supported: true", "Supported: false"))
    proxy = Proxy(folder)
    try:
        answer = proxy.execute("1", executionType="Asynchronous")
        assert answer.status == 400 and "isAsynchronousExecutionSupported" in answer.json["error"]["message"]
    finally:
        proxy.stop()


def test_an_empty_kernel_has_no_state_and_leaves_none(proxy: Proxy) -> None:
    proxy.run("mine = 1")
    assert proxy.value("'mine' in globals()", useEmptyKernel=True) is False
    assert proxy.value("theirs = 2\ntheirs", useEmptyKernel=True) == 2
    assert proxy.value("mine, 'theirs' in globals()") == "(1, False)"
    background = proxy.execute("6 * 7", useEmptyKernel=True, executionType="Asynchronous").json["id"]
    assert proxy.poll(background)["result"]["executionResult"] == 42


def test_snippets_surround_the_code(start: Callable[..., Proxy]) -> None:
    proxy = start(
        execution="""\
  codeExecution:
    synchronousExecution:
      preCodeInjectionSnippet: print('before')
      postCodeInjectionSnippet: print('after')
    asynchronousExecution:
      preCodeInjectionSnippet: print('async before')
"""
    )
    assert proxy.run("print('code')")["stdout"] == "before\ncode\nafter\n"
    background = proxy.execute("print('code')", executionType="Asynchronous").json["id"]
    assert proxy.poll(background)["result"]["stdout"] == "async before\ncode\n"


def test_the_end_is_quick_and_leaves_nothing(start: Callable[..., Proxy]) -> None:
    proxy = start()
    pid = proxy.value("import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nos.getpid()")
    child = proxy.value("child.pid")
    sockets = proxy.value("__import__('ipykernel').get_connection_file()")
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(proxy.execute("import time\ntime.sleep(60)").json["result"]["stderr"])
        except (OSError, http.client.HTTPException) as error:
            answers.append(repr(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    time.sleep(0.2)
    assert proxy.stop() == 0
    waiting.join(5)
    assert answers == ["The session is being stopped."]
    assert not Path(sockets).parent.exists()
    for one in (pid, child):
        status = Path(f"/proc/{one}/stat")
        assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
