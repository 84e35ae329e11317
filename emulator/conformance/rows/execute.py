"""The three execute paths: bodies in, envelopes out, per api-version."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from emulator.conformance.languages import Language
from emulator.conformance.match import (
    ANY,
    COUNT,
    FILLED,
    GUID,
    MILLISECONDS,
    containing,
    matching,
)
from emulator.conformance.row import (
    FLAT,
    FRESH,
    NEWEST,
    OLD,
    SHARED,
    Exchange,
    Expect,
    Provenance,
    Row,
    Send,
    error,
    row,
)

RECORDED, DOCUMENTED, OURS = Provenance.RECORDED, Provenance.DOCUMENTED, Provenance.OURS


def flat(code: Any, /, **fields: Any) -> dict[str, Any]:
    """A body for `/executions`."""
    return {"codeInputType": "inline", "executionType": "synchronous", "code": code, **fields}


def run(code: Any, version: str = NEWEST, identifier: str = SHARED, /, **fields: Any) -> Send:
    """A run on `/executions`; `fields` are further members of the body."""
    return Send("POST", "/executions", version, identifier, json=flat(code, **fields))


def old_run(code: str, path: str = "/code/execute", version: str | None = OLD[1], **fields: Any) -> Send:
    return Send("POST", path, version, json={"properties": flat(code, **fields)})


def answered(version: str = NEWEST, **more: Any) -> Expect:
    """A synchronous run's flat answer; `more` are members of `result`, or `status`."""
    counted = version == FLAT[0]
    result = {
        **({"$id": "2"} if counted else {}),
        "stdout": "",
        "stderr": "",
        "executionResult": "",
        "executionTimeInMilliseconds": COUNT,
        **{key: value for key, value in more.items() if key != "status"},
    }
    body = {
        **({"$id": "1"} if counted else {}),
        "id": FILLED,
        "identifier": SHARED,
        "executionType": "synchronous",
        "status": more.get("status", "Succeeded"),
        "result": result,
    }
    return Expect(202 if counted else 200, body)


def old_answer(**more: Any) -> dict[str, Any]:
    return {
        "status": "Success",
        "stdout": "",
        "stderr": "",
        "result": "",
        "executionResult": "",
        "executionTimeInMilliseconds": COUNT,
        **more,
    }


TIMING = {
    "x-ms-allocation-retries": matching(r"\d+", "digits"),
    "x-ms-allocation-time": MILLISECONDS,
    "x-ms-container-execution-duration": matching(r"\d+", "digits"),
    "x-ms-execution-read-response-time": MILLISECONDS,
    "x-ms-execution-request-time": matching(r"\d+", "digits"),
    "x-ms-overall-execution-time": MILLISECONDS,
    "x-ms-preparation-time": MILLISECONDS,
    "x-ms-total-execution-service-time": MILLISECONDS,
    "x-ms-session-guid": GUID,
    "mise-correlation-id": GUID,
}


def rows(language: Language) -> Iterator[Row]:
    yield from _envelopes(language)
    yield from _labels(language)
    yield from _wrappers(language)
    yield from _versions(language)
    yield from _headers(language)


