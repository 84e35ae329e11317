"""What the execute paths refuse, and how."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.conformance.languages import Language
from emulator.conformance.match import ANY
from emulator.conformance.row import Exchange, Expect, Provenance, Row, Send, Stream, error, problem, row
from emulator.conformance.rows.execute import answered, flat, run

OURS = Provenance.OURS


def rows(language: Language) -> Iterator[Row]:
    node = language.container_type == "NodeLTS"
    for name, body in {
        "empty": b"",
        "not-json": b"code=1",
        "half": b'{"code": "1"',
        "array": b'["code"]',
        "number": b"7",
        "null": b"null",
        "nan": b'{"code": NaN}',
        "not-utf8": b'{"code": "\xff"}',
        "deep": b"[" * 100_000,
    }.items():
        yield row(
            f"execute.body.{name}",
            "a body that is no JSON object is refused as ASP.NET does",
            OURS,
            Exchange(Send("POST", "/executions", body=body), problem()),
        )
    yield row(
        "execute.body.huge",
        "a body of more than 32 MB",
        OURS,
        Exchange(
            Send("POST", "/executions", body=Stream(b'{"code": "', 33 * 1024 * 1024, b'"}', chunked=True)),
            error(413, "RequestTooLarge"),
        ),
    )
    for field, value in {
        "code": 7,
        "codeInputType": True,
        "executionType": {},
        "timeoutInSeconds": "60",
        "outputStreamsMaxLength": "many",
        "useEmptyKernel": "yes",
        "returnJupyterFormatExecutionResult": 1,
    }.items():
        yield row(
            f"execute.type.{field}",
            "a member of the wrong JSON type is refused, by name",
            OURS,
            Exchange(
                Send("POST", "/executions", json={**flat("1"), field: value}), problem({f"$.{field}": ANY})
            ),
        )
    for name, value in {"zero": 0, "negative": -5}.items():
        yield row(
            f"execute.timeout.{name}",
            "timeoutInSeconds must be above 0",
            OURS,
            Exchange(run("1", timeoutInSeconds=value), error(400, "SessionRequestValidationFailed")),
        )
    yield row(
        "execute.timeout.clamped",
        "a timeout above the cap is clamped",
        OURS,
        Exchange(run(language.two, timeoutInSeconds=100_000), answered(executionResult=2)),
    )
    yield row(
        "execute.output.negative",
        "outputStreamsMaxLength must not be negative",
        OURS,
        Exchange(run("1", outputStreamsMaxLength=-1), error(400, "SessionRequestValidationFailed")),
    )
    yield row(
        "execute.gzip",
        "compressed bodies are not taken",
        OURS,
        Exchange(
            Send("POST", "/executions", body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
            error(415, "UnsupportedMediaType"),
        ),
    )
    yield row(
        "execute.large",
        "a body of 1 MB is fine",
        OURS,
        Exchange(
            run(f"'{'x' * 1_000_000}'.length" if node else f"len('{'x' * 1_000_000}')"),
            answered(executionResult=1_000_000),
        ),
    )
    yield row(
        "execute.code.unicode",
        "code may hold any character",
        OURS,
        Exchange(run('"é漢🎉\\u0000"'), Expect(200, {**answered(executionResult="é漢🎉\u0000").body})),
    )
    yield row(
        "execute.chunked",
        "a chunked request body is read",
        OURS,
        Exchange(
            Send(
                "POST",
                "/executions",
                json=flat(language.two),
                chunked=True,
            ),
            answered(executionResult=2),
        ),
    )
