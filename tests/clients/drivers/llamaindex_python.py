"""AzureCodeInterpreterToolSpec: no token argument, so DefaultAzureCredential; a figure goes to a file."""

import json
import os
from pathlib import Path

from llama_index.tools.azure_code_interpreter import AzureCodeInterpreterToolSpec

figures = Path("figures")
figures.mkdir()
said = {}
spec = AzureCodeInterpreterToolSpec(
    pool_management_endpoint=os.environ["POOL_ENDPOINT"],
    session_id=os.environ["SESSION"],
    local_save_path=str(figures),
)
said["print"] = spec.code_interpreter("print(6*7)")["properties"]
said["value"] = spec.code_interpreter("{'a': [1, 2.5, None]}")["properties"]["result"]
said["failed"] = spec.code_interpreter("undefined_name")["properties"]
Path("in.csv").write_text("a,b\n")
said["uploaded"] = [vars(file) for file in spec.upload_file(local_file_path="in.csv")]
said["seen inside"] = spec.code_interpreter("open('/mnt/data/in.csv').read()")["properties"]["result"]
said["listed"] = [vars(file) for file in spec.list_files()]
spec.download_file_to_local("/mnt/data/in.csv", "back.csv")
said["downloaded"] = Path("back.csv").read_text()
plot = "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [3, 4])\nplt.show()"
said["figure"] = spec.code_interpreter(plot)["properties"]["result"]
saved = list(figures.iterdir())
said["figure file"] = [
    [path.suffix, path.read_bytes()[:8].hex(), path.stat().st_size > 1000] for path in saved
]
print(json.dumps(said))