def _envelopes(language: Language) -> Iterator[Row]:
    hello = language.hello
    for version in FLAT:
        yield row(
            f"execute.executions.{version}",
            "flat answer; 202 on 2024-10-02-preview, else 200; $id only there",
            RECORDED if version == FLAT[0] else DOCUMENTED,
            Exchange(run(hello, version), answered(version, stdout="Hello world\n")),
        )
    for version in OLD:
        yield row(
            f"execute.code.{version}",
            "answer in `properties`, $id counted, Success, result never null",
            RECORDED if version == OLD[1] else DOCUMENTED,
            Exchange(
                old_run(hello, version=version),
                Expect(200, {"$id": "1", "properties": {"$id": "2", **old_answer(stdout="Hello world\n")}}),
            ),
        )
        yield row(
            f"execute.python.{version}",
            "the oldest path answers flat",
            DOCUMENTED,
            Exchange(
                Send("POST", "/python/execute", version, json={"properties": {"pythonCode": hello}}),
                Expect(200, {"$id": "1", **old_answer(stdout="Hello world\n")}),
            ),
        )
    for path in ("/code/execute", "/python/execute"):
        for version in FLAT:
            answer = old_answer(result=2, executionResult=2)
            answer = {"properties": answer} if path == "/code/execute" else answer
            if version == FLAT[0]:
                inner = (
                    {"properties": {"$id": "2", **answer["properties"]}} if "properties" in answer else answer
                )
                answer = {"$id": "1", **inner}
            yield row(
                f"execute{path.replace('/', '.')}.{version}",
                "the path decides the shape, on newer versions too",
                OURS,
                Exchange(
                    old_run(language.two, path, version), Expect(202 if version == FLAT[0] else 200, answer)
                ),
            )
    for version in OLD:
        yield row(
            f"execute.executions.{version}",
            "the path decides the shape, on older versions too",
            OURS,
            Exchange(
                run(language.two, version),
                Expect(200, ANY),
            ),
            Exchange(
                run(language.fail, version),
                Expect(
                    200,
                    {
                        "$id": "1",
                        "id": FILLED,
                        "identifier": SHARED,
                        "executionType": "synchronous",
                        "status": "Failed",
                        "result": {
                            "$id": "2",
                            "stdout": "",
                            "stderr": containing("boom"),
                            "executionResult": "",
                            "executionTimeInMilliseconds": COUNT,
                        },
                    },
                ),
            ),
        )
    yield row(
        "execute.code.failure",
        "code that raises: 200 and the word Failure",
        DOCUMENTED,
        Exchange(
            old_run(language.fail),
            Expect(
                200,
                {
                    "$id": "1",
                    "properties": {
                        "$id": "2",
                        **old_answer(status="Failure", stderr=containing("boom")),
                    },
                },
            ),
        ),
    )
    yield row(
        "execute.code.pythonCode",
        "`pythonCode` is `code` on the old paths",
        DOCUMENTED,
        Exchange(
            Send("POST", "/code/execute", OLD[1], json={"properties": {"pythonCode": language.two}}),
            Expect(200, {"$id": "1", "properties": {"$id": "2", **old_answer(result=2, executionResult=2)}}),
        ),
    )


def _labels(language: Language) -> Iterator[Row]:
    for spelled in ("Synchronous", "synchronous", "SYNCHRONOUS"):
        yield row(
            f"execute.executionType.{spelled}",
            "compared without case, echoed as sent",
            RECORDED,
            Exchange(
                run("1", executionType=spelled),
                Expect(
                    200,
                    {**answered(executionResult=1).body, "executionType": spelled},
                ),
            ),
        )
    encoded = base64.b64encode(language.two.encode()).decode()
    for kind, code in (
        ("Inline", language.two),
        ("inline", language.two),
        ("InlineText", language.two),
        ("inlinetext", language.two),
        ("InlineBase64", encoded),
        ("inlinebase64", encoded),
    ):
        yield row(
            f"execute.codeInputType.{kind}",
            "source text, or base64 of it",
            DOCUMENTED,
            Exchange(run(code, codeInputType=kind), answered(executionResult=2)),
        )
    yield row(
        "execute.codeInputType.undecodable",
        "base64 that is none is refused",
        OURS,
        Exchange(
            run("no base64!", codeInputType="InlineBase64"), error(400, "SessionRequestValidationFailed")
        ),
    )
    for name in ("codeInputType", "executionType"):
        yield row(
            f"execute.{name}.unknown",
            "a word that is not in the list is refused",
            OURS,
            Exchange(run("1", **{name: "Sideways"}), error(400, "SessionRequestValidationFailed")),
        )
    yield row(
        "execute.bare",
        "`code` is all that is needed; Synchronous is the default",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json={"code": language.two}),
            Expect(200, {**answered(executionResult=2).body, "executionType": "Synchronous"}),
        ),
    )
    yield row(
        "execute.unknown-members",
        "members nobody knows, networkStatus and a second identifier are ignored",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/executions",
                json=flat(language.two, identifier="another", networkStatus="EgressEnabled", zzz=[1]),
            ),
            answered(executionResult=2),
        ),
    )
    yield row(
        "execute.body-identifier",
        "the oldest clients name the session only in the body",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/python/execute",
                OLD[1],
                None,
                json={"properties": {"identifier": SHARED, "pythonCode": language.two}},
            ),
            Expect(200, {"$id": "1", **old_answer(result=2, executionResult=2)}),
        ),
    )
    yield row(
        "execute.state",
        "variables live on between runs, across paths",
        DOCUMENTED,
        Exchange(run(language.keep), Expect(200, ANY)),
        Exchange(run(language.kept), answered(executionResult=42)),
        Exchange(
            old_run(language.kept),
            Expect(
                200, {"$id": "1", "properties": {"$id": "2", **old_answer(result=42, executionResult=42)}}
            ),
        ),
    )
    yield row(
        "execute.isolated",
        "another identifier knows nothing of it",
        DOCUMENTED,
        Exchange(run(language.keep), Expect(200, ANY)),
        Exchange(
            run(language.unset, NEWEST, FRESH),
            Expect(200, {**answered(executionResult=False).body, "identifier": FRESH}),
        ),
    )


