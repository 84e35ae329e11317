"""`token`, `session`, `exec`, `files`, `clock`, `events`, …: a running emulator from a shell."""

from __future__ import annotations

import argparse
import json
import mimetypes
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emulator.commands import history
from emulator.commands.client import (
    Client,
    CommandFailed,
    add_endpoint,
    connect,
    explain,
    pool_path,
    query,
    segment,
    show,
)

VERSION = "2025-10-02-preview"
BLOCK = 256 * 1024


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module to the parser."""
    token = _verb(verbs, "token", "print a bearer token, good or deliberately bad", _token)
    token.add_argument("--audience", default="https://dynamicsessions.io", help="the token's audience")
    token.add_argument("--oid", help="object id of the principal")
    token.add_argument("--no-role", action="store_true", help="of a principal without the executor role")
    token.add_argument("--expires-in", type=float, metavar="S", help="seconds until it expires")
    token.add_argument("--invalid", choices=["signature", "audience", "expired", "nbf"], help="make it bad")

    sessions = verbs.add_parser("session", help="list, show and stop sessions, read their logs")
    inner = sessions.add_subparsers(required=True, metavar="VERB")
    listing = _verb(inner, "list", "sessions of all pools", history.list_sessions)
    listing.add_argument("--pool")
    listing.add_argument("--ended", action="store_true", help="those that ended lately, and why")
    for name, help_, act in (
        ("show", "one session", _show),
        ("stop", "end a session now", _stop),
    ):
        one = _verb(inner, name, help_, act)
        one.add_argument("--pool")
        one.add_argument("--identifier", required=True)
    logs = _verb(inner, "logs", "what its container printed, also of one that ended lately", history.logs)
    logs.add_argument("--pool")
    which = logs.add_mutually_exclusive_group(required=True)
    which.add_argument("--identifier", help="the session of this identifier, or the last one it had")
    which.add_argument("--guid", help="one session, by the guid that 'session list [--ended]' shows")
    logs.add_argument("--tail", type=int, default=200, metavar="N", help="lines (default 200)")
    logs.add_argument("--follow", action="store_true", help="go on until the session ends")

    execute = _verb(verbs, "exec", "run code in a session", _exec)
    _session_flags(execute)
    execute.add_argument("-f", "--file", type=Path, help="read the code from a file ('-': standard input)")
    execute.add_argument("--timeout", type=int, metavar="S", help="timeoutInSeconds")
    execute.add_argument("code", nargs="?")

    files = verbs.add_parser("files", help="upload, list, download and delete files of a session")
    inner = files.add_subparsers(required=True, metavar="VERB")
    for name, help_, act in (
        ("upload", "send a file into the session", _upload),
        ("list", "list a directory", _files),
        ("download", "fetch a file", _download),
        ("delete", "delete a file", _delete),
    ):
        one = _verb(inner, name, help_, act)
        _session_flags(one)
        one.add_argument("--path", help="directory in the session, below /mnt/data")
        if name != "list":
            one.add_argument("name", help="file to send" if name == "upload" else "name of the file")
        if name == "download":
            one.add_argument("-o", "--output", help="where to write it ('-': standard output)")

    clock = verbs.add_parser("clock", help="show or move the emulator's clock")
    inner = clock.add_subparsers(required=True, metavar="VERB")
    _verb(inner, "show", "time, offset and scale", lambda o: show(connect(o).call("GET", "/.emulator/clock")))
    advance = _verb(inner, "advance", "move it forward; what is due is done before this returns", _advance)
    advance.add_argument("seconds", type=float)
    scale = _verb(inner, "scale", "emulated seconds per real second", _scale)
    scale.add_argument("factor", type=float)

    events = _verb(verbs, "events", "what happened and why", history.events)
    events.add_argument("--follow", action="store_true", help="go on as it happens")
    _verb(verbs, "status", "pools, sessions and problems of the emulator", _status)
    _verb(verbs, "reset", "end every session and clear the clock", _reset)


def _verb(verbs: Any, name: str, help_: str, act: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_)
    add_endpoint(parser)
    parser.set_defaults(act=act)
    return parser


def _session_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", help="name of the pool (default: the first)")
    parser.add_argument("--identifier", required=True, help="session identifier, 4 to 128 characters")


def _token(options: argparse.Namespace) -> None:
    wanted = {"audience": options.audience, "oid": options.oid, "invalid": options.invalid}
    wanted["expiresIn"] = None if options.expires_in is None else str(options.expires_in)
    wanted["role"] = "false" if options.no_role else None
    found = connect(options).call("GET", f"/.emulator/token?{query(**wanted)}")
    print(found["accessToken"])


def _one(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    for one in history.sessions(client, options.pool):
        if one["identifier"] == options.identifier:
            return one
    raise CommandFailed(
        f"--identifier {options.identifier}: there is no such session; 'session list' shows them"
    )


def _show(options: argparse.Namespace) -> None:
    show(_one(connect(options), options))


def _stop(options: argparse.Namespace) -> None:
    client = connect(options)
    client.call("POST", f"/.emulator/sessions/{_one(client, options)['guid']}/stop")
    print(f"session {options.identifier} stopped")


def _exec(options: argparse.Namespace) -> None:
    if (options.code is None) == (options.file is None):
        raise CommandFailed("give the code as an argument or with -f FILE, not both and not neither")
    code = options.code
    if options.file is not None:
        code = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
    client = connect(options)
    base = pool_path(client, options.pool)
    pools = client.call("GET", "/.emulator/status")["pools"]
    shell = next(pool for pool in pools if pool["endpoint"] == base)["containerType"] == "Shell"
    body: dict[str, Any] = {"shellCommand": code} if shell else {"code": code, "codeInputType": "Inline"}
    body |= {"executionType": "Synchronous", "outputStreamsMaxLength": 1_000_000}
    if options.timeout:
        body["timeoutInSeconds"] = options.timeout
    target = f"{base}/executions?{query(api_version=VERSION, identifier=options.identifier)}"
    answer = client.call("POST", target, body, authorization=f"Bearer {client.token()}")
    result = answer["result"]
    sys.stdout.write(result["stdout"])
    sys.stderr.write(result["stderr"] + ("\n" if result["stderr"] else ""))
    value = result.get("executionResult", "")
    if value != "":
        print(value if isinstance(value, str) else json.dumps(value))
    status = answer["status"]
    raise SystemExit(0 if status == "Succeeded" else int(status) if status.lstrip("-").isdigit() else 1)


def _file_target(client: Client, options: argparse.Namespace, route: str = "") -> str:
    base = pool_path(client, options.pool)
    return (
        f"{base}/files{route}?{query(api_version=VERSION, identifier=options.identifier, path=options.path)}"
    )


def _files(options: argparse.Namespace) -> None:
    client = connect(options)
    found = client.call("GET", _file_target(client, options), authorization=f"Bearer {client.token()}")
    for one in found["value"]:
        print(f"{one['sizeInBytes']:>12}  {one['lastModifiedAt']}  {one['name']}")


def _upload(options: argparse.Namespace) -> None:
    path = Path(options.name)
    if not path.is_file():
        raise CommandFailed(f"{path}: there is no such file")
    client, boundary = connect(options), secrets.token_hex(16)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    size = path.stat().st_size
    headers = {
        "authorization": f"Bearer {client.token()}",
        "content-type": f"multipart/form-data; boundary={boundary}",
        "content-length": str(len(head) + size + len(tail)),
    }
    with path.open("rb") as file:
        answer = client.open(
            "POST", _file_target(client, options), body=_progress(head, file, tail, size), headers=headers
        )
    raw = answer.read()
    if answer.status >= 400:
        raise CommandFailed(explain(answer, raw))
    show(json.loads(raw))


def _progress(head: bytes, file: IO[bytes], tail: bytes, size: int) -> Iterator[bytes]:
    yield head
    done = 0
    while block := file.read(BLOCK):
        yield block
        done += len(block)
        _bar(done, size)
    yield tail


def _bar(done: int, size: int) -> None:
    if sys.stderr.isatty() and size > 4 * BLOCK:
        filled = int(40 * done / max(size, 1))
        end = "\n" if done >= size else ""
        sys.stderr.write(f"\r[{'#' * filled:<40}] {done // 1024:,} of {size // 1024:,} KiB{end}")
        sys.stderr.flush()


def _download(options: argparse.Namespace) -> None:
    client = connect(options)
    target = _file_target(client, options, f"/{segment(options.name)}/content")
    answer = client.open("GET", target, headers={"authorization": f"Bearer {client.token()}"})
    if answer.status >= 400:
        raise CommandFailed(explain(answer, answer.read()))
    size, done = int(answer.getheader("content-length") or 0), 0
    output = options.output or Path(options.name).name
    out: IO[bytes] = sys.stdout.buffer if output == "-" else Path(output).open("wb")  # noqa: SIM115
    with out:
        while block := answer.read(BLOCK):
            out.write(block)
            done += len(block)
            _bar(done, size)


def _delete(options: argparse.Namespace) -> None:
    client = connect(options)
    target = _file_target(client, options, f"/{segment(options.name)}")
    client.call("DELETE", target, authorization=f"Bearer {client.token()}")


def _advance(options: argparse.Namespace) -> None:
    show(connect(options).call("POST", "/.emulator/clock/advance", {"seconds": options.seconds}))


def _scale(options: argparse.Namespace) -> None:
    show(connect(options).call("POST", "/.emulator/clock", {"scale": options.factor}))


def _status(options: argparse.Namespace) -> None:
    show(connect(options).call("GET", "/.emulator/status"))


def _reset(options: argparse.Namespace) -> None:
    show(connect(options).call("POST", "/.emulator/reset"))
