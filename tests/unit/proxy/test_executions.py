"""Running code: values, streams, failures, ids."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest

from tests.unit.proxy.harness import NEW, OLD, Proxy

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
FIGURE = {"type": "image", "format": "png", "base64_data": PNG}
IMAGES = f"import base64\nfrom IPython.display import Image, display\npng = base64.b64decode('{PNG}')\n"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 1", 2),
        ("2 ** 80", 2**80),
        ("1.5", 1.5),
        ("True", True),
        ("'a'", "a"),
        ("[1, 'a', None, 2.5]", [1, "a", None, 2.5]),
        ("{'a': {'b': [1]}}", {"a": {"b": [1]}}),
        ("float('nan')", None),
        ("[float('inf')]", [None]),
        ("None", ""),
        ("x = 3", ""),
        ("print('only printed')", ""),
        # What JSON cannot carry as it is stays text.
        ("(1, 2)", "(1, 2)"),
        ("{1: 2}", "{1: 2}"),
        ("{'a': (1,)}", "{'a': (1,)}"),
        ("b'x'", "b'x'"),
        ("{3}", "{3}"),
        ("l = []\nl.append(l)\nl", "[[...]]"),
        ("'\\ud800'", "?"),
    ],
)
def test_values_are_typed(proxy: Proxy, code: str, value: Any) -> None:
    result = proxy.value(code)
    assert result == value and type(result) is type(value)


def test_a_value_that_cannot_be_read_is_text(proxy: Proxy) -> None:
    code = "class L(list):\n def __iter__(self): raise RuntimeError\n def __repr__(self): return 'L!'\nL([1])"
    assert proxy.value(code) == "L!"


def test_typing_leaves_the_namespace_alone(proxy: Proxy) -> None:
    names = proxy.value(
        "sorted(n for n in globals() if 'proxy' in n.lower() or n in ('MIME', 'shell', 'carried'))"
    )
    assert names == []


def test_jupyter_format_is_the_kernels_own_text(proxy: Proxy) -> None:
    for field in ("returnJupyterFormatExecutionResult", "returnJupyterFormat"):
        assert proxy.value("float('nan')", **{field: True}) == "nan"
        assert proxy.value("'nan'", **{field: True}) == "'nan'"
        assert proxy.value("None", **{field: True}) is None


def test_the_whole_body(proxy: Proxy) -> None:
    answer = proxy.execute("print('hello world')")
    assert answer.status == 202
    body = answer.json
    milliseconds = body["result"]["executionTimeInMilliseconds"]
    assert isinstance(milliseconds, int)
    assert body == {
        "id": body["id"],
        "identifier": "test",
        "sessionId": "test",
        "executionType": "Synchronous",
        "status": "Succeeded",
        "result": {
            "stdout": "hello world\n",
            "stderr": "",
            "executionResult": "",
            "executionTimeInMilliseconds": milliseconds,
        },
        "rawResult": {
            "hresult": 0,
            "result": "",
            "error_name": "",
            "error_message": "",
            "error_stack_trace": "",
            "stdout": "hello world\n",
            "stderr": "",
            "diagnosticInfo": {
                "executionRequestTimeInMilliSeconds": milliseconds,
                "executionProcessResponseTimeInMilliSeconds": 0,
                "executionDuration": milliseconds,
                "identifier": "test",
            },
            "operationId": body["id"],
        },
    }
    assert answer.headers["operation-id"] == body["id"]
    place = answer.headers["operation-location"]
    assert place == f"/executions/{body['id']}?api-version={NEW}&identifier=test"
    assert answer.headers["x-ms-container-execution-duration"] == str(milliseconds)
    assert answer.headers["x-ms-execution-request-time"] == str(milliseconds)
    assert float(answer.headers["x-ms-overall-execution-time"]) >= milliseconds - 1
    assert proxy.call("GET", place).json == body


def test_state_is_kept_between_runs(proxy: Proxy) -> None:
    proxy.run("kept = 41")
    assert proxy.value("kept + 1") == 42


def test_an_exception_is_a_traceback_without_colours_after_what_was_written(proxy: Proxy) -> None:
    body = proxy.execute("import sys\nprint('before', file=sys.stderr)\n1 / 0").json
    stderr = body["result"]["stderr"]
    assert body["status"] == "Failed"
    assert stderr.startswith("before\n") and "Traceback (most recent call last)" in stderr
    assert stderr.endswith("ZeroDivisionError: division by zero") and "\x1b" not in stderr
    raw = body["rawResult"]
    assert (raw["hresult"], raw["error_name"], raw["error_message"]) == (
        1,
        "ZeroDivisionError",
        "division by zero",
    )


def test_input_says_that_there_is_none(proxy: Proxy) -> None:
    assert "does not support input requests" in proxy.fail("input()")


def test_sys_exit_fails_and_the_state_lives(proxy: Proxy) -> None:
    proxy.run("survivor = 1")
    assert "SystemExit: 3" in proxy.fail("import sys\nsys.exit(3)")
    assert proxy.value("survivor") == 1


def test_what_child_processes_write_is_there(proxy: Proxy) -> None:
    for number in range(20):
        result = proxy.run(f"import os\nos.system('echo out{number}; echo err{number} >&2')")
        assert (result["stdout"], result["stderr"]) == (f"out{number}\n", f"err{number}\n")


def test_bytes_that_are_no_utf8(proxy: Proxy) -> None:
    assert proxy.run("import os\nos.write(1, b'\\xff a\\n')\nNone")["stdout"] == "\ufffd a\n"
    assert proxy.run("print('kept', '\\ud83d')")["stdout"] == "kept ?\n"


def test_a_closed_or_redirected_descriptor_stops_nothing(proxy: Proxy) -> None:
    code = "import os\nsaved = os.dup(1)\nos.close(1)\nprint('still')"
    assert proxy.run(code)["stdout"] == "still\n"
    assert proxy.run("os.dup2(saved, 1)\nprint('again')")["stdout"] == "again\n"


def test_figures(proxy: Proxy) -> None:
    assert proxy.value(IMAGES + "display(Image(data=png))") == FIGURE
    assert proxy.value("Image(data=png)") == FIGURE
    assert proxy.value("display(Image(data=png))\n5") == FIGURE
    assert proxy.value("display(Image(data=png))\ndisplay(Image(data=png))") == [FIGURE, FIGURE]


def test_something_displayed_reads_like_printed(proxy: Proxy) -> None:
    assert (
        proxy.run("from IPython.display import display\ndisplay({'a': 1})\nprint('z')")["stdout"]
        == "{'a': 1}\nz\n"
    )


def test_output_is_cut_and_counted(proxy: Proxy) -> None:
    answer = proxy.execute(
        "import sys\nprint('é' * 10)\nprint('ok', file=sys.stderr)", outputStreamsMaxLength=4
    )
    assert answer.json["result"]["stdout"] == "éééé"
    assert answer.json["result"]["stderr"] == "ok\n"
    assert answer.headers["x-emulator-output-truncated"] == "stdout=11"
    assert "x-emulator-output-truncated" not in proxy.execute("print(1)").headers


def test_huge_output_does_not_grow_the_proxy(proxy: Proxy) -> None:
    answer = proxy.execute("print('\\\\\\n\u20ac\\U0001F600x' * 4_000_000)", outputStreamsMaxLength=5)
    assert answer.json["result"]["stdout"] == "\\\n€😀x"
    assert answer.headers["x-emulator-output-truncated"] == "stdout=20000001"
    answer = proxy.execute("for _ in range(100_000): print('x' * 100)", outputStreamsMaxLength=10)
    assert answer.headers["x-emulator-output-truncated"] == "stdout=10100000"


def test_a_value_too_large_is_named_not_returned(proxy: Proxy) -> None:
    result = proxy.run("'y' * 50_000_000")
    assert result["executionResult"] == "" and "too large to return" in result["stderr"]


@pytest.mark.parametrize("kind", ["InlineBase64", "inlinebase64", "INLINEBASE64"])
def test_base64(proxy: Proxy, kind: str) -> None:
    assert proxy.value("MSsy", codeInputType=kind) == 3


@pytest.mark.parametrize("kind", ["Inline", "inline", "InlineText", "inlinetext"])
def test_text(proxy: Proxy, kind: str) -> None:
    assert proxy.value("1+3", codeInputType=kind) == 4
    assert "MSsy" in proxy.fail("MSsy", codeInputType=kind)


def test_base64_is_guessed_only_where_it_is_certain(proxy: Proxy) -> None:
    assert proxy.value(base64.b64encode(b"print(1)\n2").decode()) == 2
    proxy.run("test = 5")
    assert proxy.value("test") == 5  # base64, but not of text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"code": ""}, "`Code` field is required in the request"),
        ({"code": None}, "`Code` field is required in the request"),
        ({"code": 5}, "`Code` field is required in the request"),
        ({"code": "!!!", "codeInputType": "InlineBase64"}, "not base64"),
        ({"code": "1", "codeInputType": "file"}, "codeInputType"),
        ({"code": "1", "executionType": "Later"}, "executionType"),
        ({"code": "1", "timeoutInSeconds": 0}, "timeoutInSeconds"),
        ({"code": "1", "timeoutInSeconds": -5}, "timeoutInSeconds"),
        ({"code": "1", "timeoutInSeconds": "5"}, "timeoutInSeconds"),
        ({"code": "1", "outputStreamsMaxLength": -1}, "outputStreamsMaxLength"),
        ({"code": "1", "useEmptyKernel": "yes"}, "useEmptyKernel"),
    ],
)
def test_wrong_requests(proxy: Proxy, fields: dict[str, Any], text: str) -> None:
    answer = proxy.post(f"/executions?api-version={NEW}", fields)
    assert answer.status == 400
    assert text in answer.json["error"]["message"]
    assert answer.headers["x-ms-error-code"] == answer.json["error"]["code"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_bodies_that_are_no_json_object(proxy: Proxy, body: bytes) -> None:
    assert proxy.call("POST", "/executions", body).status == 400


def test_unknown_paths_and_methods(proxy: Proxy) -> None:
    assert proxy.call("GET", "/nope").status == 404
    assert proxy.call("PUT", "/executions").status == 405
    assert proxy.call("GET", "/executions/unknown").json["error"] == {
        "code": "ExecutionNotFound",
        "message": "No execution available for operation Id: unknown",
    }


def test_an_operation_id_is_run_once(proxy: Proxy) -> None:
    proxy.run("runs = 0")
    first = proxy.execute("runs += 1\nruns", headers={"operation-id": "mine"})
    again = proxy.execute("runs += 1\nruns", headers={"operation-id": "mine"})
    assert first.json["id"] == first.headers["operation-id"] == "mine"
    assert again.json == first.json
    assert proxy.value("runs") == 1


def test_an_operation_id_repeated_while_it_runs_waits_for_the_same_answer(proxy: Proxy) -> None:
    proxy.run("import time\nbusy = 0")
    answers: list[Any] = []

    def ask() -> None:
        answers.append(
            proxy.execute("busy += 1\ntime.sleep(0.3)\nbusy", headers={"operation-id": "twice"}).json
        )

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1] and answers[0]["result"]["executionResult"] == 1


def test_synchronous_runs_do_not_overlap(proxy: Proxy) -> None:
    proxy.run("import time\ninside = 0\nworst = 0")
    code = "inside += 1\nworst = max(worst, inside)\ntime.sleep(0.05)\ninside -= 1"
    threads = [threading.Thread(target=proxy.run, args=(code,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proxy.value("(inside, worst)") == "(0, 1)"


def test_the_old_family(proxy: Proxy) -> None:
    path = f"/code/execute?api-version={OLD}&identifier=test"
    answer = proxy.post(path, {"properties": {"code": "print('x')\n6 * 7", "codeInputType": "inline"}})
    assert answer.status == 202
    properties = answer.json["properties"]
    assert properties == {
        "$id": answer.headers["operation-id"],
        "status": "Success",
        "stdout": "x\n",
        "stderr": "",
        "executionResult": 42,
        "executionTimeInMilliseconds": properties["executionTimeInMilliseconds"],
    }
    assert "x-ms-session-guid" in answer.headers
    failed = proxy.post(path, {"properties": {"pythonCode": "1/0"}}).json["properties"]
    assert failed["status"] == "Failure" and "ZeroDivisionError" in failed["stderr"]
    wrong = proxy.post(path, {"code": "1"})
    assert (wrong.status, wrong.json["error"]["code"]) == (400, "SessionPropertiesMissing")


def test_a_callers_casing_comes_back(proxy: Proxy) -> None:
    assert proxy.execute("1", executionType="synchronous").json["executionType"] == "synchronous"


def test_metadata(proxy: Proxy) -> None:
    body = proxy.call("GET", "/metadata").json
    assert body["runtimes"][0]["name"] == "Python"
    assert "ipykernel" in {package["name"] for package in body["preInstalledPackages"]}
    assert body["jupyterKernel"]["name"] == "ipykernel" and body["jupyterKernel"]["version"]
    assert body["createdAt"] and body["lastUpdatedAt"]
