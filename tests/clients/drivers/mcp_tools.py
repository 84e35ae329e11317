"""The official MCP SDK on a pool's MCP server: negotiates, lists, launches, runs."""

import asyncio
import json
import os

from mcp import ClientSession
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

LAUNCH, RUN = os.environ["LAUNCH"], os.environ["RUN"]
STEPS = json.loads(os.environ["STEPS"])


async def main() -> None:
    said = {"answers": []}
    async with (
        create_mcp_http_client(headers={"x-ms-apikey": os.environ["MCP_KEY"]}) as http,
        streamable_http_client(os.environ["MCP_ENDPOINT"], http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        about = await session.initialize()
        said["protocol"], said["server"] = about.protocol_version, about.server_info.name
        await session.send_ping()
        said["tools"] = sorted(tool.name for tool in (await session.list_tools()).tools)
        launched = await session.call_tool(LAUNCH, {})
        environment = launched.structured_content["environmentId"]
        for step in STEPS:
            result = await session.call_tool(RUN, {"environmentId": environment, **step})
            said["answers"].append(result.structured_content)
        gone = await session.call_tool(RUN, {**STEPS[0], "environmentId": "never-launched"})
        said["gone"] = [gone.is_error, gone.content[0].text]
    print(json.dumps(said))


asyncio.run(main())
