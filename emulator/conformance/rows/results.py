"""What a run gives back: typed values, figures, streams, endings, asynchronous runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.conformance.languages import PYTHON, Language
from emulator.conformance.match import ANY, COUNT, FILLED, GUID, Holds, containing, matching
from emulator.conformance.row import (
    FLAT,
    FRESH,
    NEWEST,
    SHARED,
    Exchange,
    Expect,
    Need,
    Provenance,
    Row,
    Send,
    error,
    row,
)
from emulator.conformance.rows.execute import answered, flat, old_answer, old_run, run

RECORDED, DOCUMENTED, OURS = Provenance.RECORDED, Provenance.DOCUMENTED, Provenance.OURS
TIMED_OUT = "Request timed out waiting for code execution to complete"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {
    "type": "image",
    "format": "png",
    "base64_data": matching("iVBORw0KGgo[A-Za-z0-9+/]*=*", "base64 of a PNG file"),
}


def rows(language: Language) -> Iterator[Row]:
    python = language is PYTHON
    yield from _values(language)
    if python:
        yield from _python_values()
        yield from _figures()
    yield from _streams(language)
    yield from _endings(language)
    yield from _asynchronous(language)
    if python:
        yield from _several()


def _values(language: Language) -> Iterator[Row]:
    yield row(
        "result.number",
        "a number is a JSON number",
        DOCUMENTED,
        Exchange(run(language.two), answered(executionResult=2)),
    )
    yield row(
        "result.number.old",
        "in the old envelope too, under both names",
        DOCUMENTED,
        Exchange(
            old_run(language.two),
            Expect(200, {"$id": "1", "properties": {"$id": "2", **old_answer(result=2, executionResult=2)}}),
        ),
    )
    yield row(
        "result.text", "a string", DOCUMENTED, Exchange(run(language.text), answered(executionResult="nan"))
    )
    yield row(
        "result.nothing",
        "no value is the empty string, never null",
        RECORDED,
        Exchange(run(language.nothing), answered()),
        Exchange(
            old_run(language.nothing), Expect(200, {"$id": "1", "properties": {"$id": "2", **old_answer()}})
        ),
    )
    for name in ("returnJupyterFormatExecutionResult", "returnJupyterFormat"):
        yield row(
            f"result.{name}.text",
            "the kernel's own text of a string",
            DOCUMENTED,
            Exchange(run(language.text, **{name: True}), answered(executionResult=language.text_shown)),
        )
    yield row(
        "result.jupyter.number",
        "the kernel's own text of a number",
        DOCUMENTED,
        Exchange(run(language.two, returnJupyterFormatExecutionResult=True), answered(executionResult="2")),
    )
    yield row(
        "result.jupyter.false",
        "false leaves it typed",
        DOCUMENTED,
        Exchange(run(language.two, returnJupyterFormatExecutionResult=False), answered(executionResult=2)),
    )


def _python_values() -> Iterator[Row]:
    values: dict[str, tuple[str, Any]] = {
        "float": ("1.5", 1.5),
        "true": ("2 > 1", True),
        "list": ("[1, 'a', None, [2.5]]", [1, "a", None, [2.5]]),
        "dict": ("{'a': 1, 'b': [True]}", {"a": 1, "b": [True]}),
        "tuple": ("(1, 2)", "(1, 2)"),
        "set": ("{7}", "{7}"),
        "bytes": ("b'x'", "b'x'"),
        "nan": ("a = float('nan');a", None),
        "infinity": ("float('inf')", None),
        "none": ("None", ""),
        "large-integer": ("2 ** 100", 2**100),
        "object": ("class Thing:\n    def __repr__(self): return 'a thing'\nThing()", "a thing"),
        "empty-string": ("''", ""),
        "newline": ("'a\\nb'", "a\nb"),
        "int-keys": ("{1: 2}", ANY),
    }
    known = {"nan": DOCUMENTED, "true": DOCUMENTED, "float": DOCUMENTED}
    for name, (code, value) in values.items():
        yield row(
            f"result.python.{name}",
            "typed where JSON can carry it, else repr",
            known.get(name, OURS),
            Exchange(run(code), answered(executionResult=value)),
        )
    for name, (code, shown) in {
        "nan": ("a = float('nan');a", "nan"),
        "none": ("a = None;a", None),
        "true": ("True", "True"),
        "list": ("[1, 'a']", "[1, 'a']"),
    }.items():
        yield row(
            f"result.python.jupyter.{name}",
            "the kernel's own text; None is null",
            DOCUMENTED if name in ("nan", "none") else OURS,
            Exchange(run(code, returnJupyterFormatExecutionResult=True), answered(executionResult=shown)),
        )
    yield row(
        "result.python.useEmptyKernel",
        "useEmptyKernel runs where no variable is, and leaves those of the session",
        DOCUMENTED,
        Exchange(run("here = 1"), answered()),
        Exchange(run('"here" in globals()', useEmptyKernel=True), answered(executionResult=False)),
        Exchange(run("gone = 1", useEmptyKernel=True), answered()),
        Exchange(run('here, "gone" in globals()'), answered(executionResult="(1, False)")),
    )
    yield row(
        "result.python.pkg_resources",
        "what autogen runs first works",
        DOCUMENTED,
        Exchange(
            old_run("\nimport pkg_resources\n[d.project_name for d in pkg_resources.working_set]\n"),
            Expect(200, Holds({"properties": Holds({"status": "Success"})})),
        ),
        Exchange(
            old_run("import os; os.chdir('/mnt/data')"),
            Expect(200, Holds({"properties": Holds({"status": "Success"})})),
        ),
    )


def _figures() -> Iterator[Row]:
    shown = (
        f"import base64; from IPython.display import Image, display; p = Image(base64.b64decode('{PICTURE}'))"
    )
    yield row(
        "result.image",
        "a picture is an object with its base64",
        DOCUMENTED,
        Exchange(run(f"{shown}; p"), answered(executionResult=IMAGE)),
    )
    yield row(
        "result.image.displayed",
        "also one that was displayed",
        OURS,
        Exchange(run(f"{shown}; display(p)"), answered(executionResult=IMAGE, stdout=ANY)),
    )
    yield row(
        "result.image.old",
        "in the old envelope too",
        DOCUMENTED,
        Exchange(
            old_run(f"{shown}; p"),
            Expect(
                200,
                {"$id": "1", "properties": {"$id": "2", **old_answer(result=IMAGE, executionResult=IMAGE)}},
            ),
        ),
    )
    yield row(
        "result.images",
        "several pictures are an array of them",
        OURS,
        Exchange(
            run(f"{shown}; display(p); display(p)"), answered(executionResult=[IMAGE, IMAGE], stdout=ANY)
        ),
    )
    plot = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    yield row(
        "result.matplotlib",
        "a matplotlib figure is a picture",
        DOCUMENTED,
        Exchange(run(plot), answered(executionResult=IMAGE, stdout=ANY, stderr=ANY)),
        needs=(Need.MATPLOTLIB,),
    )


def _streams(language: Language) -> Iterator[Row]:
    yield row(
        "output.both",
        "stdout and stderr are kept apart; stderr alone is no failure",
        DOCUMENTED,
        Exchange(run(language.both), answered(stdout="out\n", stderr="err\n")),
    )
    yield row(
        "output.default",
        "4096 characters a stream on 2025-10-02-preview, cut without a mark in the text",
        DOCUMENTED,
        Exchange(run(language.long), answered(stdout="x" * 4096)),
    )
    yield row(
        "output.header",
        "the emulator says in a header what was cut",
        OURS,
        Exchange(
            run(language.long), Expect(200, ANY, headers={"x-emulator-output-truncated": "stdout=5000"})
        ),
        Exchange(run("1"), Expect(200, ANY, headers={"x-emulator-output-truncated": None})),
        needs=(Need.EMULATOR,),
    )
    for length, version in ((10, NEWEST), (0, NEWEST), (10_000, NEWEST), (10, FLAT[1])):
        yield row(
            f"output.length.{length}.{version}",
            "outputStreamsMaxLength",
            DOCUMENTED,
            Exchange(
                run(language.long, version, outputStreamsMaxLength=length),
                answered(stdout="x" * min(length, 5000)),
            ),
        )
    yield row(
        "output.old-default",
        "older versions cut nothing by themselves",
        OURS,
        Exchange(run(language.long, FLAT[1]), answered(stdout="x" * 5000)),
    )


def _endings(language: Language) -> Iterator[Row]:
    yield row(
        "failure.raised",
        "an exception: 200, Failed, the traceback in stderr, without ANSI colours",
        DOCUMENTED,
        Exchange(
            run(language.fail),
            answered(
                status="Failed", stderr=matching(r"[^\x1b]*boom[^\x1b]*", "text with boom, without colours")
            ),
        ),
    )
    yield row(
        "failure.syntax",
        "code that cannot be parsed fails likewise",
        DOCUMENTED,
        Exchange(run("1 +* 2 ("), answered(status="Failed", stderr=FILLED)),
    )
    yield row(
        "timeout.given",
        "a run over its timeout fails and names it",
        DOCUMENTED,
        Exchange(
            run(language.spin, timeoutInSeconds=1),
            answered(status="Failed", stderr=containing(f"{TIMED_OUT} after 1 seconds")),
        ),
        Exchange(run(language.two), answered(executionResult=2)),
    )
    yield row(
        "timeout.old",
        "on the old path: Failure",
        DOCUMENTED,
        Exchange(
            old_run(language.spin, timeoutInSeconds=1),
            Expect(
                200,
                {
                    "$id": "1",
                    "properties": {
                        "$id": "2",
                        **old_answer(status="Failure", stderr=containing(TIMED_OUT)),
                    },
                },
            ),
        ),
    )
    if language is not PYTHON:
        return
    yield row(
        "timeout.state",
        "variables survive a timeout",
        OURS,
        Exchange(run("before = 5"), answered()),
        Exchange(run(language.spin, timeoutInSeconds=1), Expect(200, ANY)),
        Exchange(run("before"), answered(executionResult=5)),
    )
    yield row(
        "failure.exit",
        "code that ends its interpreter: Failed, and the session lives on",
        OURS,
        Exchange(run("import os; os._exit(3)"), Expect(200, Holds({"status": "Failed"}))),
        Exchange(run(language.two), answered(executionResult=2)),
    )
    yield row(
        "failure.memory",
        "out of memory: Failed, `Execution aborted`, and the session lives on",
        DOCUMENTED,
        Exchange(
            run("keep = [bytearray(b'x' * 2**26) for _ in range(4096)]", NEWEST, FRESH),
            Expect(
                200,
                Holds({"status": "Failed", "result": Holds({"stderr": containing("Execution aborted")})}),
            ),
        ),
        Exchange(run(language.two, NEWEST, FRESH), Expect(200, Holds({"status": "Succeeded"}))),
        needs=(Need.MEMORY_LIMIT,),
    )


def _asynchronous(language: Language) -> Iterator[Row]:
    started = {
        "id": FILLED,
        "identifier": SHARED,
        "executionType": "Asynchronous",
        "status": "Running",
    }
    finished = {
        **answered(stdout="Hello world\n").body,
        "executionType": "Asynchronous",
    }
    begin = Send("POST", "/executions", json=flat(language.hello, executionType="Asynchronous"))
    location = matching(r"https?://[^/]+/.*/executions/[^/?]+\?.*identifier=.*", "a URL of the execution")
    for version in FLAT:
        counted = version == FLAT[0]
        numbered = {"$id": "1"} if counted else {}
        result = {**({"$id": "2"} if counted else {}), **finished["result"]}
        yield row(
            f"asynchronous.{version}",
            "202 and Running, the id in headers and body; polled until it has a result",
            DOCUMENTED,
            Exchange(
                Send("POST", "/executions", version, json=begin.json),
                Expect(
                    202,
                    {**numbered, **started},
                    headers={"operation-id": GUID, "operation-location": location},
                ),
                keep={"id": "header:operation-id", "location": "header:operation-location"},
            ),
            Exchange(
                Send("GET", "/executions/«id»", version),
                Expect(200, {**numbered, **finished, "id": "«id»", "result": result}),
                repeat_while={"status": "Running"},
            ),
            Exchange(
                Send("GET", "«location»", None, None),
                Expect(200, {**numbered, **finished, "id": "«id»", "result": result}),
            ),
        )
    yield row(
        "asynchronous.fails",
        "a failure is told when polled",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json=flat(language.fail, executionType="asynchronous")),
            Expect(202, {**started, "executionType": "asynchronous"}),
            keep={"id": "body:id"},
        ),
        Exchange(
            Send("GET", "/executions/«id»"),
            Expect(200, Holds({"status": "Failed", "result": Holds({"stderr": containing("boom")})})),
            repeat_while={"status": "Running"},
        ),
    )
    named = Send(
        "POST",
        "/executions",
        json=flat(language.two),
        headers={"operation-id": "mine-«row»"},
    )
    first = {**answered(executionResult=2).body, "id": "mine-«row»"}
    yield row(
        "operation.own-id",
        "a caller's operation-id is the id; told back on synchronous runs too",
        DOCUMENTED,
        Exchange(named, Expect(200, first, headers={"operation-id": "mine-«row»"})),
        Exchange(Send("GET", "/executions/mine-«row»"), Expect(200, first)),
    )
    counting = flat("globals().__setitem__('n_«row»', globals().get('n_«row»', 0) + 1); n_«row»")
    if language is PYTHON:
        yield row(
            "operation.repeat",
            "a repeated operation-id returns the stored execution and runs nothing",
            OURS,
            Exchange(
                Send("POST", "/executions", json=counting, headers={"operation-id": "twice-«row»"}),
                Expect(200, Holds({"result": Holds({"executionResult": 1})})),
            ),
            Exchange(
                Send("POST", "/executions", json=counting, headers={"operation-id": "twice-«row»"}),
                Expect(200, Holds({"id": "twice-«row»", "result": Holds({"executionResult": 1})})),
            ),
            Exchange(run("n_«row»"), answered(executionResult=1)),
        )
    yield row(
        "operation.sync-headers",
        "a synchronous run is stored too",
        OURS,
        Exchange(
            run(language.two),
            Expect(200, ANY, headers={"operation-id": GUID, "operation-location": location}),
            keep={"id": "body:id"},
        ),
        Exchange(
            Send("GET", "/executions/«id»"),
            Expect(200, {**answered(executionResult=2).body, "id": "«id»"}),
        ),
    )
    yield row(
        "operation.odd-id",
        "an operation-id may hold anything a header can",
        OURS,
        Exchange(
            Send("POST", "/executions", json=flat(language.two), headers={"operation-id": "a/b ?#%«row»"}),
            Expect(200, Holds({"id": "a/b ?#%«row»"})),
            keep={"location": "header:operation-location"},
        ),
        Exchange(Send("GET", "«location»", None, None), Expect(200, Holds({"id": "a/b ?#%«row»"}))),
    )
    for name, identifier in {"session": SHARED, "no-session": "nobody-«row»"}.items():
        yield row(
            f"operation.unknown.{name}",
            "an id nobody knows: 404, and no session is made for it",
            DOCUMENTED,
            Exchange(
                Send("GET", "/executions/nothing-«row»", identifier=identifier),
                error(404, "ExecutionNotFound", "No execution available for operation Id: nothing-«row»"),
            ),
        )
    yield row(
        "operation.unknown.allocates-nothing",
        "asking for an execution makes no session",
        OURS,
        Exchange(Send("GET", "/executions/x", identifier="nobody-«row»"), Expect(404, ANY)),
        Exchange(Send("GET", "/session", identifier="nobody-«row»"), error(404, "NoSessionFoundError")),
    )


def _several() -> Iterator[Row]:
    slow = flat("import time; time.sleep(2); print('slow')", executionType="Asynchronous")
    ids = ("one-«row»", "two-«row»", "three-«row»")
    yield row(
        "asynchronous.several",
        "several at once, and the synchronous channel is not held up",
        DOCUMENTED,
        *(
            Exchange(Send("POST", "/executions", json=slow, headers={"operation-id": name}), Expect(202, ANY))
            for name in ids
        ),
        Exchange(run("1 + 1"), answered(executionResult=2)),
        Exchange(Send("GET", f"/executions/{ids[2]}"), Expect(200, Holds({"status": "Running"}))),
        *(
            Exchange(
                Send("GET", f"/executions/{name}"),
                Expect(
                    200,
                    {
                        "id": name,
                        "identifier": SHARED,
                        "executionType": "Asynchronous",
                        "status": "Succeeded",
                        "result": {
                            "stdout": "slow\n",
                            "stderr": "",
                            "executionResult": "",
                            "executionTimeInMilliseconds": COUNT,
                        },
                    },
                ),
                repeat_while={"status": "Running"},
            )
            for name in ids
        ),
    )
