"""`run`, `env` and `pool` as a person types them, against an emulator that starts no session."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from emulator.commands.bundle import trusted, write_bundle
from emulator.commands.env import variables

EMULATOR = [sys.executable, "-m", "emulator"]
FLAGS = ["--runtime", "process", "--ready-sessions", "0"]

ASKS_ITSELF = """
import json, os, ssl, urllib.request
arm = os.environ["ARM_ENDPOINT"]
trust = ssl.create_default_context()  # reads SSL_CERT_FILE
def open_(url, **headers):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=trust))
token = open_(os.environ["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=https://management.azure.com",
              **{"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]})["access_token"]
pools = open_(arm + "/subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.App/sessionPools"
              "?api-version=2026-01-01", Authorization="Bearer " + token)["value"]
assert os.environ["POOL_ENDPOINT_HTTPS"] == pools[0]["properties"]["poolManagementEndpoint"], pools
assert os.environ["POOL_ENDPOINT_SHELL"].endswith("/sessionPools/shell")
assert arm.startswith("https://")
print(os.getppid())
raise SystemExit(7)
"""


def run(state: Path, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    line = [*EMULATOR, "run", *FLAGS, "--state-dir", str(state), "--", *command]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **options)


def test_run_gives_the_command_an_emulator_and_its_own_status(tmp_path: Path) -> None:
    done = run(tmp_path, sys.executable, "-c", ASKS_ITSELF)
    assert done.returncode == 7, done.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert not any(name.startswith("run-") for name in left), left


def test_run_says_what_is_wrong(tmp_path: Path) -> None:
    assert run(tmp_path, "no-such-command-anywhere").returncode == 127
    assert run(tmp_path, "sh", "-c", "kill -9 $$").returncode == 128 + 9
    line = [*EMULATOR, "run", "--config", str(tmp_path / "none.yaml"), "--", "true"]
    wrong = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode != 0
    assert "none.yaml" in wrong.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
def test_a_killed_run_leaves_no_emulator(tmp_path: Path) -> None:
    marker = tmp_path / "env.json"
    script = f"import json, os, time; json.dump(dict(os.environ), open({str(marker)!r}, 'w')); time.sleep(60)"
    line = [*EMULATOR, "run", *FLAGS, "--state-dir", str(tmp_path), "--", sys.executable, "-c", script]
    process = subprocess.Popen(line, start_new_session=True)
    try:
        found = _until(lambda: json.loads(marker.read_text(encoding="utf-8")))
        process.kill()
        process.wait()
        _until(lambda: _refused(found["POOL_ENDPOINT"]))
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the command; run itself is gone


def _named(endpoint: str, host: str) -> bool:
    """The HTTPS listener shows a certificate for `host`; raises OSError (of ssl) while it does not."""
    context = ssl.create_default_context(cadata=_read(f"{endpoint}/.emulator/ca.pem").decode("ascii"))
    port = urlsplit(json.loads(_read(f"{endpoint}/.emulator/status"))["https"]).port
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        return True


def _read(url: str) -> bytes:
    import requests

    return requests.get(url, timeout=30).content


def _refused(url: str) -> bool:
    import requests

    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return True
    raise OSError("still answers")


def _until(ask: Any) -> Any:
    for _ in range(1200):
        try:
            return ask()
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("it never happened")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("up")
    ready = folder / "ready.json"
    line = [*EMULATOR, "up", "--port", "0", *FLAGS, "--state-dir", str(folder), "--ready-file", str(ready)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
        try:
            yield str(_until(lambda: json.loads(ready.read_text(encoding="utf-8")))["http"])
        finally:
            process.terminate()
            process.wait(30)


def verb(endpoint: str, *words: str, status: int = 0) -> str:
    line = [*EMULATOR, *words, "--endpoint", endpoint]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_env_as_a_shell_reads_it(endpoint: str, tmp_path: Path) -> None:
    printed = verb(endpoint, "env", "--state-dir", str(tmp_path))
    script = printed + f"\nexec {sys.executable} -c '{ASKS_ITSELF}'"
    assert subprocess.run(["sh", "-c", script], timeout=60, check=False).returncode == 7
    as_json = json.loads(verb(endpoint, "env", "--state-dir", str(tmp_path), "--format", "json"))
    bundle = Path(as_json["SSL_CERT_FILE"])
    assert bundle.parent.parent == tmp_path
    assert as_json["REQUESTS_CA_BUNDLE"] == as_json["NODE_EXTRA_CA_CERTS"] == str(bundle)
    content = bundle.read_text(encoding="ascii")
    assert all(block in content for block in trusted({}))  # other hosts go on working


def test_a_pools_life(endpoint: str, tmp_path: Path) -> None:
    made = json.loads(
        verb(endpoint, "pool", "create", "-n", "mine", "-g", "rg", "--max-sessions", "6", "--tags", "a=b")
    )
    assert made["properties"]["containerType"] == "PythonLTS"
    assert made["properties"]["provisioningState"] == "Succeeded"
    _until(lambda: _named(endpoint, "mine.localhost"))
    updated = json.loads(
        verb(endpoint, "pool", "update", "-n", "mine", "-g", "rg", "--cooldown-period", "600")
    )
    lifecycle = updated["properties"]["dynamicPoolConfiguration"]["lifecycleConfiguration"]
    assert lifecycle["cooldownPeriodInSeconds"] == 600
    assert updated["properties"]["scaleConfiguration"]["maxConcurrentSessions"] == 6
    wanted = ("pool", "show", "-n", "mine", "-g", "rg", "--query", "properties.poolManagementEndpoint")
    assert verb(endpoint, *wanted, "-o", "tsv").strip() == f"{endpoint}{_data_path('rg', 'mine')}"
    # What is shown is a pool file.
    shown = verb(endpoint, "pool", "show", "-n", "mine", "-g", "rg")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(json.loads(shown)), encoding="utf-8")
    again = json.loads(
        verb(endpoint, "pool", "create", "-n", "again", "-g", "rg", "--yaml", str(tmp_path / "again.yaml"))
    )
    assert again["properties"]["scaleConfiguration"] == {"maxConcurrentSessions": 6}
    assert {"mine", "again"} <= set(verb(endpoint, "pool", "list", "-g", "rg", "-o", "table").split())
    for name in ("mine", "again"):
        verb(endpoint, "pool", "delete", "-n", name, "-g", "rg", "--yes")
    assert json.loads(verb(endpoint, "pool", "list", "-g", "rg")) == []
    assert "no such pool" in verb(endpoint, "pool", "delete", "-n", "mine", "-g", "rg", status=1)


def test_a_custom_pool_by_flags(endpoint: str) -> None:
    flags = ["--image", "repo/c:v1", "--target-port", "8080", "--cpu", "0.5", "--memory", "1Gi"]
    flags += ["--ready-sessions", "1", "--secrets", "s=hidden", "--env-vars", "A=1", "B=secretref:s"]
    printed = verb(endpoint, "pool", "create", "-n", "box", *flags)
    assert "hidden" not in printed
    (container,) = json.loads(printed)["properties"]["customContainerTemplate"]["containers"]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "secretRef": "s"}]
    assert container["resources"] == {"cpu": 0.5, "memory": "1Gi"}
    updated = json.loads(verb(endpoint, "pool", "update", "-n", "box", "--image", "repo/c:v2"))
    (container,) = updated["properties"]["customContainerTemplate"]["containers"]
    assert (container["image"], container["env"][0]["value"]) == ("repo/c:v2", "1")
    assert updated["properties"]["customContainerTemplate"]["ingress"] == {"targetPort": 8080}
    refused = verb(endpoint, "pool", "create", "-n", "bad", "--cooldown-period", "10", status=1)
    assert "cooldownPeriodInSeconds" in refused
    assert "NAME=VALUE" in verb(endpoint, "pool", "create", "-n", "bad", "--tags", "a", status=1)


def _data_path(group: str, name: str) -> str:
    return f"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{group}/sessionPools/{name}"


def test_the_emulator_is_never_asked_through_a_proxy() -> None:
    found = variables(
        http="http://127.0.0.1:1",
        https=None,
        pools={"a-b": "/x"},
        identity_header="h",
        bundle=None,
        environment={"HTTPS_PROXY": "http://proxy", "NO_PROXY": "corp.example"},
    )
    assert found["NO_PROXY"].split(",") == ["corp.example", "localhost", "127.0.0.1", "::1"]
    assert found["POOL_ENDPOINT_A_B"] == found["POOL_ENDPOINT"] == "http://127.0.0.1:1/x"
    assert not any("HTTPS" in name or "CERT" in name for name in found)


def test_the_bundle_keeps_what_was_trusted(tmp_path: Path) -> None:
    def block(text: str) -> str:
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"

    company = tmp_path / "company.pem"
    company.write_text(f"a comment\n{block('company')}\n", encoding="ascii")
    environment = {"REQUESTS_CA_BUNDLE": str(company), "SSL_CERT_FILE": str(tmp_path / "missing")}
    path = write_bundle(block("dev"), tmp_path / "new" / "bundle.pem", environment)
    once = path.read_text(encoding="ascii")
    assert block("dev") in once and block("company") in once
    environment["REQUESTS_CA_BUNDLE"] = str(path)
    assert write_bundle(block("dev"), path, environment).read_text(encoding="ascii").count("\ndev\n") == 1
