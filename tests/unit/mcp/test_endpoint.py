"""The MCP server of a running emulator (process runtime), spoken to in raw JSON-RPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from emulator.clock import VirtualClock
from emulator.identity.mcp_keys import McpKeys
from emulator.resources.model import ContainerType, SessionPool
from tests.harness import Emulator, emulator, pool

NAMES = {"python": ContainerType.PYTHON, "shell": ContainerType.SHELL}


def _document(name: str, container_type: str, *, mcp: bool = True, **options: Any) -> dict[str, Any]:
    document = pool(name, container_type, ready=0, **options)
    document["properties"]["mcpServerSettings"] = {"isMCPServerEnabled": mcp}
    return document


def _key(state: Path, name: str) -> str:
    # Keys are kept in the state folder, so the one made here is the one the emulator finds there.
    return McpKeys.open(state, VirtualClock()).fetch(SessionPool(name, NAMES[name]).key)


class Mcp:
    """Requests to one pool's MCP server."""

    def __init__(self, emulator: Emulator, name: str, key: str) -> None:
        self.url = emulator.endpoint(name) + "/mcp"
        self.key = key

    def post(self, body: Any, **headers: str) -> requests.Response:
        sent = {"x-ms-apikey": self.key, "Content-Type": "application/json", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body)
        return requests.post(self.url, data=data, headers=sent, timeout=120)

    def ask(self, method: str, params: Any = None, number: Any = 7) -> dict[str, Any]:
        message = {"jsonrpc": "2.0", "id": number, "method": method}
        answer = self.post(message if params is None else {**message, "params": params})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["jsonrpc"] == "2.0"
        assert found["id"] == number
        return found

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        return found

    def launch(self, tool: str) -> str:
        result = self.call(tool)
        assert result["isError"] is False, result
        return str(result["structuredContent"]["environmentId"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, dict[str, Mcp]]]:
    folder = tmp_path_factory.mktemp("mcp")
    state = folder / "state" / "mcp-unit"
    keys = {name: _key(state, name) for name in NAMES}
    pools = [
        _document("python", "PythonLTS", max_sessions=4),
        _document("shell", "Shell", max_sessions=4),
        _document("off", "PythonLTS", mcp=False),
    ]
    with emulator(folder, "--runtime", "process", "--instance", "mcp-unit", pools=pools) as started:
        yield started, {name: Mcp(started, name, key) for name, key in keys.items()}


@pytest.fixture
def servers(running: tuple[Emulator, dict[str, Mcp]]) -> dict[str, Mcp]:
    running[0].reset()
    return running[1]


def test_initialize_as_the_tutorial_sends_it(servers: dict[str, Mcp]) -> None:
    result = servers["python"].ask("initialize", number="1")["result"]
    assert result["protocolVersion"] == "2025-03-26"
    assert result["serverInfo"]["name"] == "Microsoft Container Apps MCP Server"
    assert result["capabilities"]["tools"] == {"call": True, "list": True}


def test_a_newer_offer_is_negotiated_down(servers: dict[str, Mcp]) -> None:
    offer = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    assert servers["python"].ask("initialize", offer)["result"]["protocolVersion"] == "2025-03-26"


def test_notifications_and_answers_get_202_without_a_body(servers: dict[str, Mcp]) -> None:
    for message in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": 3, "result": {}},
    ):
        answer = servers["python"].post(message)
        assert (answer.status_code, answer.content) == (202, b"")


def test_ping_and_unknown_methods(servers: dict[str, Mcp]) -> None:
    assert servers["python"].ask("ping")["result"] == {}
    for method in ("resources/list", "prompts/list", "tools/nothing"):
        assert servers["python"].ask(method)["error"]["code"] == -32601


def test_each_type_lists_its_tools(servers: dict[str, Mcp]) -> None:
    listed = {
        name: {tool["name"]: tool for tool in server.ask("tools/list")["result"]["tools"]}
        for name, server in servers.items()
    }
    assert set(listed["shell"]) == {"launchShell", "runShellCommandInRemoteEnvironment"}
    assert set(listed["python"]) == {
        "launchPythonEnvironment",
        "runPythonCodeInRemoteEnvironment",
        "launchShell",
        "runShellCommandInRemoteEnvironment",
    }
    run = listed["python"]["runPythonCodeInRemoteEnvironment"]["inputSchema"]
    assert run["required"] == ["environmentId", "pythonCode"]


