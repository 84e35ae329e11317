"""docs/tutorials.md, pasted: its blocks for the emulator in one bash, from the first to the last."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import interpreter
from tests.harness import Emulator, emulator, pool

pytestmark = [pytest.mark.engine, pytest.mark.clients, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorials.md"
SUBNET = "10.226.0.0/16"
LABEL = "dynamic-sessions-emulator.instance"
FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
STRICT = """set -euo pipefail
trap 'echo "line that failed: $BASH_COMMAND" >&2' ERR
"""


def blocks(info: str) -> list[str]:
    """What stands between fences whose info string is `info`, in order."""
    page = PAGE.read_text(encoding="utf-8")
    return [found["body"] for found in FENCE.finditer(page) if found["info"] == info]


@pytest.fixture
def swept() -> None:
    """In place of the folder's own: this emulator is not shared."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose only pool keeps nothing ready, so that every container is a tutorial's."""
    instance = f"tutorials-{uuid.uuid4().hex[:8]}"
    flags = ("--runtime", "docker", "--tls-port", "0", "--session-subnet", SUBNET, "--instance", instance)
    with emulator(tmp_path / "emulator", *flags, pools=[pool("other", "PythonLTS", ready=0)]) as started:
        yield started


@pytest.fixture
def environment(own: Emulator, tmp_path: Path) -> dict[str, str]:
    """What the page's own setup leaves behind: the programs on the path and what `env` prints."""
    programs = [str(Path(sys.executable).parent), str(interpreter("az") / "bin")]
    for needed in ("curl", "docker"):
        if shutil.which(needed) is None:
            pytest.fail(f"{needed} is not there, and the tutorials use it: install it")
    env = {
        "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "LANG": "C.UTF-8",
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
    }
    ask = ["dynamic-sessions", "env", "--format", "json", "--endpoint", own.http]
    ask += ["--state-dir", str(tmp_path / "state")]
    printed = subprocess.run(ask, env=env, capture_output=True, text=True, timeout=60, check=True)
    return {**env, **json.loads(printed.stdout)}


def containers(instance: str) -> list[str]:
    command = ["docker", "ps", "--all", "--filter", f"label={LABEL}={instance}", "--format", "{{.Names}}"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return listed.stdout.split()


def test_every_original_has_its_emulator_form() -> None:
    page = PAGE.read_text(encoding="utf-8")
    kinds = [found["info"] for found in FENCE.finditer(page)]
    assert set(kinds) == {"bash setup", "bash original", "bash"}
    for at, kind in enumerate(kinds):
        if kind == "bash original":
            assert kinds[at + 1 : at + 2] == ["bash"], f"the original of block {at + 1} stands alone"
    originals, forms = "".join(blocks("bash original")), "".join(blocks("bash"))
    for verb in ("group create", "role assignment create", "account get-access-token", "group delete"):
        assert originals.count(f"az {verb}") <= forms.count(f"az {verb}"), f"az {verb} is az's own"


def test_pasted_into_one_bash_all_of_it_works(
    own: Emulator, environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "tutorials.sh"
    script.write_text(STRICT + "\n".join(blocks("bash")), encoding="utf-8")
    done = subprocess.run(
        ["bash", str(script)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"bash ended with {done.returncode}:\n{said}\n{own.text()[-3000:]}"
    assert own.ask("GET", "/sessions")["sessions"] == []
    status = own.ask("GET", "/status")
    assert [one["name"] for one in status["pools"]] == ["other"]
    assert containers(status["instance"]) == []
