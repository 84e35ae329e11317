"""`env` and `run`: what makes unchanged clients use the emulator."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from emulator import settings as settings_module
from emulator.commands.bundle import write_bundle
from emulator.commands.client import CommandFailed, add_endpoint, connect

STOP_SECONDS = 30


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module to the parser."""
    env = verbs.add_parser("env", help="print the variables that make clients use the running emulator")
    add_endpoint(env)
    env.add_argument("--format", choices=("export", "dotenv", "json"), default="export", help="how to print")
    env.add_argument("--state-dir", type=Path, help="where to keep the certificate bundle")
    env.set_defaults(act=_env)

    run = verbs.add_parser(
        "run",
        help="start an emulator on free ports, run a command with the variables of env, stop it",
        usage="%(prog)s [flags of up] -- COMMAND [ARGUMENT ...]",
    )
    settings_module.add_flags(run)
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run")
    run.set_defaults(act=_run)


def variables(
    *,
    http: str,
    https: str | None,
    pools: Mapping[str, str],
    identity_header: str,
    bundle: Path | None,
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Names and values; `pools` are paths by name, the first one is the default.

    `bundle` goes to all that read certificates: Python (SSL_CERT_FILE, REQUESTS_CA_BUNDLE), Node
    (NODE_EXTRA_CA_CERTS), .NET, Go and curl (SSL_CERT_FILE). Requests to the emulator never go through a
    proxy that `environment` names.
    """
    found: dict[str, str] = {}
    for name, path in pools.items():
        suffix = re.sub(r"[^A-Z0-9]", "_", name.upper())
        both = {"": http + path, "_HTTPS": https + path if https else None}
        for kind, url in both.items():
            if url is not None:
                found.setdefault(f"POOL_ENDPOINT{kind}", url)
                found[f"POOL_ENDPOINT_{suffix}{kind}"] = url
    found["IDENTITY_ENDPOINT"] = f"{http}/msi/token"
    found["IDENTITY_HEADER"] = identity_header
    found["ARM_ENDPOINT"] = https or http
    found["DYNAMIC_SESSIONS_ENDPOINT"] = http
    if bundle is not None:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
            found[name] = str(bundle)
    for name in ("NO_PROXY", "no_proxy"):
        if any(
            environment.get(proxy) for proxy in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
        ):
            hosts = [one for one in environment.get(name, "").split(",") if one.strip()]
            own = ("localhost", "127.0.0.1", "::1", urlsplit(http).hostname or "")
            found[name] = ",".join(dict.fromkeys([*hosts, *(one for one in own if one)]))
    return found


def _warn(environment: Mapping[str, str]) -> None:
    trio = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    if all(environment.get(name) for name in trio):
        print(
            f"warning: {', '.join(trio)} are set, so DefaultAzureCredential asks Azure itself for its token; "
            "unset AZURE_CLIENT_SECRET to use the emulator's",
            file=sys.stderr,
        )


# -- env -------------------------------------------------------------------------------------------------


def _env(options: argparse.Namespace) -> None:
    client = connect(options)
    status = client.call("GET", "/.emulator/status")
    # A container's own addresses mean nothing out here: the host is the one this verb was given.
    https, bundle = None, None
    if status["https"]:
        host = urlsplit(client.endpoint).hostname or "localhost"
        shown = f"[{host}]" if ":" in host else host
        https = f"https://{shown}:{urlsplit(status['https']).port}"
        answer = client.open("GET", "/.emulator/ca.pem")
        pem = answer.read().decode("ascii", "replace")
        if answer.status == 200:
            folder = options.state_dir or Path(
                os.environ.get("DYNAMIC_SESSIONS_STATE_DIR") or settings_module.default_state_dir(os.environ)
            )
            name = re.sub(r"[^\w.-]", "-", urlsplit(client.endpoint).netloc)
            bundle = write_bundle(pem, folder.absolute() / "trust" / f"{name}.pem", os.environ)
    found = variables(
        http=client.endpoint,
        https=https,
        pools={pool["name"]: pool["endpoint"] for pool in status["pools"]},
        identity_header=status["identityHeader"],
        bundle=bundle,
        environment=os.environ,
    )
    _warn(os.environ)
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return
    start = "export " if options.format == "export" else ""
    for name, value in found.items():
        print(f"{start}{name}={shlex.quote(value) if start else value}")


# -- run -------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> NoReturn:
    given = dict(vars(options))
    command: list[str] = given.pop("command")
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise CommandFailed("run needs a command: dynamic-sessions run [flags of up] -- COMMAND")
    if shutil.which(command[0]) is None:
        print(f"dynamic-sessions: {command[0]}: no such command", file=sys.stderr)
        raise SystemExit(127)
    own_instance = "instance" not in given
    if own_instance:
        given["instance"] = f"run-{os.getpid()}"
    # Wrong values are said before anything starts, and where the state is comes along.
    settings = settings_module.load(given, os.environ)
    given.setdefault("port", "0")
    given.setdefault("tls_port", "off" if settings.tls_port is None else "0")
    with tempfile.TemporaryDirectory(prefix="dynamic-sessions-run-") as folder:
        ready = Path(folder) / "ready.json"
        process = _start({**given, "ready_file": str(ready)}, Path(folder) / "log")
        try:
            document = _wait(process, ready, Path(folder) / "log")
            status = _execute(command, {**os.environ, **_of(document, Path(folder))})
        finally:
            _stop(process)
            if own_instance:
                shutil.rmtree(settings.state_dir / settings.instance, ignore_errors=True)
    raise SystemExit(status)


def _flags(given: Mapping[str, Any]) -> list[str]:
    """The command line that says again what was parsed from one."""
    found = ["--settings", given["settings"]] if "settings" in given else []
    for one in settings_module.TABLE:
        if one.name not in given:
            continue
        value = given[one.name]
        if isinstance(value, bool):
            found.append(one.flags[0 if value else 1])
        else:
            found += [f"--{one.key}", *(value if isinstance(value, list) else [str(value)])]
    return found


def _start(given: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "emulator", "up", *_flags(given)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the command; the emulator ends after it
            preexec_fn=_end_with_parent(),
        )


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux: even a killed `run` leaves no emulator, and so no containers, behind."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _wait(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, Any]:
    while not ready.exists():
        if process.poll() is not None:
            tail = log.read_text(encoding="utf-8", errors="replace")[-4000:].rstrip()
            raise CommandFailed(f"the emulator did not start (exit status {process.returncode}):\n{tail}")
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(ready.read_bytes())
    return found


def _of(document: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Variables of an emulator by its ready file."""
    bundle = None
    if document["ca"]:
        pem = Path(document["ca"]).read_text(encoding="ascii")
        bundle = write_bundle(pem, folder / "trust.pem", os.environ)
    http: str = document["http"]
    _warn(os.environ)
    return variables(
        http=http,
        https=document["https"],
        pools={name: pool["endpoint"].removeprefix(http) for name, pool in document["pools"].items()},
        identity_header=document["identityHeader"],
        bundle=bundle,
        environment=os.environ,
    )


def _execute(command: list[str], environment: Mapping[str, str]) -> int:
    """Run the command; its exit status, 128 + n if signal n ended it, 126 or 127 if it cannot be run."""
    try:
        process = subprocess.Popen(command, env=dict(environment))
    except OSError as error:
        print(f"dynamic-sessions: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    # Ctrl-C reaches the command by itself (same terminal); what is sent to this process alone does not.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, pass_on)
    status = process.wait()
    return 128 - status if status < 0 else status


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