def test_python_runs_and_keeps_its_state(servers: dict[str, Mcp]) -> None:
    server = servers["python"]
    environment = server.launch("launchPythonEnvironment")
    code = "import sys; x = 41; print('hello'); print('oops', file=sys.stderr)"
    tool = "runPythonCodeInRemoteEnvironment"
    first = server.call(tool, environmentId=environment, pythonCode=code)
    assert first["structuredContent"]["stdout"] == "hello\n"
    assert first["structuredContent"]["stderr"] == "oops\n"
    assert json.loads(first["content"][0]["text"]) == first["structuredContent"]
    second = server.call(tool, environmentId=environment, pythonCode="x + 1")["structuredContent"]
    assert (second["status"], second["executionResult"]) == ("Succeeded", 42)
    other = server.launch("launchPythonEnvironment")
    failed = server.call(tool, environmentId=other, pythonCode="x")["structuredContent"]
    assert failed["status"] == "Failed"
    assert "NameError" in failed["stderr"]


@pytest.mark.parametrize("name", ["shell", "python"])
def test_commands_run_with_streams_and_exit_code(servers: dict[str, Mcp], name: str) -> None:
    server = servers[name]
    environment = server.launch("launchShell")

    def run(**arguments: Any) -> dict[str, Any]:
        tool = "runShellCommandInRemoteEnvironment"
        found: dict[str, Any] = server.call(tool, environmentId=environment, **arguments)["structuredContent"]
        return found

    first = run(shellCommand="echo kept > state.txt; echo 'it''s' \"{here}\"; echo bad >&2; exit 3")
    assert (first["stdout"], first["stderr"], first["exitCode"]) == ("its {here}\n", "bad\n", 3)
    second = run(execCommandAndArgs=["cat", "state.txt"])
    assert (second["stdout"], second["exitCode"]) == ("kept\n", 0)
    assert run(execCommandAndArgs=["echo", "$HOME; *"])["stdout"] == "$HOME; *\n"


def test_wrong_arguments_are_protocol_errors(servers: dict[str, Mcp]) -> None:
    server = servers["shell"]
    environment = server.launch("launchShell")
    wrong: list[dict[str, Any]] = [
        {"name": "runPythonCodeInRemoteEnvironment", "arguments": {"environmentId": environment}},
        {"name": "runShellCommandInRemoteEnvironment", "arguments": {"shellCommand": "true"}},
        {"name": "runShellCommandInRemoteEnvironment", "arguments": {"environmentId": environment}},
        {
            "name": "runShellCommandInRemoteEnvironment",
            "arguments": {"environmentId": environment, "shellCommand": "a", "execCommandAndArgs": ["b"]},
        },
        {
            "name": "runShellCommandInRemoteEnvironment",
            "arguments": {"environmentId": environment, "execCommandAndArgs": [1]},
        },
        {"name": "launchShell", "arguments": "x"},
        {},
    ]
    assert [server.ask("tools/call", params)["error"]["code"] for params in wrong] == [-32602] * len(wrong)


def test_an_expired_environment_tells_to_launch_again_and_allocates_nothing(
    running: tuple[Emulator, dict[str, Mcp]], servers: dict[str, Mcp]
) -> None:
    started, server = running[0], servers["python"]
    environment = server.launch("launchPythonEnvironment")
    started.advance(301)
    result = server.call("runPythonCodeInRemoteEnvironment", environmentId=environment, pythonCode="1")
    assert result["isError"] is True
    assert "launchPythonEnvironment" in result["content"][0]["text"]
    assert started.ask("GET", "/sessions")["sessions"] == []


def test_an_environment_id_obeys_the_identifiers_length(servers: dict[str, Mcp]) -> None:
    result = servers["shell"].call("runShellCommandInRemoteEnvironment", environmentId="1", shellCommand="ls")
    assert result["isError"] is True
    assert "InvalidLengthOfSessionIdentifier" in result["content"][0]["text"]


