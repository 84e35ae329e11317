"""Shell pools: commands instead of code, an exit code instead of a status word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.conformance.match import ANY, COUNT, FILLED, GUID, Having, Holds, containing, matching, one_of
from emulator.conformance.row import (
    FLAT,
    NEWEST,
    OLD,
    SHARED,
    Exchange,
    Expect,
    Provenance,
    Row,
    Send,
    error,
    problem,
    row,
)
from emulator.conformance.rows import files
from emulator.conformance.rows.parts import LABEL, form, part

DOCUMENTED, OURS = Provenance.DOCUMENTED, Provenance.OURS


def command(line: str, version: str = NEWEST, **fields: Any) -> Send:
    return Send("POST", "/executions", version, json={"shellCommand": line, **fields})


def answered(status: Any = "0", **result: Any) -> Expect:
    streams = {"stdout": "", "stderr": "", "executionTimeInMilliseconds": COUNT, **result}
    return Expect(200, {"id": FILLED, "identifier": SHARED, "status": status, "result": streams})


def rows() -> Iterator[Row]:
    yield from files.common()
    yield from _commands()
    yield from _endings()
    yield from _host()
    yield from _refused()
    yield from _files()


def _commands() -> Iterator[Row]:
    for version in FLAT[1:]:
        yield row(
            f"shell.command.{version}",
            "status is the exit code as text; no executionResult; no executionType when none was sent",
            DOCUMENTED,
            Exchange(command("echo $((6*7))", version), answered(stdout="42\n")),
        )
    yield row(
        "shell.executionType",
        "echoed when sent",
        DOCUMENTED,
        Exchange(
            command("true", executionType="synchronous", codeInputType="inline"),
            Expect(200, {**answered().body, "executionType": "synchronous"}),
        ),
    )
    yield row(
        "shell.arguments",
        "execCommandAndArgs goes to no shell",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json={"execCommandAndArgs": ["echo", "$HOME", "a  b", "*"]}),
            answered(stdout="$HOME a  b *\n"),
        ),
    )
    yield row(
        "shell.stdin",
        "stdin of a command, and of execCommandAndArgs",
        DOCUMENTED,
        Exchange(
            command('read LINE; echo "got:$LINE"', stdin="testinputlineline"),
            answered(stdout="got:testinputlineline\n"),
        ),
        Exchange(
            Send("POST", "/executions", json={"execCommandAndArgs": ["cat"], "stdin": "üñ\n"}),
            answered(stdout="üñ\n"),
        ),
    )
    yield row(
        "shell.no-stdin",
        "without stdin a command reads the end of input, not for ever",
        OURS,
        Exchange(command("cat; echo done"), answered(stdout="done\n")),
    )
    yield row(
        "shell.streams",
        "stdout and stderr apart",
        DOCUMENTED,
        Exchange(command("echo out; echo err >&2"), answered(stdout="out\n", stderr="err\n")),
    )
    yield row(
        "shell.output.default",
        "4096 a stream, cut without a mark",
        DOCUMENTED,
        Exchange(
            command("printf 'x%.0s' $(seq 5000)"),
            Expect(200, answered(stdout="x" * 4096).body),
        ),
    )
    yield row(
        "shell.output.length",
        "outputStreamsMaxLength",
        DOCUMENTED,
        Exchange(command("echo abcdef", outputStreamsMaxLength=3), answered(stdout="abc")),
    )
    yield row(
        "shell.operation",
        "operation headers on synchronous answers too",
        DOCUMENTED,
        Exchange(
            command("true"),
            Expect(
                200,
                ANY,
                headers={
                    "operation-id": FILLED,
                    "operation-location": FILLED,
                    "x-ms-session-guid": GUID,
                    "x-ms-new-allocation": one_of("true", "false"),
                },
            ),
        ),
    )
    named = Send(
        "POST",
        "/executions",
        json={"shellCommand": "echo once >> n-«row»; cat n-«row»"},
        headers={"operation-id": "mine-«row»"},
    )
    ran = Expect(200, {**answered(stdout="once\n").body, "id": "mine-«row»"})
    yield row(
        "shell.operation.own-id",
        "a caller's operation-id is the id, is found by it, and a repeat runs nothing",
        OURS,
        Exchange(named, ran),
        Exchange(Send("GET", "/executions/mine-«row»"), ran),
        Exchange(named, ran),
    )
    yield row(
        "shell.operation.location",
        "Operation-Location leads to the command",
        OURS,
        Exchange(command("echo there"), Expect(200, ANY), keep={"location": "header:operation-location"}),
        Exchange(Send("GET", "«location»", None, None), answered(stdout="there\n")),
    )
    for name, identifier in {"session": SHARED, "no-session": "nobody-«row»"}.items():
        yield row(
            f"shell.operation.unknown.{name}",
            "an id nobody knows",
            DOCUMENTED,
            Exchange(
                Send("GET", "/executions/nothing-«row»", identifier=identifier),
                error(404, "ExecutionNotFound", "No execution available for operation Id: nothing-«row»"),
            ),
        )
    yield row(
        "shell.stateless",
        "each command is a shell of its own; files stay",
        DOCUMENTED,
        Exchange(command("V=1; cd /tmp; echo kept > /mnt/data/k-«row»"), answered()),
        Exchange(
            command('echo "[$V]"; pwd; cat /mnt/data/k-«row»'), answered(stdout="[]\n/mnt/data\nkept\n")
        ),
    )
    yield row(
        "shell.multiline",
        "several lines, here-documents",
        OURS,
        Exchange(command("cat <<X\na\nb\nX\necho c"), answered(stdout="a\nb\nc\n")),
    )


def _endings() -> Iterator[Row]:
    for code in (1, 3, 255):
        yield row(
            f"shell.exit.{code}",
            "the true exit code",
            OURS,
            Exchange(command(f"exit {code}"), answered(str(code))),
        )
    yield row(
        "shell.exit.not-found",
        "a command that is not there",
        OURS,
        Exchange(command("nonesuch-command"), answered("127", stderr=containing("not found"))),
    )
    yield row(
        "shell.arguments.not-found",
        "an executable that is not there",
        OURS,
        Exchange(
            Send("POST", "/executions", json={"execCommandAndArgs": ["nonesuch-command"]}),
            answered(matching("[1-9][0-9]*", "an exit code above 0"), stderr=FILLED),
        ),
    )
    yield row(
        "shell.timeout",
        "-1, empty streams, and exactly the timeout as time",
        DOCUMENTED,
        Exchange(
            command("echo lost; sleep 100", timeoutInSeconds=1),
            answered("-1", executionTimeInMilliseconds=1000),
        ),
    )
    yield row(
        "shell.timeout.group",
        "the whole process group is ended",
        OURS,
        Exchange(
            command("(sleep 2; touch left-«row») & sleep 100", timeoutInSeconds=1),
            answered("-1", executionTimeInMilliseconds=1000),
        ),
        Exchange(command("sleep 2; ls left-«row» 2>/dev/null | wc -l"), answered(stdout="0\n")),
    )


def _host() -> Iterator[Row]:
    yield row(
        "shell.cwd",
        "/mnt/data is where commands start",
        DOCUMENTED,
        Exchange(command("pwd"), answered(stdout="/mnt/data\n")),
        Exchange(
            Send("POST", "/executions", json={"execCommandAndArgs": ["pwd"]}), answered(stdout="/mnt/data\n")
        ),
    )
    yield row(
        "shell.bash",
        "a login bash",
        DOCUMENTED,
        Exchange(
            command('shopt -q login_shell && echo "$0 ${BASH_VERSION:+bash}"'),
            answered(stdout=containing("bash")),
        ),
    )
    yield row(
        "shell.tools",
        "what published clients call",
        DOCUMENTED,
        Exchange(
            command("for t in awk base64 find grep mktemp; do command -v $t >/dev/null || echo $t; done"),
            answered(),
        ),
    )


def _refused() -> Iterator[Row]:
    both = {"shellCommand": "true", "execCommandAndArgs": ["true"]}
    for name, body in {"both": both, "neither": {"timeoutInSeconds": 5}, "empty": {}}.items():
        yield row(
            f"shell.refused.{name}",
            "exactly one of the two commands",
            DOCUMENTED,
            Exchange(Send("POST", "/executions", json=body), problem()),
        )
    yield row(
        "shell.refused.code",
        "`code` is for code pools",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json={"code": "1", "codeInputType": "inline"}),
            error(400, "SessionPropertiesMissing"),
        ),
    )
    yield row(
        "shell.refused.wrapped",
        "no `properties` here",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json={"properties": {"shellCommand": "true"}}),
            error(400, "SessionPropertiesMissing"),
        ),
    )
    for version in (FLAT[0],):
        yield row(
            f"shell.refused.{version}",
            "not before 2025-02-02-preview; the message always names the oldest version",
            DOCUMENTED,
            Exchange(
                command("true", version),
                error(
                    400,
                    "SessionRequestNotSupported",
                    "Shell execution is not supported in API version 2023-08-01-preview.",
                ),
            ),
        )
    yield row(
        "shell.refused.code-execute",
        "nor on the old paths",
        DOCUMENTED,
        Exchange(
            Send("POST", "/code/execute", OLD[1], json={"properties": {"shellCommand": "true"}}),
            error(400, "SessionRequestNotSupported", containing("Shell execution is not supported")),
        ),
    )
    yield row(
        "shell.refused.asynchronous",
        "no asynchronous commands",
        OURS,
        Exchange(command("true", executionType="Asynchronous"), error(400, "SessionRequestValidationFailed")),
    )
    for field, value in {"shellCommand": ["ls"], "execCommandAndArgs": "ls", "stdin": 7}.items():
        body = {"shellCommand": "true", field: value}
        if field == "execCommandAndArgs":
            del body["shellCommand"]
        yield row(
            f"shell.type.{field}",
            "a member of the wrong JSON type",
            OURS,
            Exchange(Send("POST", "/executions", json=body), problem({f"$.{field}": ANY})),
        )
    for name, arguments in {"empty": [], "mixed": ["ls", 1]}.items():
        yield row(
            f"shell.type.arguments.{name}",
            "an array of strings, not empty",
            OURS,
            Exchange(
                Send("POST", "/executions", json={"execCommandAndArgs": arguments}),
                problem({"$.execCommandAndArgs": ANY}),
            ),
        )


def _files() -> Iterator[Row]:
    yield row(
        "shell.files.written",
        "a file that a command wrote is listed and downloaded",
        DOCUMENTED,
        Exchange(command("echo made > w-«row».txt"), answered()),
        Exchange(
            Send("GET", "/files"),
            Expect(200, {"value": Having(Holds({"name": "w-«row».txt", "sizeInBytes": 5}))}),
        ),
        Exchange(Send("GET", "/files/w-«row».txt/content"), Expect(200, raw=b"made\n")),
    )
    yield row(
        "shell.files.uploaded",
        "an uploaded file is where commands look, with path=/mnt/data as without",
        DOCUMENTED,
        *(
            Exchange(
                Send(
                    "POST",
                    "/files",
                    FLAT[1],
                    query=query,
                    body=form(part(name=f"u{number}-«row».txt")),
                    headers={"Content-Type": LABEL},
                ),
                Expect(200, Holds({"name": f"u{number}-«row».txt", "sizeInBytes": 7})),
            )
            for number, query in enumerate(({}, {"path": "/mnt/data"}))
        ),
        Exchange(command("cat /mnt/data/u?-«row».txt"), answered(stdout="testingtesting")),
    )
    yield row(
        "shell.files.links",
        "links and pipes that hostile code makes lead nowhere",
        OURS,
        Exchange(command("ln -s /etc/hostname l-«row»; ln -s / r-«row»; mkfifo p-«row»"), answered()),
        *(
            Exchange(
                Send("GET", path),
                Expect(
                    status,
                    Holds({"error": Holds({"code": matching("File.*")})}),
                ),
            )
            for path, status in (
                ("/files/l-«row»/content", 404),
                ("/files/r-«row»/etc/hostname/content", 404),
                ("/files/p-«row»/content", 404),
            )
        ),
        Exchange(Send("GET", "/files", identifier=SHARED), Expect(200, ANY)),
        Exchange(command("rm l-«row» r-«row» p-«row»"), answered()),
    )
