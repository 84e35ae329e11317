"""SessionsPythonREPLTool as its own documentation uses it; the token comes from DefaultAzureCredential."""

import json
import os
import threading
from io import BytesIO

from langchain_azure_dynamic_sessions import SessionsPythonREPLTool

said = {}
tool = SessionsPythonREPLTool(
    pool_management_endpoint=os.environ["POOL_ENDPOINT"], session_id=os.environ["SESSION"]
)
said["print"] = json.loads(tool.invoke("print(6*7)"))
said["sum"] = json.loads(tool.invoke("1 + 1"))
said["artifact"] = tool.invoke(
    {"args": {"python_code": "1/0"}, "id": "1", "name": tool.name, "type": "tool_call"}
).artifact
said["files before"] = [file.filename for file in tool.list_files()]
up = tool.upload_file(data=BytesIO(b"a,b\n1,2\n"), remote_file_path="a b+ü.csv")
said["uploaded"] = [up.filename, up.size_in_bytes, up.full_path]
tool.execute("open('/mnt/data/out.txt', 'w').write(open('/mnt/data/a b+ü.csv').read().upper())")
said["listed"] = sorted([file.filename, file.size_in_bytes] for file in tool.list_files())
said["downloaded"] = tool.download_file(remote_file_path="out.txt").read().decode()
said["same name back"] = tool.download_file(remote_file_path="a b+ü.csv").read().decode()
figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()"
said["figure"] = tool.execute(figure)["result"]
tool.execute("x = 1")
slash = SessionsPythonREPLTool(
    pool_management_endpoint=os.environ["POOL_ENDPOINT"] + "/", session_id=os.environ["SESSION"]
)
said["kept"] = slash.execute("x")["result"]
tool.close()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(30)
said["after close"] = slash.execute("'x' in globals()")["result"]
print(json.dumps(said))
