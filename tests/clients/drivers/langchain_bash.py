"""SessionsBashTool on a Shell pool, then the deepagents backend of the same package."""

import json
import os
from dataclasses import asdict
from io import BytesIO

from langchain_azure_dynamic_sessions import SessionsBashTool
from langchain_azure_dynamic_sessions.backends import SessionsBashBackend

endpoint, session = os.environ["SHELL_ENDPOINT"], os.environ["SESSION"]
said = {}
tool = SessionsBashTool(pool_management_endpoint=endpoint, session_id=session)
said["echo"] = json.loads(tool.invoke("echo $((6*7))"))
said["failed"] = json.loads(tool.invoke("echo gone >&2; exit 7"))
up = tool.upload_file(data=BytesIO(b"one\ntwo\n"), remote_file_path="in.txt")
said["uploaded"] = [up.filename, up.size_in_bytes]
tool.invoke("tr a-z A-Z </mnt/data/in.txt >/mnt/data/out.txt")
said["listed"] = sorted([file.filename, file.size_in_bytes] for file in tool.list_files())
said["downloaded"] = tool.download_file(remote_file_path="out.txt").read().decode()

backend = SessionsBashBackend(endpoint, session_id=session)
done = backend.execute("cat /mnt/data/out.txt; false")
said["backend"] = [done.output, done.exit_code, done.truncated]
written = backend.write("/mnt/data/deep/notes.txt", "alpha\nbeta\ngamma\n")
said["written"] = asdict(written)
said["again"] = asdict(backend.write("/mnt/data/deep/notes.txt", "other"))
said["read"] = backend.read("/mnt/data/deep/notes.txt", offset=1, limit=1)
said["edited"] = asdict(backend.edit("/mnt/data/deep/notes.txt", "beta", "BETA 'quoted'"))
said["after edit"] = backend.read("/mnt/data/deep/notes.txt")
said["ls"] = backend.ls_info("/mnt/data")
said["glob"] = backend.glob_info("*.txt", "/mnt/data/deep")
said["grep"] = asdict(backend.grep("gamma", "/mnt/data/deep"))
sent = backend.upload_files([("/mnt/data/up.bin", bytes(range(256)))])
said["sent"] = [[file.path, file.error] for file in sent]
got = backend.download_files(["/mnt/data/up.bin"])
said["got"] = [[file.path, list(file.content or b"") == list(range(256)), file.error] for file in got]
print(json.dumps(said, default=str))
