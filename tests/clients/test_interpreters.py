"""autogen-ext, LlamaIndex in both languages, azure-dynamic-sessions-code-interpreter, semantic-kernel."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Drive

pytestmark = [pytest.mark.engine, pytest.mark.clients]

PNG = b"\x89PNG\r\n\x1a\n".hex()


def test_autogen(drive: Drive) -> None:
    said = drive("autogen", "autogen.py")
    assert said["print"] == [0, "42\n"]
    probed = " ".join(said["packages"])
    assert all(name in probed for name in ("ipykernel", "matplotlib", "numpy", "pandas", "setuptools"))
    assert said["folder"] == [0, "/mnt/data\n"]
    assert said["failed"][0] == 1
    assert "ValueError: on purpose" in said["failed"][1] and "before\n" in said["failed"][1]
    assert said["seen inside"] == [0, "from here\n"], "its chunked upload, its percent-encoded file name"
    assert said["files"] == ["in put.txt", "made.txt"]
    assert said["downloaded"] == ["from there", "from here"]
    assert said["after restart"] == [0, "False\n"]


def test_llamaindex_python(drive: Drive) -> None:
    said = drive("llamaindex", "llamaindex_python.py")
    assert (said["print"]["status"], said["print"]["stdout"], said["print"]["result"]) == (
        "Success",
        "42\n",
        "",
    )
    assert said["value"] == {"a": [1, 2.5, None]}
    assert said["failed"]["status"] == "Failure"
    assert "NameError: name 'undefined_name' is not defined" in said["failed"]["stderr"]
    expected = {"filename": "in.csv", "size_in_bytes": 4, "file_full_path": "/mnt/data/in.csv"}
    assert said["uploaded"] == [expected], "sent as /mnt/data/in.csv, kept as in.csv"
    assert said["listed"] == [expected]
    assert said["seen inside"] == said["downloaded"] == "a,b\n"
    assert said["figure"] == {"type": "image", "format": "png", "saved_to_local_path": True}
    assert said["figure file"] == [[".png", PNG, True]]


def test_azure_dynamic_sessions_code_interpreter(drive: Drive) -> None:
    said = drive("code-interpreter", "code_interpreter.py")
    assert (said["print"]["stdout"], said["print"]["result"]) == ("42\n", "")
    assert said["sum"]["result"] == 2
    assert said["failed"]["stderr"].startswith("to stderr\n") and "ValueError" in said["failed"]["stderr"]
    assert said["uploaded"] == ["in.txt", 5]
    assert said["listed"] == [["in.txt", 5], ["out.txt", 10]]
    assert said["downloaded"] == "1234512345"


def test_llamaindex_typescript(drive: Drive) -> None:
    said = drive("node", "llamaindex.mjs")
    assert {key: said["print"][key] for key in ("status", "stdout", "stderr", "result")} == {
        "status": "Success",
        "stdout": "42\n",
        "stderr": "",
        "result": "",
    }
    assert said["sum"] == "aaa"
    assert said["failed"]["status"] == "Failure" and "ZeroDivisionError" in said["failed"]["stderr"]
    assert (said["uploaded"]["filename"], said["uploaded"]["size"]) == ("ü 1.txt", 9)
    assert said["seen"] == "from node"
    assert said["listed"] == [["out.txt", 11], ["ü 1.txt", 9]]
    assert said["downloaded"] == "from python"
    assert said["figure"] == PNG


def test_semantic_kernel(drive: Drive) -> None:
    said = drive("semantic-kernel", "semantic_kernel_tool.py")
    assert said["print"] == "Status:\nSuccess\nResult:\n\nStdout:\n42\n\nStderr:\n"
    assert said["value"].startswith("Status:\nSuccess\nResult:\n[1, 2]\n")
    assert "Failure" in said["failed"] and "ZeroDivisionError" in said["failed"]
    assert said["uploaded"] == ["two.txt", 23, "/mnt/data/two.txt"], "a multipart body labelled JSON"
    assert "sent after an execution" in said["seen inside"]
    assert said["listed"] == [["two.txt", 23]]
    assert said["downloaded"] == "sent after an execution"
    assert "again" in said["by credential"]
