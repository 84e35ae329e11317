"""The mcp SDK's client against two pools' MCP servers, with the key that the control plane hands out."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import httpx2
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def connect(endpoint, key):
    async with (
        httpx2.AsyncClient(headers={"x-ms-apikey": key}, timeout=60) as http,
        streamable_http_client(f"{endpoint}/mcp", http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        yield session, await session.initialize()


async def main():
    said = {}
    async with connect(os.environ["MCP_PYTHON"], os.environ["MCP_PYTHON_KEY"]) as (session, hello):
        said["hello"] = hello.model_dump(mode="json", by_alias=True)
        said["tools"] = [tool.name for tool in (await session.list_tools()).tools]

        async def call(tool, **arguments):
            return (await session.call_tool(tool, arguments)).model_dump(mode="json", by_alias=True)

        launched = await call("launchPythonEnvironment")
        where = launched["structuredContent"]["environmentId"]
        run = "runPythonCodeInRemoteEnvironment"
        said["print"] = await call(run, environmentId=where, pythonCode="x = 6 * 7\nprint(x)")
        said["kept"] = await call(run, environmentId=where, pythonCode="x + 1")
        said["shell"] = await call(
            "runShellCommandInRemoteEnvironment", environmentId=where, shellCommand="echo $((6*7)); exit 3"
        )
        said["unknown"] = await call(run, environmentId="never-launched", pythonCode="1")
    async with connect(os.environ["MCP_SHELL"], os.environ["MCP_SHELL_KEY"]) as (session, _):
        said["shell tools"] = [tool.name for tool in (await session.list_tools()).tools]
        where = (await session.call_tool("launchShell", {})).model_dump(by_alias=True)["structuredContent"]
        done = await session.call_tool(
            "runShellCommandInRemoteEnvironment", {**where, "shellCommand": "echo from the shell"}
        )
        said["in shell"] = done.model_dump(mode="json", by_alias=True)
    print(json.dumps(said))


asyncio.run(main())
