"""The Azure SDKs of Python and JavaScript: credentials offline, and a pool's life on the control plane."""

from __future__ import annotations

import uuid
from typing import Any

import jwt
import pytest
import requests

from tests.clients.conftest import Drive
from tests.harness import NEWEST, Emulator

pytestmark = [pytest.mark.engine, pytest.mark.clients]

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GUID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
LANGUAGES = pytest.mark.parametrize("language", ["python", "typescript"])


def credential(drive: Drive, language: str, kind: str, scope: str, **extra: str) -> dict[str, Any]:
    """The claims of the token that a credential obtained; it must be cached and not about to expire."""
    group, driver = ("azure", "identity_python.py") if language == "python" else ("node", "identity.mjs")
    said = drive(group, driver, CREDENTIAL=kind, SCOPE=scope, **extra)
    assert said["cached"] is True
    claims: dict[str, Any] = jwt.decode(said["token"], options={"verify_signature": False})
    assert abs(claims["exp"] - said["expires"]) <= 5, "the client knows when the token expires"
    return {**claims, "raw": said["token"]}


def runs(served: Emulator, token: str) -> int:
    identifier = f"token-{uuid.uuid4().hex}"
    path = f"/executions?api-version={NEWEST}&identifier={identifier}"
    headers = {"Authorization": f"Bearer {token}"}
    return served.send("POST", "python", path, json={"code": "1"}, headers=headers).status_code


@LANGUAGES
def test_default_credential_by_app_service_identity(served: Emulator, drive: Drive, language: str) -> None:
    claims = credential(drive, language, "default", "https://dynamicsessions.io/.default")
    assert claims["aud"].rstrip("/") == "https://dynamicsessions.io"
    assert runs(served, claims["raw"]) in (200, 202)


@LANGUAGES
def test_managed_identity_for_the_other_audience(served: Emulator, drive: Drive, language: str) -> None:
    claims = credential(drive, language, "managed", "https://acasessions.io/.default")
    assert claims["aud"].rstrip("/") == "https://acasessions.io"
    assert runs(served, claims["raw"]) in (200, 202)


@LANGUAGES
def test_default_credential_by_imds(served: Emulator, drive: Drive, language: str) -> None:
    imds = {"IDENTITY_ENDPOINT": "", "IDENTITY_HEADER": "", "AZURE_POD_IDENTITY_AUTHORITY_HOST": served.http}
    claims = credential(drive, language, "default", "https://dynamicsessions.io/.default", **imds)
    assert runs(served, claims["raw"]) in (200, 202)


@LANGUAGES
def test_client_secret_on_the_mock_authority(served: Emulator, drive: Drive, language: str) -> None:
    """With a tenant in GUID form instance discovery is off, as a private cloud's users have it."""
    account = {
        "AZURE_TENANT_ID": GUID,
        "AZURE_CLIENT_ID": str(uuid.uuid4()),
        "AZURE_CLIENT_SECRET": "secret",
        "AZURE_AUTHORITY_HOST": served.ready["https"],
    }
    scope = "https://management.azure.com/.default"
    claims = credential(drive, language, "secret", scope, **account)
    assert claims["aud"].rstrip("/") == "https://management.azure.com"
    assert account["AZURE_CLIENT_ID"] in (claims.get("appid"), claims.get("azp"))
    assert runs(served, claims["raw"]) == 401, "a control-plane token opens no session"


@LANGUAGES
def test_a_pools_life(drive: Drive, language: str) -> None:
    name = f"made-by-{language}"
    group, driver = ("azure", "arm_python.py") if language == "python" else ("node", "arm.mjs")
    said = drive(group, driver, SUBSCRIPTION=SUBSCRIPTION, POOL_NAME=name)
    tags = {"made": "by the SDK"}
    assert said["made"][0] == name and said["made"][1].lower() == "microsoft.app/sessionpools"
    assert said["made"][3:] == [tags, "Succeeded"]
    assert said["found"][0].lower().endswith(f"/providers/microsoft.app/sessionpools/{name}")
    assert said["found"][1:] == ["PythonLTS", 7, 300]
    assert said.get("in lists", said.get("lists")) == [True, True]
    assert said["changed"] == [9, 300], "PATCH merges"
    assert said["run"][0] in (200, 202) and said["run"][1:] == ["in the new pool\n", 42]
    assert said["gone"] == [404, "ResourceNotFound"]
    if language == "python":
        assert said["https kept"] is True
        assert said["wrong type"] == [400, True], "the message names the wrong value"


def mcp_pool(served: Emulator, kind: str) -> tuple[str, str]:
    """A pool with an MCP server, made on the control plane: its endpoint and key."""
    token = served.new_token(audience="https://management.azure.com")
    headers = {"Authorization": f"Bearer {token}"}
    place = f"{served.http}/subscriptions/{SUBSCRIPTION}/resourceGroups/local/providers/Microsoft.App"
    url = f"{place}/sessionPools/mcp-{kind.lower()}"
    properties = {
        "containerType": kind,
        "poolManagementType": "Dynamic",
        "scaleConfiguration": {"maxConcurrentSessions": 5},
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
        },
        "mcpServerSettings": {"isMcpServerEnabled": True},
    }
    version = {"api-version": NEWEST}
    body = {"location": "eastus", "properties": properties}
    made = requests.put(url, json=body, params=version, headers=headers, timeout=60)
    assert made.status_code in (200, 201), made.text
    pool = requests.get(url, params=version, headers=headers, timeout=60).json()["properties"]
    key = requests.post(f"{url}/fetchMcpServerCredentials", params=version, headers=headers, timeout=60)
    assert pool["mcpServerSettings"]["mcpServerEndpoint"] == pool["poolManagementEndpoint"] + "/mcp"
    return pool["poolManagementEndpoint"], key.json()["apiKey"]


def test_mcp_client(served: Emulator, drive: Drive) -> None:
    python, python_key = mcp_pool(served, "PythonLTS")
    shell, shell_key = mcp_pool(served, "Shell")
    said = drive(
        "mcp",
        "mcp_pool.py",
        MCP_PYTHON=python,
        MCP_PYTHON_KEY=python_key,
        MCP_SHELL=shell,
        MCP_SHELL_KEY=shell_key,
    )
    assert said["hello"]["protocolVersion"] == "2025-03-26"
    assert said["hello"]["serverInfo"]["name"] == "Microsoft Container Apps MCP Server"
    assert {"launchPythonEnvironment", "runPythonCodeInRemoteEnvironment"} <= set(said["tools"])
    assert said["print"]["structuredContent"]["stdout"] == "42\n"
    assert said["kept"]["structuredContent"]["executionResult"] == 43
    assert said["shell"]["structuredContent"]["stdout"] == "42\n"
    assert said["shell"]["structuredContent"]["exitCode"] == 3
    assert said["unknown"]["isError"] is True and "never-launched" in str(said["unknown"]["content"])
    assert said["shell tools"] == ["launchShell", "runShellCommandInRemoteEnvironment"]
    assert said["in shell"]["structuredContent"]["stdout"] == "from the shell\n"
