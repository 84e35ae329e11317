"""The JavaScript tutorials against a NodeLTS pool, request by request as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import Lab
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
PACKAGE = "axios"


@pytest.fixture(scope="module")
def emulator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("node", "NodeLTS", max_sessions=5, cooldown=300, egress=True)]
    with lab.emulator(tmp_path_factory.mktemp("tutorials"), pools=pools) as started:
        yield started


def execute(emulator: Emulator, identifier: str, **properties: Any) -> dict[str, Any]:
    """`POST …/code/execute` with the body of the tutorials; returns `properties` of the answer."""
    body = {
        "properties": {
            "identifier": identifier,
            "codeInputType": "inline",
            "executionType": "synchronous",
            "timeoutInSeconds": 100,
            **properties,
        }
    }
    answer = emulator.send(
        "POST",
        "node",
        f"/code/execute?identifier={identifier}",
        data=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["properties"]
    return found


def test_hello_world_answers_in_the_tutorials_shape(emulator: Emulator) -> None:
    answer = emulator.send(
        "POST",
        "node",
        "/code/execute?api-version=2024-02-02-preview&identifier=test",
        data="""
{
    "properties": {
        "codeInputType": "inline",
        "executionType": "synchronous",
        "code": "console.log(\\"hello-world\\")"
    }
}""",
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()["properties"]
    assert isinstance(found["executionTimeInMilliseconds"], int)
    shown = {key: found[key] for key in ("status", "stdout", "stderr", "executionResult")}
    assert shown == {"status": "Success", "stdout": "hello-world\n", "stderr": "", "executionResult": ""}


NPM = """console.time("time taken");
var result3 = require("child_process").spawnSync("npm", ARGUMENTS, { encoding: "utf-8" });
console.timeEnd("time taken");
if (result3.error) {
console.error(`Error: ${result3.error.message}`);
process.exit(1);
}
if (result3.status !== 0) {
console.error(`stderr: ${result3.stderr}`);
process.exit(result3.status);
}
console.log(`stdout: ${result3.stdout}`);
"""

LOCAL_PACKAGE = """
var fs3 = require("fs");
fs3.mkdirSync("/tmp/local-axios", {recursive: true});
fs3.writeFileSync("/tmp/local-axios/package.json", JSON.stringify({name: "axios", version: "1.0.0"}));
fs3.writeFileSync("/tmp/local-axios/index.js", "module.exports = {VERSION: '1.0.0'};");
"""


def test_a_package_is_installed_and_listed(emulator: Emulator) -> None:
    asked = 'require("child_process").spawnSync("npm", ["view", "axios", "version"]).status'
    there = execute(emulator, "npm-tutorial", code=asked)["executionResult"] == 0
    if not there:  # the request stays as it is; only where npm looks for the package differs
        execute(emulator, "npm-tutorial", code=LOCAL_PACKAGE)
    wanted = PACKAGE if there else "/tmp/local-axios"

    installed = execute(
        emulator, "npm-tutorial", code=NPM.replace("ARGUMENTS", json.dumps(["install", wanted]))
    )
    assert installed["status"] == "Success", installed
    assert "time taken: " in installed["stdout"] and "added " in installed["stdout"], installed

    listed = execute(emulator, "npm-tutorial", code=NPM.replace("ARGUMENTS", '["list"]'))
    assert listed["status"] == "Success", listed
    assert f"{PACKAGE}@" in listed["stdout"], listed
    found = execute(emulator, "npm-tutorial", code='typeof require("axios").VERSION')
    assert found["executionResult"] == "string", found


@pytest.mark.parametrize(
    ("kind", "code", "stdout", "value"),
    [
        ("inline", 'console.log("inline-synchronous")', "inline-synchronous\n", ""),
        ("inlinetext", "1+3", "", 4),
        ("InlineBase64", "MSsy", "", 3),
    ],
)
def test_code_comes_in_three_wrappings(
    emulator: Emulator, kind: str, code: str, stdout: str, value: object
) -> None:
    found = execute(emulator, "wrappings", codeInputType=kind, code=code)
    assert (found["status"], found["stdout"], found["executionResult"]) == ("Success", stdout, value)


WRITE_LATER = (
    '$$.async(); var fs2 = require("fs");\nvar path2 = require("path");\n\n'
    "// Define the file path and content\n"
    'var filePath2 = path.join("/mnt/data", "example.txt");\n'
    'var fileContent2 = "Hello, this is a sample content!";\n\n// Write the file\n'
    "fs2.writeFile(filePath2, fileContent2, (err) => {\nif (err) {\n"
    "console.log(`Error file creation  ${err.message}`);\n"
    "return console.error(`A problem occurred while writing the file: ${err.message}`);\n}\n"
    'console.log("File has been created and saved successfully!");\n});\n setTimeout($$.done, 10000)'
)


def test_a_file_written_asynchronously_is_downloaded(emulator: Emulator) -> None:
    # `path` is what Node's REPL context offers by that name, as in the tutorial, whose own variable is path2.
    found = execute(emulator, "files-tutorial", code=WRITE_LATER)
    assert found["status"] == "Success", found
    assert "File has been created and saved successfully!\n" in found["stdout"]
    answer = emulator.send("GET", "node", "/files/content/example.txt?identifier=files-tutorial")
    assert (answer.status_code, answer.content) == (200, b"Hello, this is a sample content!")


def test_a_file_is_uploaded(emulator: Emulator, tmp_path: Path) -> None:
    picture = bytes(range(256)) * 40
    (tmp_path / "sample.jpeg").write_bytes(picture)
    with (tmp_path / "sample.jpeg").open("rb") as file:
        answer = emulator.send(
            "POST", "node", "/files/upload?identifier=files-tutorial", files={"file": file}
        )
    assert answer.status_code == 200, answer.text
    assert "sample.jpeg" in answer.text
    back = emulator.send("GET", "node", "/files/content/sample.jpeg?identifier=files-tutorial")
    assert back.content == picture
    seen = execute(emulator, "files-tutorial", code='require("fs").statSync("/mnt/data/sample.jpeg").size')
    assert seen["executionResult"] == len(picture)


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ({}, 200),
        (None, 401),
        ("garbage", 401),
        ({"invalid": "expired"}, 401),
        ({"invalid": "audience"}, 401),
        ({"invalid": "signature"}, 401),
        ({"invalid": "nbf"}, 401),
        ({"role": "false"}, 403),
    ],
)
def test_a_session_is_for_those_with_the_role(emulator: Emulator, token: Any, status: int) -> None:
    bearer = emulator.new_token(**token) if isinstance(token, dict) else token
    answer = requests.post(
        emulator.endpoint("node") + "/code/execute?identifier=wrappings",
        json={"properties": {"codeInputType": "inline", "executionType": "synchronous", "code": "1"}},
        headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
        timeout=60,
    )
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.content == b""
