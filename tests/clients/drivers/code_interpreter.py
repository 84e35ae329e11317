"""azure-dynamic-sessions-code-interpreter's CodeInterpreterTool."""

import json
import os
from io import BytesIO

from azure_dynamic_sessions_code_interpreter import CodeInterpreterTool

said = {}
tool = CodeInterpreterTool(
    pool_management_endpoint=os.environ["POOL_ENDPOINT"], session_id=os.environ["SESSION"]
)
said["print"] = tool.execute("print(6*7)")
said["sum"] = tool.execute("1 + 1")
said["failed"] = tool.execute("import sys; print('to stderr', file=sys.stderr); int('x')")
up = tool.upload_file(data=BytesIO(b"12345"), remote_file_path="in.txt")
said["uploaded"] = [up.filename, up.size_in_bytes]
tool.execute("open('/mnt/data/out.txt', 'w').write(open('/mnt/data/in.txt').read() * 2)")
said["listed"] = sorted([file.filename, file.size_in_bytes] for file in tool.list_files())
said["downloaded"] = tool.download_file(remote_file_path="out.txt").read().decode()
print(json.dumps(said))
