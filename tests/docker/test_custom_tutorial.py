"""The custom container tutorial: its image on our base, its pool, its requests."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.conftest import Serve
from tests.docker.engine import FIXTURES, Lab, eventually
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
VERSION = "api-version=2024-10-02-preview"
NANOSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
USERS = [
    {"name": "Ada", "email": "ada@example.org"},
    {"name": "Nobody", "email": "unknown"},
    {"name": "Grace", "email": "grace@example.org"},
]


@pytest.fixture(scope="module")
def emulator(lab: Lab, javascript_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    template = {
        "containers": [
            {"name": "main", "image": javascript_image, "resources": {"cpu": 0.5, "memory": "1Gi"}}
        ],
        "ingress": {"targetPort": 6000},
    }
    custom = pool(
        "js-custom-container-session-pool",
        "CustomContainer",
        cooldown=360,
        max_sessions=5,
        egress=True,
        template=template,
    )
    with lab.emulator(tmp_path_factory.mktemp("custom-tutorial"), pools=[custom]) as started:
        yield started


def execute(emulator: Emulator, identifier: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = emulator.send(
        "POST",
        "js-custom-container-session-pool",
        f"/executions?{VERSION}&identifier={identifier}",
        data=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_code_alone_is_enough(emulator: Emulator) -> None:
    found = execute(emulator, "test", {"code": 'console.log("hello world")'})
    assert found["status"] == "Succeeded", found
    assert found["result"]["stdout"] == "hello world\n"
    assert found["executionType"] == "Synchronous"


def test_the_container_is_the_documents(emulator: Emulator, lab: Lab) -> None:
    execute(emulator, "limits", {"code": "1"})
    (session,) = [
        one for one in emulator.ask("GET", "/sessions")["sessions"] if one["identifier"] == "limits"
    ]
    instance = emulator.ask("GET", "/status")["instance"]
    host = lab.container(instance, session["guid"]).attrs["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["Init"]) == (500_000_000, 1 << 30, True)
    assert session["address"].endswith(":6000")


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_a_script_is_uploaded_run_and_its_output_fetched(emulator: Emulator, host_server: Serve) -> None:
    name, who = "js-custom-container-session-pool", f"{VERSION}&identifier=session-test"
    script = FIXTURES / "javascript" / "sample-js-code.js"
    with script.open("rb") as file:
        answer = emulator.send("POST", name, f"/files?{who}", files={"file": file})
    assert answer.status_code == 200, answer.text
    uploaded = answer.json()
    assert NANOSECONDS.fullmatch(uploaded.pop("lastModifiedAt"))
    assert uploaded == {
        "name": "sample-js-code.js",
        "sizeInBytes": script.stat().st_size,
        "contentType": "text/javascript; charset=utf-8",
        "type": "File",
    }

    url = host_server(json.dumps(USERS).encode())
    execute(emulator, "session-test", {"code": f"var usersUrl = {json.dumps(url)}"})
    runner = base64.b64encode((FIXTURES / "javascript" / "run-js-script.js").read_bytes()).decode()
    found = execute(
        emulator,
        "session-test",
        {"code": runner, "executionType": "Synchronous", "codeInputType": "InlineBase64"},
    )
    assert shape(found) == {
        "id": "str",
        "identifier": "str",
        "sessionId": "str",
        "executionType": "str",
        "status": "str",
        "result": {
            "stdout": "str",
            "stderr": "str",
            "executionResult": "str",
            "executionTimeInMilliseconds": "number",
        },
        "rawResult": {
            "hresult": "number",
            "result": "str",
            "error_name": "str",
            "error_message": "str",
            "error_stack_trace": "str",
            "stdout": "str",
            "stderr": "str",
            "diagnosticInfo": {
                "executionRequestTimeInMilliSeconds": "number",
                "executionProcessResponseTimeInMilliSeconds": "number",
                "executionDuration": "number",
                "identifier": "str",
            },
            "operationId": "str",
        },
    }
    assert (found["status"], found["executionType"]) == ("Succeeded", "Synchronous")
    assert found["identifier"] == found["sessionId"] == "session-test"
    assert found["rawResult"]["operationId"] == found["id"]
    assert found["rawResult"]["diagnosticInfo"]["identifier"] == "session-test"

    # The script goes on after its execution has been answered, as in the tutorial.
    described = eventually(
        lambda: (
            one
            if (one := emulator.send("GET", name, f"/files/filtered_users.json?{who}")).status_code == 200
            and one.json()["sizeInBytes"]
            else None
        ),
        "the script wrote filtered_users.json",
    ).json()
    content = emulator.send("GET", name, f"/files/filtered_users.json/content?{who}")
    assert json.loads(content.content) == [USERS[0], USERS[2]]
    assert content.headers["content-type"].startswith("application/json")
    assert NANOSECONDS.fullmatch(described.pop("lastModifiedAt"))
    assert described == {
        "name": "filtered_users.json",
        "sizeInBytes": len(content.content),
        "contentType": "application/json",
        "type": "File",
    }


def test_the_file_that_is_not_there_is_a_404_of_the_containers(emulator: Emulator) -> None:
    answer = emulator.send(
        "GET", "js-custom-container-session-pool", f"/files/missing.json?{VERSION}&identifier=session-test"
    )
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "FileNotFound"


def test_the_samples_cleanup_of_variables(emulator: Emulator) -> None:
    """The tutorial's gotcha: `const` stays for the whole session, `var` can be declared again."""
    assert execute(emulator, "gotcha", {"code": "const foo = 1; var bar = 1"})["status"] == "Succeeded"
    again = execute(emulator, "gotcha", {"code": "const foo = 1"})
    assert again["status"] == "Failed" and "foo" in again["result"]["stderr"]
    assert execute(emulator, "gotcha", {"code": "var bar = 2"})["status"] == "Succeeded"
    assert execute(emulator, "another", {"code": "const foo = 1"})["status"] == "Succeeded"
