"""ACADynamicSessionsCodeExecutor: its first call probes pkg_resources and changes to /mnt/data."""

import asyncio
import json
import os
from pathlib import Path

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.azure import ACADynamicSessionsCodeExecutor
from azure.identity import DefaultAzureCredential


async def main() -> None:
    said, stop = {}, CancellationToken()
    work = Path.cwd()
    executor = ACADynamicSessionsCodeExecutor(
        pool_management_endpoint=os.environ["POOL_ENDPOINT"],
        credential=DefaultAzureCredential(),
        work_dir=work,
        session_id=os.environ["SESSION"],
    )

    async def run(code: str) -> list[object]:
        done = await executor.execute_code_blocks([CodeBlock(code=code, language="python")], stop)
        return [done.exit_code, done.output]

    said["print"] = await run("print(6*7)")
    said["packages"] = sorted(await executor.get_available_packages(stop))
    said["folder"] = await run("import os; print(os.getcwd())")
    said["failed"] = await run("print('before'); raise ValueError('on purpose')")
    (work / "in put.txt").write_text("from here")
    await executor.upload_files(["in put.txt"], stop)
    said["seen inside"] = await run("print(open('in put.txt').read())")
    await run("open('made.txt', 'w').write('from there')")
    said["files"] = sorted(await executor.get_file_list(stop))
    (work / "in put.txt").unlink()
    await executor.download_files(["made.txt", "in put.txt"], stop)
    said["downloaded"] = [(work / "made.txt").read_text(), (work / "in put.txt").read_text()]
    await run("kept = 1")
    await executor.restart()
    said["after restart"] = await run("print('kept' in globals())")
    print(json.dumps(said))


asyncio.run(main())
