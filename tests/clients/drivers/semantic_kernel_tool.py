"""SessionsPythonTool with its own HTTP client: HTTPS only, 5 s for every answer, a cold start included."""

import asyncio
import json
import os
from pathlib import Path

from azure.identity import DefaultAzureCredential
from semantic_kernel.core_plugins.sessions_python_tool import SessionsPythonSettings, SessionsPythonTool
from semantic_kernel.exceptions import FunctionExecutionException


async def main() -> None:
    said, folder = {}, Path.cwd()
    credential = DefaultAzureCredential()

    def make(**options: object) -> SessionsPythonTool:
        return SessionsPythonTool(
            pool_management_endpoint=os.environ["POOL_ENDPOINT_HTTPS"],
            settings=SessionsPythonSettings(session_id=os.environ["SESSION"]),
            enable_dangerous_file_uploads=True,
            allowed_upload_directories={str(folder)},
            allowed_download_directories={str(folder)},
            **options,
        )

    tool = make(auth_callback=lambda: credential.get_token("https://acasessions.io/.default").token)
    said["print"] = await tool.execute_code("print(6*7)")
    said["value"] = await tool.execute_code("[1, 2]")
    try:
        said["failed"] = await tool.execute_code("1/0")
    except FunctionExecutionException as error:
        said["failed"] = str(error)
    (folder / "two.txt").write_text("sent after an execution")
    up = await tool.upload_file(local_file_path=str(folder / "two.txt"), remote_file_path="two.txt")
    said["uploaded"] = [up.filename, up.size_in_bytes, up.full_path]
    said["seen inside"] = await tool.execute_code("print(open('/mnt/data/two.txt').read())")
    said["listed"] = [[file.filename, file.size_in_bytes] for file in await tool.list_files()]
    back = await tool.download_file(remote_file_name="two.txt")
    said["downloaded"] = back.read().decode()
    held = make(credential=credential)
    said["by credential"] = await held.execute_code("print('again')")
    print(json.dumps(said))


asyncio.run(main())
