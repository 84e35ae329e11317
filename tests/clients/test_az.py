"""azure-cli as published, in a cloud of its own: from `az login --identity` to `az group delete`."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.conftest import environment, interpreter
from tests.harness import NEWEST, Emulator

pytestmark = [pytest.mark.engine, pytest.mark.clients]

GROUP, POOL = "rg-az", "az-pool"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
SOMEBODY = "44444444-4444-4444-8444-444444444444"
EXECUTOR = "Azure ContainerApps Session Executor"
PROPERTIES = {
    "containerType": "PythonLTS",
    "poolManagementType": "Dynamic",
    "scaleConfiguration": {"maxConcurrentSessions": 5},
    "dynamicPoolConfiguration": {
        "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
    },
}
Az = Callable[..., Any]


@pytest.fixture
def az(served: Emulator, tmp_path: Path) -> Az:
    """Runs `az`; returns its JSON, None where it printed nothing. `fails=True` returns its error instead."""
    program = interpreter("az") / "bin/az"
    settings = {
        "AZURE_CONFIG_DIR": str(tmp_path / "azure"),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_CORE_NO_COLOR": "1",
        "AZURE_CORE_OUTPUT": "json",
    }
    env = {**environment(served, tmp_path), **settings}

    def run(*arguments: str, fails: bool = False) -> Any:
        command = [str(program), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode != 0) == fails, f"az {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        if fails:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_from_login_to_group_delete(served: Emulator, az: Az) -> None:
    az("cloud", "register", "-n", "Local", "--endpoint-resource-manager", served.ready["https"])
    az("cloud", "set", "-n", "Local")
    (account,) = az("login", "--identity")
    assert (account["id"], account["state"]) == (SUBSCRIPTION, "Enabled")

    made = az("group", "create", "-n", GROUP, "-l", "eastus")
    assert made["properties"]["provisioningState"] == "Succeeded"
    kind = ("--resource-type", "Microsoft.App/sessionPools", "--api-version", NEWEST)
    resource = ("-g", GROUP, "-n", POOL, *kind)
    pool = az("resource", "create", *resource, "-l", "eastus", "-p", json.dumps(PROPERTIES))
    assert pool["properties"]["provisioningState"] == "Succeeded"
    assert [one["name"] for one in az("resource", "list", "-g", GROUP)] == [POOL]
    bigger = "properties.scaleConfiguration.maxConcurrentSessions=9"
    assert az("resource", "update", *resource, "--set", bigger)["name"] == POOL
    shown = az("resource", "show", *resource)["properties"]
    assert shown["scaleConfiguration"]["maxConcurrentSessions"] == 9

    endpoint = shown["poolManagementEndpoint"]
    assert endpoint.startswith(served.ready["https"]), "az sends no token to http"
    url = f"{endpoint}/executions?api-version={NEWEST}&identifier=az-{uuid.uuid4().hex}"
    ask = ("rest", "--method", "post", "--url", url, "--resource", "https://dynamicsessions.io")
    ran = az(*ask, "--body", json.dumps({"code": "print(6*7); 'value'"}))
    assert (ran["status"], ran["result"]["stdout"]) == ("Succeeded", "42\n")
    assert ran["result"]["executionResult"] == "value"

    scope = ("--scope", pool["id"])
    who = ("--assignee-object-id", SOMEBODY, "--assignee-principal-type", "ServicePrincipal")
    given = az("role", "assignment", "create", "--role", EXECUTOR, *who, *scope)
    assert given["principalId"] == SOMEBODY
    (listed,) = az("role", "assignment", "list", *scope)
    assert (listed["name"], listed["roleDefinitionName"]) == (given["name"], EXECUTOR)

    az("group", "delete", "-n", GROUP, "--yes")
    assert az("group", "exists", "-n", GROUP) is False
    assert "could not be found" in az("resource", "show", *resource, fails=True)
    token = {"Authorization": f"Bearer {served.token}"}
    after = requests.post(url, json={"code": "1"}, headers=token, verify=served.ready["ca"], timeout=30)
    assert after.status_code == 404, "its pools went with the group"
