"""Recorded requests and published examples, answered with a body of the same shape.

The recordings are the az CLI's own, made against the service in May and November 2024; the examples are
those of the OpenAPI file of 2025-10-02-preview. What a client could depend on is compared literally
(casing, words, texts that follow from the request), the rest by type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.conformance.match import DIGITS, GUID, MILLISECONDS, MOMENT, Having, Holds, Like, optional
from emulator.conformance.row import FRESH, NEWEST, SHARED, Exchange, Expect, Provenance, Row, Send, row
from emulator.conformance.rows.parts import LABEL, form, part

RECORDED, DOCUMENTED = Provenance.RECORDED, Provenance.DOCUMENTED
NOVEMBER, MAY = "2024-10-02-preview", "2024-02-02-preview"
HELLO = {
    "codeInputType": "inline",
    "executionType": "synchronous",
    "code": 'print("Hello world")',
    "timeoutInSeconds": 60,
}
TIMES = {
    "mise-correlation-id": GUID,
    "x-ms-allocation-retries": DIGITS,
    "x-ms-allocation-time": MILLISECONDS,
    "x-ms-container-execution-duration": DIGITS,
    "x-ms-execution-read-response-time": MILLISECONDS,
    "x-ms-execution-request-time": DIGITS,
    "x-ms-overall-execution-time": MILLISECONDS,
    "x-ms-preparation-time": MILLISECONDS,
    "x-ms-session-guid": GUID,
    "x-ms-total-execution-service-time": MILLISECONDS,
}
FILE = {"contentType": "text/plain; charset=utf-8", "sizeInBytes": 7, "lastModifiedAt": MOMENT}
UPLOAD = {
    "query": {"path": ""},
    "body": form(part(name="cert.txt", kind=None)),
    "headers": {"Content-Type": LABEL},
}


def rows(container_type: str) -> Iterator[Row]:
    if container_type == "PythonLTS":
        yield from _november()
        yield from _may()
        yield from _values()
        yield from _asynchronous()
    if container_type == "Shell":
        yield from _shell()
    yield from _sessions()


def _november() -> Iterator[Row]:
    result = {
        "$id": "2",
        "stdout": "Hello world\n",
        "stderr": "",
        "executionResult": "",
        "executionTimeInMilliseconds": Like(7),
    }
    yield row(
        "recorded.2024-11.execute",
        "az containerapp session code-interpreter execute",
        RECORDED,
        Exchange(
            Send("POST", "/executions", NOVEMBER, json=HELLO),
            Expect(
                202,
                {
                    "$id": "1",
                    "id": GUID,
                    "identifier": SHARED,
                    "executionType": "synchronous",
                    "status": "Succeeded",
                    "result": result,
                },
                headers={"api-supported-versions": NOVEMBER, **TIMES},
            ),
        ),
    )
    upload = Send("POST", "/files", NOVEMBER, FRESH, **UPLOAD)  # type: ignore[arg-type]
    yield row(
        "recorded.2024-11.files",
        "upload-file, list-files, show-file-content, show-file-metadata, delete-file",
        RECORDED,
        Exchange(
            upload,
            Expect(
                200,
                {"$id": "1", "name": "cert.txt", **FILE, "type": "", "contentType": ""},
                headers={"api-supported-versions": NOVEMBER, "mise-correlation-id": GUID},
            ),
        ),
        Exchange(
            Send("GET", "/files", NOVEMBER, FRESH, query={"path": ""}),
            Expect(200, {"$id": "1", "value": [{"$id": "2", "name": "cert.txt", "type": "file", **FILE}]}),
        ),
        Exchange(
            Send("GET", "/files/cert.txt/content", NOVEMBER, FRESH, query={"path": ""}),
            Expect(
                200,
                raw=b"testing",
                headers={"content-type": "application/octet-stream", "content-length": "7"},
            ),
        ),
        Exchange(
            Send("GET", "/files/cert.txt", NOVEMBER, FRESH, query={"path": ""}),
            Expect(200, {"$id": "1", "name": "cert.txt", "sizeInBytes": 7, "lastModifiedAt": MOMENT}),
        ),
        Exchange(
            Send("DELETE", "/files/cert.txt", NOVEMBER, FRESH, query={"path": ""}), Expect(204, raw=b"")
        ),
    )


def _may() -> Iterator[Row]:
    # The recording has no executionResult beside result; the JavaScript tutorial has it instead of result.
    properties = {
        "$id": "2",
        "status": "Success",
        "stdout": "Hello world\n",
        "stderr": "",
        "result": "",
        "executionResult": optional(""),
        "executionTimeInMilliseconds": Like(35),
    }
    yield row(
        "recorded.2024-05.execute",
        "the same command before the flat family",
        RECORDED,
        Exchange(
            Send("POST", "/code/execute", MAY, json={"properties": {**HELLO, "identifier": SHARED}}),
            Expect(
                200, {"$id": "1", "properties": properties}, headers={"api-supported-versions": None, **TIMES}
            ),
        ),
    )
    listed = {
        "$id": "1",
        "value": [
            {
                "$id": "2",
                "properties": {"$id": "3", "filename": "cert.txt", "size": 7, "lastModifiedTime": MOMENT},
            }
        ],
    }
    yield row(
        "recorded.2024-05.files",
        "list-files and show-file-content before the flat family",
        RECORDED,
        Exchange(Send("POST", "/files/upload", MAY, FRESH, **UPLOAD), Expect(200, listed)),  # type: ignore[arg-type]
        Exchange(Send("GET", "/files", MAY, FRESH, query={"path": ""}), Expect(200, listed)),
        Exchange(
            Send("GET", "/files/content/cert.txt", MAY, FRESH),
            Expect(
                200,
                raw=b"testing",
                headers={"content-type": "application/octet-stream", "content-length": "7"},
            ),
        ),
    )


def _example(name: str, send: Send, status: int, body: dict[str, Any]) -> Row:
    headers = {"operation-id": GUID, "operation-location": optional(Like("uri"))}
    return row(
        f"example.{name}",
        "the OpenAPI file's example of that name",
        DOCUMENTED,
        Exchange(send, Expect(status, body, headers=headers)),
    )


def _values() -> Iterator[Row]:
    nan, none, text = "a = float('nan');a", "a = None;a", 'a = "nan";a'
    for name, code, jupyter, result in (
        ("Sync", "print(7*9)", False, ""),
        ("Result_NaN", nan, False, None),
        ("Result_NaN_JupyterFormat", nan, True, "nan"),
        ("Result_None_JupyterFormat", none, True, None),
        ("Result_StringNaN", text, False, "nan"),
        ("Result_StringNaN_JupyterFormat", text, True, "'nan'"),
    ):
        request: dict[str, Any] = {
            "codeInputType": "Inline",
            "executionType": "Synchronous",
            "code": code,
            "timeoutInSeconds": 60,
        }
        if name != "Sync":
            request["outputStreamsMaxLength"] = 4096
        if jupyter:
            request["returnJupyterFormat"] = True
        body = {
            "id": GUID,
            "identifier": SHARED,
            "executionType": "Synchronous",
            "status": "Succeeded",
            "result": {
                "stdout": "63\n" if name == "Sync" else "",  # upstream has "63/n", a slip of theirs
                "stderr": "",
                "executionTimeInMilliseconds": Like(4),
                "executionResult": result,
            },
        }
        yield _example(
            f"CodeExecution_Execute_{name}", Send("POST", "/executions", NEWEST, json=request), 200, body
        )


def _asynchronous() -> Iterator[Row]:
    request = {
        "codeInputType": "Inline",
        "executionType": "Asynchronous",
        "code": "import time; time.sleep(1); print(7*9)",
        "timeoutInSeconds": 60,
    }
    running = {
        "id": "testExecutionId-«row»",
        "identifier": SHARED,
        "executionType": "Asynchronous",
        "status": "Running",
    }
    headers = {"operation-id": "testExecutionId-«row»", "Operation-Location": Like("uri")}
    yield row(
        "example.CodeExecution_Execute_Async_Running",
        "and CodeExecution_Get_Running: the caller's own operation-id",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/executions",
                NEWEST,
                json=request,
                headers={"operation-id": "testExecutionId-«row»"},
            ),
            # The example says 200, its own older edition and the samples 202.
            Expect(202, running, headers=headers),
        ),
        Exchange(Send("GET", "/executions/testExecutionId-«row»"), Expect(200, running)),
    )


def _shell() -> Iterator[Row]:
    def body(stdout: str) -> dict[str, Any]:
        result = {"stdout": stdout, "stderr": "", "executionTimeInMilliseconds": Like(2)}
        return {"id": GUID, "identifier": SHARED, "status": "0", "result": result}

    request = {
        "codeInputType": "Inline",
        "executionType": "Synchronous",
        "stdin": "testinputlineline",
        "shellCommand": 'read LINE;first_input="$LINE";echo first_input:$first_input',
        "outputStreamsMaxLength": 4096,
        "timeoutInSeconds": 600,
    }
    yield _example(
        "CodeExecution_Execute_ShellCommand",
        Send("POST", "/executions", json=request),
        200,
        {**body("first_input:testinputlineline\n"), "executionType": "Synchronous"},
    )
    listing = {"execCommandAndArgs": ["ls", "-a"], "outputStreamsMaxLength": 4096, "timeoutInSeconds": 600}
    upload = Send(
        "POST",
        "/files",
        NEWEST,
        FRESH,
        body=form(part(name="previouslyuploadedfile.txt")),
        headers={"Content-Type": LABEL},
    )
    yield row(
        "example.CodeExecution_Execute_ShellExecCommandAndArgs",
        "the OpenAPI file's example of that name; no executionType in, none out",
        DOCUMENTED,
        Exchange(upload, Expect(200)),
        Exchange(
            Send("POST", "/executions", NEWEST, FRESH, json=listing),
            Expect(200, {**body(".\n..\npreviouslyuploadedfile.txt\n"), "identifier": FRESH}),
        ),
    )


def _sessions() -> Iterator[Row]:
    touched = Exchange(Send("GET", "/files", identifier=FRESH), Expect(200))
    session = {
        "identifier": FRESH,
        "expireAt": Like("2025-01-05T22:18:41.752Z"),
        "createdAt": Like("2025-01-21T03:38:05.232Z"),
        "lastAccessedAt": Like("2025-01-21T03:38:05.232Z"),
        "etag": Like("9334cb07-aafd-45a0-90bd-448080a91f57"),
    }
    yield row(
        "example.Session",
        "ListSessions_Get, SessionManagement_Get, SessionManagement_Delete",
        DOCUMENTED,
        touched,
        Exchange(
            Send("GET", "/listSessions", identifier=None, query={"offset": "0", "limit": "100"}),
            Expect(200, Holds({"sessions": Having(session)})),
        ),
        Exchange(Send("GET", "/session", identifier=FRESH), Expect(200, session)),
        Exchange(Send("DELETE", "/session", identifier=FRESH), Expect(204, raw=b"")),
    )
    yield row(
        "example.SessionPoolManagement_StopSession",
        "the OpenAPI file's example of that name",
        DOCUMENTED,
        touched,
        Exchange(Send("POST", "/.management/stopSession", identifier=FRESH), Expect(200)),
    )
    package = {"name": "axios", "version": "1.21.2"}
    kernel = {"name": "", "version": "", "projectUrl": "", "description": ""}
    yield row(
        "example.SessionPoolMetadata_Get",
        "the OpenAPI file's example of that name",
        DOCUMENTED,
        Exchange(
            Send("GET", "/metadata", identifier=None),
            Expect(
                200,
                {
                    "runtimes": Like([package]),
                    "preInstalledPackages": Like([package]),
                    "createdAt": Like(""),
                    "lastUpdatedAt": Like(""),
                    "jupyterKernel": optional(Like(kernel)),
                },
            ),
        ),
    )
    yield row(
        "example.SessionResourceFiles_Get",
        "the OpenAPI file's example of that name",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/files",
                query={"path": "test-directory"},
                identifier=FRESH,
                body=form(part(b"a: 1", name="testfile.yaml")),
                headers={"Content-Type": LABEL},
            ),
            Expect(200),
        ),
        Exchange(
            Send("GET", "/files/testfile.yaml", identifier=FRESH, query={"path": "test-directory"}),
            Expect(
                200,
                {
                    "name": "testfile.yaml",
                    "type": "file",
                    "contentType": "application/yaml",
                    "sizeInBytes": 4,
                    "lastModifiedAt": MOMENT,
                    "directory": optional(Like("")),
                },
            ),
        ),
    )
