"""Two identifiers, two machines; one identifier, one machine; and no more of them than the pool allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.docker.engine import Lab, eventually
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
QUERY = "api-version=2025-10-02-preview&identifier="


@pytest.fixture(scope="module")
def emulator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [
        pool("python", "PythonLTS", max_sessions=5, cooldown=300, ready=0),
        pool("small", "PythonLTS", ready=0, emulator={"memory": "320Mi"}),
        pool("shell", "Shell", ready=0),
    ]
    with lab.emulator(tmp_path_factory.mktemp("apart"), pools=pools) as started:
        yield started


@pytest.fixture(autouse=True)
def empty(emulator: Emulator) -> None:
    emulator.reset()


def guids(emulator: Emulator) -> dict[str, str]:
    return {one["identifier"]: one["guid"] for one in emulator.ask("GET", "/sessions")["sessions"]}


def test_identifiers_share_neither_variables_nor_files(emulator: Emulator) -> None:
    mark = """
import os, pathlib
secret = "{0}"
for place in ("/mnt/data/note", "/tmp/note", os.path.expanduser("~/note"), "/dev/shm/note"):
    pathlib.Path(place).write_text("{0}")
"""
    for who in ("alice", "robert"):
        emulator.value("python", who, mark.format(who))
    looked = (
        'sorted({secret} | {open(p).read() for p in ("/mnt/data/note", "/tmp/note", '
        'os.path.expanduser("~/note"), "/dev/shm/note")})'
    )
    assert emulator.value("python", "alice", looked) == ["alice"]
    assert emulator.value("python", "robert", looked) == ["robert"]
    assert len(set(guids(emulator).values())) == 2
    listed = emulator.send("GET", "python", f"/files?{QUERY}charlie").json()["value"]
    assert listed == []


def test_processes_are_not_seen(emulator: Emulator) -> None:
    emulator.value("python", "alice", "import subprocess; sleeper = subprocess.Popen(['sleep', '87654'])")
    seen = "import glob\n' '.join(open(p).read() for p in glob.glob('/proc/[0-9]*/cmdline'))"
    assert "87654" in emulator.value("python", "alice", seen)
    assert "87654" not in emulator.value("python", "robert", seen)


def test_one_new_identifier_allocates_once(emulator: Emulator) -> None:
    with ThreadPoolExecutor(8) as crowd:
        found = list(crowd.map(lambda n: emulator.value("python", "crowd", "id(object)"), range(8)))
    assert len(set(found)) == 1
    assert list(guids(emulator)) == ["crowd"]


def test_after_the_cooldown_a_session_is_fresh(emulator: Emulator, lab: Lab) -> None:
    emulator.value("python", "alice", "kept = 7; open('/mnt/data/kept', 'w').close()")
    before = guids(emulator)["alice"]
    emulator.advance(299)
    assert emulator.value("python", "alice", "kept") == 7  # which starts the cooldown again
    emulator.advance(299)
    assert emulator.value("python", "alice", "kept") == 7
    emulator.advance(301)
    assert guids(emulator) == {}
    assert lab.all_of(emulator.ask("GET", "/status")["instance"]) == []
    found = emulator.value(
        "python", "alice", "import os; ['kept' in globals(), os.path.exists('/mnt/data/kept')]"
    )
    assert found == [False, False]
    assert guids(emulator)["alice"] != before


def test_a_running_execution_does_not_expire(emulator: Emulator) -> None:
    started = threading.Event()
    results: list[Any] = []

    def long() -> None:
        started.set()
        code = "import os, time\nwhile not os.path.exists('/mnt/data/go'): time.sleep(0.05)\n'done'"
        results.append(emulator.value("python", "busy-one", code, timeoutInSeconds=100))

    emulator.value("python", "busy-one", "1")
    thread = threading.Thread(target=long)
    thread.start()
    started.wait()
    eventually(
        lambda: any(one["inFlight"] for one in emulator.ask("GET", "/sessions")["sessions"]),
        "the execution is in flight",
    )
    emulator.advance(3600)
    assert "busy-one" in guids(emulator)
    answer = emulator.send("POST", "python", f"/files?{QUERY}busy-one", files={"file": ("go", b"")})
    assert answer.status_code == 200, answer.text
    thread.join()
    assert results == ["done"]


def test_the_sixth_of_five_is_refused_until_one_stops(emulator: Emulator, lab: Lab) -> None:
    for number in range(5):
        emulator.value("python", f"user-{number}", "1")
    body = {"code": "1", "codeInputType": "Inline", "executionType": "Synchronous"}
    answer = emulator.send("POST", "python", f"/executions?{QUERY}user-5", json=body)
    assert answer.status_code == 429
    assert answer.headers["x-ms-error-code"] == "SessionsCountExceedsLimit"
    assert len(lab.containers(emulator.ask("GET", "/status")["instance"])) == 5
    stopped = emulator.send("POST", "python", f"/.management/stopSession?{QUERY}user-2")
    assert stopped.status_code == 200, stopped.text
    assert emulator.value("python", "user-5", "6*7") == 42
    assert sorted(guids(emulator)) == ["user-0", "user-1", "user-3", "user-4", "user-5"]


def test_memory_exhaustion_ends_the_run_and_not_the_session(emulator: Emulator) -> None:
    emulator.value("small", "neighbour", "kept = 'here'")
    emulator.value("small", "greedy", "open('/mnt/data/kept', 'w').write('still here')")
    before = guids(emulator)
    hoard = "hoard = []\nfor _ in range(2000): hoard.append(b'x' * (1 << 20))\nlen(hoard)"
    found = emulator.run("small", "greedy", hoard)
    assert found["status"] == "Failed", found
    assert "Execution aborted" in found["result"]["stderr"]
    assert emulator.value("small", "greedy", "open('/mnt/data/kept').read()") == "still here"
    assert emulator.value("small", "neighbour", "kept") == "here"
    assert guids(emulator) == before


FORKS = """
import os, signal, time
children, refused = [], ""
for _ in range(3000):
    try:
        child = os.fork()
    except OSError as error:
        refused = error.strerror
        break
    if child == 0:
        time.sleep(60)
        os._exit(0)
    children.append(child)
for child in children:
    os.kill(child, signal.SIGKILL)
for child in children:
    os.waitpid(child, 0)
[len(children), refused]
"""


def test_a_bounded_fork_bomb_is_stopped_by_the_limit(emulator: Emulator) -> None:
    emulator.value("python", "neighbour", "kept = 'here'")
    children, refused = emulator.value("python", "bomber", FORKS, timeoutInSeconds=60)
    assert 100 < children < 512
    assert refused == "Resource temporarily unavailable"
    assert emulator.value("python", "neighbour", "kept") == "here"
    assert emulator.value("python", "bomber", "6*7") == 42
