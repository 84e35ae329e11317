"""The official MCP SDK on pools made over the control plane, with the key the control plane hands out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.clients.conftest import Drive
from tests.harness import NEWEST, Emulator, pool

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
Make = Callable[[str], tuple[str, str]]


@pytest.fixture
def made(served: Emulator) -> Iterator[Make]:
    """Makes a pool with an MCP server; returns the server's endpoint and key."""
    headers = {"Authorization": f"Bearer {served.new_token(audience='https://management.azure.com')}"}
    there = []

    def send(method: str, url: str, **options: Any) -> Any:
        answer = requests.request(
            method, url, params={"api-version": NEWEST}, headers=headers, timeout=120, **options
        )
        assert answer.status_code in (200, 201, 202, 204), answer.text
        return answer.json() if answer.content else None

    def make(container_type: str) -> tuple[str, str]:
        name = f"mcp{uuid.uuid4().hex[:8]}"
        group = f"{served.http}/subscriptions/{SUBSCRIPTION}/resourceGroups/local"
        url = f"{group}/providers/Microsoft.App/sessionPools/{name}"
        there.append(url)
        document = pool(name, container_type)
        document["properties"]["mcpServerSettings"] = {"isMCPServerEnabled": True}
        send("PUT", url, json={"location": "eastus", "properties": document["properties"]})
        settings = send("GET", url)["properties"]["mcpServerSettings"]
        key = send("POST", f"{url}/fetchMCPServerCredentials")["apiKey"]
        return settings["mcpServerEndpoint"], key

    yield make
    for url in there:
        send("DELETE", url)


def test_python_environment(drive: Drive, made: Make) -> None:
    endpoint, key = made("PythonLTS")
    steps = [{"pythonCode": "x = 6"}, {"pythonCode": "print(x * 7); x"}, {"pythonCode": "1 / 0"}]
    said = drive(
        "mcp",
        "mcp_tools.py",
        MCP_ENDPOINT=endpoint,
        MCP_KEY=key,
        LAUNCH="launchPythonEnvironment",
        RUN="runPythonCodeInRemoteEnvironment",
        STEPS=json.dumps(steps),
    )
    assert said["protocol"] == "2025-03-26", "the SDK offers a newer one"
    assert said["server"] == "Microsoft Container Apps MCP Server"
    assert {"launchPythonEnvironment", "runPythonCodeInRemoteEnvironment"} <= set(said["tools"])
    first, second, third = said["answers"]
    assert (first["status"], first["stdout"]) == ("Succeeded", "")
    assert (second["stdout"], second["executionResult"]) == ("42\n", 6)
    assert third["status"] == "Failed"
    assert "ZeroDivisionError" in third["stderr"]
    assert said["gone"][0] is True
    assert "launchPythonEnvironment" in said["gone"][1]


def test_shell_environment(drive: Drive, made: Make) -> None:
    endpoint, key = made("Shell")
    steps = [
        {"shellCommand": "echo $((6*7)) | tee answer; exit 3"},
        {"execCommandAndArgs": ["cat", "answer"]},
    ]
    said = drive(
        "mcp",
        "mcp_tools.py",
        MCP_ENDPOINT=endpoint,
        MCP_KEY=key,
        LAUNCH="launchShell",
        RUN="runShellCommandInRemoteEnvironment",
        STEPS=json.dumps(steps),
    )
    assert said["tools"] == ["launchShell", "runShellCommandInRemoteEnvironment"]
    assert [(one["stdout"], one["exitCode"]) for one in said["answers"]] == [("42\n", 3), ("42\n", 0)]
    assert said["gone"][0] is True