def _wrappers(language: Language) -> Iterator[Row]:
    missing = error(400, "SessionPropertiesMissing")
    for version in FLAT:
        wrapped = Send("POST", "/executions", version, json={"properties": flat("1")})
        yield row(
            f"execute.executions.wrapped.{version}",
            "`properties` on /executions is refused",
            DOCUMENTED,
            Exchange(wrapped, missing),
        )
    for path in ("/code/execute", "/python/execute"):
        yield row(
            f"execute{path.replace('/', '.')}.flat",
            "a flat body on an old path is refused",
            DOCUMENTED if path.startswith("/code") else OURS,
            Exchange(Send("POST", path, OLD[1], json=flat(language.two)), missing),
        )
    for name, body in {"no-code": {"codeInputType": "inline"}, "empty-code": flat("")}.items():
        yield row(
            f"execute.{name}",
            "a code pool needs `code`, and some in it",
            OURS,
            Exchange(Send("POST", "/executions", json=body), missing),
        )
    yield row(
        "execute.shellCommand",
        "shell commands are for Shell pools",
        OURS,
        Exchange(Send("POST", "/executions", json={"shellCommand": "true"}), missing),
    )


def _versions(language: Language) -> Iterator[Row]:
    refused = error(400, "SessionRequestValidationFailed", containing("2025-10-02-preview"))
    yield row(
        "version.absent.executions",
        "/executions needs an api-version",
        OURS,
        Exchange(Send("POST", "/executions", None, json=flat("1")), refused),
    )
    for path in ("/code/execute", "/python/execute"):
        yield row(
            f"version.absent{path.replace('/', '.')}",
            "without api-version the old paths are 2024-02-02-preview",
            DOCUMENTED,
            Exchange(old_run(language.two, path, None), Expect(200, ANY)),
        )
    for name in ("2024-09-01", "2099-01-01", "latest", "2025-10-02"):
        yield row(
            f"version.unknown.{name}",
            "an api-version that is not known is refused",
            OURS,
            Exchange(run("1", name), refused),
        )
    for version in FLAT:
        expected = FLAT[0] if version == FLAT[0] else "2025-02-02-preview, 2025-10-02-preview"
        yield row(
            f"version.supported.{version}",
            "api-supported-versions",
            RECORDED if version == FLAT[0] else DOCUMENTED,
            Exchange(
                run("1", version),
                Expect(202 if version == FLAT[0] else 200, ANY, headers={"api-supported-versions": expected}),
            ),
        )
    yield row(
        "version.supported.old",
        "no api-supported-versions on the old routes",
        RECORDED,
        Exchange(old_run("1"), Expect(200, ANY, headers={"api-supported-versions": None})),
    )
    yield row(
        "version.case",
        "the query parameter's name has no case",
        OURS,
        Exchange(
            Send("POST", "/executions", None, json=flat("1"), raw_query=f"API-Version={NEWEST}"),
            answered(executionResult=1),
        ),
    )


def _headers(language: Language) -> Iterator[Row]:
    yield row(
        "execute.headers.timing",
        "measured times, the session's guid and a correlation id",
        RECORDED,
        Exchange(run("1"), Expect(200, ANY, headers=TIMING)),
    )
    yield row(
        "execute.headers.timing.old",
        "the same on the old path",
        RECORDED,
        Exchange(old_run("1"), Expect(200, ANY, headers=TIMING)),
    )
    yield row(
        "execute.headers.allocation",
        "x-ms-new-allocation tells the first request of a session from the others",
        DOCUMENTED,
        Exchange(
            run("1", NEWEST, FRESH),
            Expect(200, ANY, headers={"x-ms-new-allocation": "true"}),
            keep={"guid": "header:x-ms-session-guid"},
        ),
        Exchange(
            run("1", NEWEST, FRESH),
            Expect(200, ANY, headers={"x-ms-new-allocation": "false", "x-ms-session-guid": "«guid»"}),
        ),
    )
    yield row(
        "execute.headers.json",
        "content type of an answer",
        RECORDED,
        Exchange(
            run("1"),
            Expect(
                200,
                ANY,
                headers={"content-type": matching("application/json(; ?charset=utf-8)?")},
            ),
        ),
    )
    for kind in ("application/json; charset=utf-8", "text/json", "application/json;odata=verbose"):
        yield row(
            f"execute.content-type.{kind}",
            "a body that is JSON is read whatever JSON type it is labelled with",
            OURS,
            Exchange(
                Send("POST", "/executions", json=flat(language.two), headers={"Content-Type": kind}),
                answered(executionResult=2),
            ),
        )