def test_a_full_pool_is_a_tool_error(servers: dict[str, Mcp]) -> None:
    for _ in range(4):
        servers["shell"].launch("launchShell")
    result = servers["shell"].call("launchShell")
    assert result["isError"] is True
    assert "SessionsCountExceedsLimit" in result["content"][0]["text"]


def test_an_environment_is_a_session_of_the_data_plane(
    running: tuple[Emulator, dict[str, Mcp]], servers: dict[str, Mcp]
) -> None:
    environment = servers["python"].launch("launchPythonEnvironment")
    server = servers["python"]
    server.call("runPythonCodeInRemoteEnvironment", environmentId=environment, pythonCode="seen = 5")
    assert running[0].value("python", environment, "seen") == 5


def test_keys_are_checked(running: tuple[Emulator, dict[str, Mcp]], servers: dict[str, Mcp]) -> None:
    started, server = running[0], servers["python"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert server.post(ping).status_code == 200
    for headers in (
        {"x-ms-apikey": "wrong"},
        {"x-ms-apikey": servers["shell"].key},
        {"x-ms-apikey": "", "Authorization": f"Bearer {started.token}"},
    ):
        answer = server.post(ping, **headers)
        assert (answer.status_code, answer.content) == (401, b"")
        assert "x-ms-apikey" in answer.headers["x-emulator-reason"]
    with_key = started.send(
        "GET", "python", "/session", headers={"Authorization": None, "x-ms-apikey": server.key}
    )
    assert with_key.status_code == 401, "a key of the MCP server opens nothing else"


def test_a_pool_without_mcp_says_so(running: tuple[Emulator, dict[str, Mcp]]) -> None:
    answer = running[0].send("POST", "off", "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "SessionMCPServerNotEnabled"
    assert answer.json()["error"]["message"] == "Session pool 'off' does not have MCP Server enabled."


def test_no_event_stream_and_no_session_to_delete(servers: dict[str, Mcp]) -> None:
    for method in ("GET", "DELETE"):
        headers = {"x-ms-apikey": servers["python"].key, "Accept": "text/event-stream"}
        answer = requests.request(method, servers["python"].url, headers=headers, timeout=30)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_what_is_no_json_rpc(servers: dict[str, Mcp]) -> None:
    server = servers["python"]
    assert server.post(b"{").json()["error"]["code"] == -32700
    wrong: list[Any] = [{}, 5, {"jsonrpc": "1.0", "id": 1, "method": "ping"}, [], {"jsonrpc": "2.0", "id": 1}]
    for message in wrong:
        answer = server.post(message)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600), message
    assert server.ask("ping", [1])["error"]["code"] == -32602


def test_a_batch(servers: dict[str, Mcp]) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "nothing"},
    ]
    answers = servers["python"].post(batch).json()
    assert [(one["id"], "result" in one) for one in answers] == [(1, True), (2, False)]
    assert servers["python"].post([batch[1]]).status_code == 202


def test_keys_are_masked_in_the_journal(
    running: tuple[Emulator, dict[str, Mcp]], servers: dict[str, Mcp]
) -> None:
    servers["python"].ask("ping")
    journal = requests.get(f"{running[0].admin}/requests", timeout=30).text
    assert "/mcp" in journal
    assert servers["python"].key not in journal


def test_what_a_tool_could_not_do_is_an_event_though_the_answer_is_200(
    running: tuple[Emulator, dict[str, Mcp]], servers: dict[str, Mcp]
) -> None:
    arguments = {"environmentId": "never-launched", "pythonCode": "1"}
    assert servers["python"].call("runPythonCodeInRemoteEnvironment", **arguments)["isError"] is True
    wrong = Mcp(running[0], "python", "not-the-key").post({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert wrong.status_code == 401
    told = [one for one in running[0].ask("GET", "/events")["events"] if one["kind"] == "request.refused"]
    assert [one["detail"]["status"] for one in told] == [404, 401]
    assert "does not exist or has expired" in told[0]["cause"]
    assert "no key of pool python" in told[1]["cause"]
