"""The tools of a pool's MCP server. An environment is a session, its id the session's identifier."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.errors import ServiceError
from emulator.http.answers import tell
from emulator.http.context import Call, check_identifier
from emulator.http.interpreter import run_in
from emulator.http.versions import Execution
from emulator.resources.model import ContainerType

Arguments = Mapping[str, Any]


class WrongArguments(Exception):
    """A tool was called with arguments it does not take; the message says which."""


class EnvironmentGone(ServiceError):
    """An environment that expired or never was; documented: launch another one."""

    status, code = 404, "EnvironmentNotFound"


@dataclass(frozen=True)
class Tool:
    """One tool: what `tools/list` says of it, and what a call does."""

    name: str
    description: str
    properties: Mapping[str, Any]
    required: tuple[str, ...]
    act: Callable[[Call, Arguments], Awaitable[dict[str, Any]]]

    def listed(self) -> dict[str, Any]:
        schema = {"type": "object", "properties": dict(self.properties), "required": list(self.required)}
        return {"name": self.name, "description": self.description, "inputSchema": schema}

    async def call(self, call: Call, arguments: Arguments) -> dict[str, Any]:
        """The result of `tools/call`; what cannot be run is a result with `isError`, as MCP wants it.

        Raises `WrongArguments`.
        """
        for name in self.required:
            if not isinstance(arguments.get(name), str):
                raise WrongArguments(f"The tool '{self.name}' needs the argument '{name}', a string.")
        try:
            structured = await self.act(call, arguments)
        except ServiceError as error:
            tell(error, call.plane.events)  # as the answer itself is none of HTTP's errors
            return {"content": _text(f"{error.code}: {error}"), "isError": True}
        return {"content": _text(json.dumps(structured)), "structuredContent": structured, "isError": False}


def tools_of(container_type: ContainerType) -> tuple[Tool, ...]:
    """The tools a pool of this type has; none for types without an MCP server."""
    return _TOOLS.get(container_type, ())


async def _launch(call: Call, _: Arguments) -> dict[str, Any]:
    environment = str(uuid.uuid4())
    async with call.session(environment):
        return {"environmentId": environment}


async def _python(call: Call, arguments: Arguments) -> dict[str, Any]:
    environment = _environment(call, arguments)
    run = await run_in(call, environment, {"code": arguments["pythonCode"]})
    return {
        "status": "Succeeded" if run.succeeded else "Failed",
        "stdout": run.stdout,
        "stderr": run.stderr,
        "executionResult": run.result,
        "executionTimeInMilliseconds": run.duration,
    }


async def _shell(call: Call, arguments: Arguments) -> dict[str, Any]:
    command, parts = arguments.get("shellCommand"), arguments.get("execCommandAndArgs")
    if (command is None) == (parts is None):
        raise WrongArguments("Give exactly one of 'shellCommand' and 'execCommandAndArgs'.")
    if command is not None and not isinstance(command, str):
        raise WrongArguments("'shellCommand' must be a string.")
    if parts is not None and not (_strings(parts) and parts):
        raise WrongArguments("'execCommandAndArgs' must be a non-empty array of strings.")
    environment = _environment(call, arguments)
    if call.pool.spec.container_type is ContainerType.SHELL:
        body = {"shellCommand": command} if command is not None else {"execCommandAndArgs": parts}
        return _command_result(await run_in(call, environment, body))
    argv = parts if parts is not None else ["/bin/bash", "-lc", command]
    return _command_result(await run_in(call, environment, {"code": _IN_PYTHON.format(argv=argv)}))


# A Python session has a kernel and no shell; one expression leaves no name behind in its namespace.
_IN_PYTHON = (
    "(lambda sys, done: (sys.stdout.write(done.stdout), sys.stderr.write(done.stderr), done.returncode)[2])("
    "__import__('sys'), __import__('subprocess').run({argv!r}, stdin=-3, capture_output=True, text=True, "
    "errors='replace'))"
)


def _command_result(run: Execution) -> dict[str, Any]:
    code = run.exit_code
    if code is None:
        code = run.result if run.succeeded and isinstance(run.result, int) else -1
    return {
        "exitCode": code,
        "stdout": run.stdout,
        "stderr": run.stderr,
        "executionTimeInMilliseconds": run.duration,
    }


def _environment(call: Call, arguments: Arguments) -> str:
    """The id of an environment that is there: running in one that has gone would silently lose its state."""
    environment = check_identifier(arguments["environmentId"], strict=call.plane.strict)
    if call.pool.find(environment) is None:
        launch = tools_of(call.pool.spec.container_type)[0].name
        raise EnvironmentGone(
            f"The environment '{environment}' does not exist or has expired. "
            f"Launch a new one with '{launch}' and use its environmentId."
        )
    return environment


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _text(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


_ID = {"type": "string", "description": "The environmentId of a launched environment."}
_LAUNCH_PYTHON = Tool(
    "launchPythonEnvironment",
    "Launches a Python environment and returns its environmentId.",
    {},
    (),
    _launch,
)
_LAUNCH_SHELL = Tool(
    "launchShell", "Launches a shell environment and returns its environmentId.", {}, (), _launch
)
_RUN_PYTHON = Tool(
    "runPythonCodeInRemoteEnvironment",
    "Runs Python code in a launched environment; variables and files stay for the next call.",
    {"environmentId": _ID, "pythonCode": {"type": "string", "description": "The Python code to run."}},
    ("environmentId", "pythonCode"),
    _python,
)
_RUN_SHELL = Tool(
    "runShellCommandInRemoteEnvironment",
    "Runs a command in a launched environment. Give either shellCommand or execCommandAndArgs.",
    {
        "environmentId": _ID,
        "shellCommand": {"type": "string", "description": "A command line for bash."},
        "execCommandAndArgs": {
            "type": "array",
            "items": {"type": "string"},
            "description": "A program and its arguments, run without a shell.",
        },
    },
    ("environmentId",),
    _shell,
)
# What each type lists is documented in two ways: Python pools with launchPythonEnvironment (older) and with
# launchShell and the shell command (newer). Both work.
_TOOLS = {
    ContainerType.PYTHON: (_LAUNCH_PYTHON, _RUN_PYTHON, _LAUNCH_SHELL, _RUN_SHELL),
    ContainerType.SHELL: (_LAUNCH_SHELL, _RUN_SHELL),
}
