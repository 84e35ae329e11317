"""langchain-azure-dynamic-sessions: the Python tool, the bash tool, the deepagents backend."""

from __future__ import annotations

import base64

import pytest

from tests.clients.conftest import Drive

pytestmark = [pytest.mark.engine, pytest.mark.clients]


def test_python_tool(drive: Drive) -> None:
    said = drive("langchain", "langchain_python.py")
    assert said["print"] == {"result": "", "stdout": "42\n", "stderr": ""}
    assert said["sum"] == {"result": 2, "stdout": "", "stderr": ""}
    assert said["artifact"]["status"] == "Failure"
    assert "ZeroDivisionError: division by zero" in said["artifact"]["stderr"]
    assert said["files before"] == []
    assert said["uploaded"] == ["a b+ü.csv", 8, "/mnt/data/a b+ü.csv"]
    assert said["listed"] == [["a b+ü.csv", 8], ["out.txt", 8]]
    assert said["downloaded"] == "A,B\n1,2\n"
    assert said["same name back"] == "a,b\n1,2\n"
    assert (said["figure"]["type"], said["figure"]["format"]) == ("image", "png")
    assert base64.b64decode(said["figure"]["base64_data"]).startswith(b"\x89PNG\r\n")
    assert said["kept"] == 1
    assert said["after close"] is False, "close() deletes the session"


def test_bash_tool_and_deepagents_backend(drive: Drive) -> None:
    said = drive("langchain", "langchain_bash.py")
    assert said["echo"] == {"stdout": "42\n", "stderr": "", "exitCode": 0}
    assert said["failed"] == {"stdout": "", "stderr": "gone\n", "exitCode": 7}
    assert said["uploaded"] == ["in.txt", 8]
    assert said["listed"] == [["in.txt", 8], ["out.txt", 8]]
    assert said["downloaded"] == "ONE\nTWO\n"
    assert said["backend"] == ["ONE\nTWO\n", 1, False]
    assert said["written"]["error"] is None
    assert "notes.txt" in said["again"]["error"], "what exists is not overwritten"
    assert "beta" in said["read"] and "alpha" not in said["read"]
    assert said["edited"]["occurrences"] == 1
    assert "BETA 'quoted'" in said["after edit"] and "gamma" in said["after edit"]
    assert {"path": "deep", "is_dir": True} in said["ls"]
    assert [entry["path"] for entry in said["glob"]] == ["notes.txt"]
    assert "gamma" in str(said["grep"])
    assert said["sent"] == [["/mnt/data/up.bin", None]]
    assert said["got"] == [["/mnt/data/up.bin", True, None]]
