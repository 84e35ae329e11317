# ruff: noqa: RUF009 (_setting makes a dataclasses.field)
"""One object with every setting: flags > environment (`DYNAMIC_SESSIONS_<NAME>`) > settings file > default.

`TABLE` lists them all, for the command line (`add_flags`) and for the documentation's test. Importing this
module reads no environment and loads nothing heavy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emulator.errors import ConfigurationError
from emulator.setting_kinds import (
    INTEGER,
    LABELS,
    NAMES,
    NUMBER,
    PATH,
    PATHS,
    PORT_OR_OFF,
    RECORDS,
    SECONDS,
    SIZE,
    SUBNET,
    SWITCH,
    TEXT,
    Kind,
    WrongValue,
)

if TYPE_CHECKING:
    import argparse

PREFIX: Final = "DYNAMIC_SESSIONS_"
MIB: Final = 1024 * 1024

# Read elsewhere (the command line's client verbs, the image scripts), so not misspelled settings.
OTHER_VARIABLES: Final = frozenset({f"{PREFIX}SETTINGS", f"{PREFIX}ENDPOINT"})


@dataclass(frozen=True)
class Setting:
    """One row of the table. `low` and `high` are inclusive, in `unit`; `default` None: none, or found out."""

    name: str
    kind: Kind
    help: str
    group: str
    default: Any
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    secret: bool = False

    @property
    def key(self) -> str:
        """Its key in the settings file."""
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    def read(self, raw: Any) -> Any:
        """The value `raw` stands for. Raises `WrongValue` with what is expected."""
        value = self.kind.read(raw)
        if self.choices:
            by_name = {choice.lower(): choice for choice in self.choices}
            if str(value).lower() not in by_name:
                raise WrongValue(f"expected one of {', '.join(self.choices)}")
            return by_name[str(value).lower()]
        low, high = self.low, self.high
        if isinstance(value, int | float) and not isinstance(value, bool):
            above = low is None or value >= low
            if not above or (high is not None and value > high):
                bounds = f"{low:g} to {high:g}" if high is not None else f"at least {low:g}"
                raise WrongValue(f"expected {bounds}{' ' + self.unit if self.unit else ''}")
        return value


def _setting(kind: Kind, default: Any, group: str, text: str, *flags: str, **more: Any) -> Any:
    """A field of `Settings` that carries its row of the table; a callable default is called at start."""
    row = {"kind": kind, "group": group, "help": text, "flags": flags, **more}
    shown = not more.get("secret", False)
    if callable(default):
        return field(default_factory=default, metadata=row, repr=shown)
    return field(default=default, metadata=row, repr=shown)


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """The platform's folder for what a program keeps between runs."""
    if sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "dynamic-sessions"


def _cores() -> int:
    return max(2, os.cpu_count() or 2)


@dataclass(frozen=True)
class Settings:
    """Everything a user can set. Durations in seconds, sizes in bytes; secrets are left out of `repr`.

    `origins` says of each name where its value comes from; `warnings` what was given and is not known.
    """

    host: str = _setting(TEXT, "127.0.0.1", "listening", "address to listen on")
    port: int = _setting(INTEGER, 7480, "listening", "HTTP port; 0 picks a free one", low=0, high=65535)
    tls_port: int | None = _setting(
        PORT_OR_OFF, 7443, "listening", "HTTPS port; 0 picks a free one, off disables", low=0, high=65535
    )
    tls_names: tuple[str, ...] = _setting(
        NAMES, (), "listening", "host names and addresses the certificate also holds"
    )
    tls_cert: Path | None = _setting(PATH, None, "listening", "your own certificate chain (PEM)")
    tls_key: Path | None = _setting(PATH, None, "listening", "the key of --tls-cert (PEM)")
    ready_file: Path | None = _setting(PATH, None, "listening", "file written once ready (JSON)")
    state_dir: Path = _setting(
        PATH,
        lambda: default_state_dir(os.environ),
        "listening",
        "where keys, certificates and pools are kept (default: the platform's state folder)",
    )
    instance: str = _setting(
        TEXT, "default", "listening", "name of this emulator; two with different names may share an engine"
    )

    config: tuple[Path, ...] = _setting(PATHS, (), "pools", "pool files (YAML or JSON)")
    image: str | None = _setting(TEXT, None, "pools", "run one CustomContainer pool with this image")
    target_port: int | None = _setting(
        INTEGER, None, "pools", "port the container of --image listens on", low=1, high=65535
    )
    name: str | None = _setting(TEXT, None, "pools", "name of the pool of --image (default custom)")

    runtime: str = _setting(
        TEXT, "auto", "sessions", "where sessions run", choices=("auto", "docker", "process")
    )
    session_subnet: str = _setting(
        SUBNET, "10.213.0.0/16", "sessions", "IPv4 range; every session gets a /29 of it"
    )
    keep: bool = _setting(SWITCH, False, "sessions", "leave containers behind at exit", "--keep", "--no-keep")
    pull: bool = _setting(SWITCH, True, "sessions", "pull images that are missing", "--pull", "--no-pull")
    ready_sessions: int = _setting(
        INTEGER, 1, "sessions", "instances kept ready in each built-in pool", low=0, high=600
    )
    session_cpu: float | None = _setting(
        NUMBER, None, "sessions", "cores of a session whose pool names none (default: no limit)", low=0.01
    )
    session_memory: int | None = _setting(
        SIZE, 1024 * MIB, "sessions", "memory of a session whose pool names none", unit="bytes", low=6 * MIB
    )
    session_disk: int | None = _setting(
        SIZE,
        None,
        "sessions",
        "disk of a session, where the engine's storage driver can (default: no limit)",
        unit="bytes",
        low=16 * MIB,
    )
    pids_limit: int = _setting(
        INTEGER, 512, "sessions", "processes and threads a session may have", low=16, high=1_000_000
    )
    start_concurrency: int = _setting(
        INTEGER,
        _cores,
        "sessions",
        "containers started at a time (default: the number of cores, at least 2)",
        low=1,
        high=256,
    )
    start_timeout: float = _setting(
        SECONDS, 120.0, "sessions", "how long a session may take to answer", unit="seconds", low=1
    )
    engine_timeout: float = _setting(
        SECONDS,
        10.0,
        "sessions",
        "a Docker Engine that answers nothing for so long counts as gone",
        unit="seconds",
        low=0.1,
    )
    engine_interval: float = _setting(
        SECONDS,
        15.0,
        "sessions",
        "how often sessions are compared with what the engine runs",
        unit="seconds",
        low=0.1,
    )
    stop_timeout: float = _setting(
        SECONDS, 10.0, "sessions", "how long stopping everything may take at exit", unit="seconds", low=1
    )
    labels: tuple[tuple[str, str], ...] = _setting(
        LABELS, (), "sessions", "more labels for containers and networks, KEY=VALUE (for a reaper, say)"
    )
    python_image: str = _setting(
        TEXT, "dynamic-sessions/python:latest", "sessions", "image of PythonLTS pools"
    )
    node_image: str = _setting(TEXT, "dynamic-sessions/node:latest", "sessions", "image of NodeLTS pools")
    shell_image: str = _setting(TEXT, "dynamic-sessions/shell:latest", "sessions", "image of Shell pools")

    auth: str = _setting(
        TEXT,
        "strict",
        "identity",
        "strict: this emulator's signature and all claims; claims: any signer; off: no check",
        choices=("strict", "claims", "off"),
    )
    strict: bool = _setting(
        SWITCH,
        True,
        "identity",
        "refuse what the service refuses, or only what is harmful",
        "--strict",
        "--loose",
    )
    tenant: str = _setting(
        TEXT, "11111111-1111-1111-1111-111111111111", "identity", "tenant id in tokens and metadata"
    )
    token_lifetime: float = _setting(
        SECONDS, 86400.0, "identity", "lifetime of tokens handed out", unit="seconds", low=1
    )
    token_leeway: float = _setting(
        SECONDS, 0.0, "identity", "how far a token's times may be off", unit="seconds", low=0, high=3600
    )
    role_propagation: float = _setting(
        SECONDS, 0.0, "identity", "how long a new role assignment takes to count", unit="seconds", low=0
    )
    principals: tuple[Mapping[str, Any], ...] = _setting(
        RECORDS, (), "identity", "more principals: oid, name, clientId, clientSecret, scopes", secret=True
    )
    identity_header: str | None = _setting(
        TEXT, None, "identity", "value of IDENTITY_HEADER (default: made at first start)", secret=True
    )
    admin_key: str | None = _setting(
        TEXT,
        None,
        "identity",
        "key of the admin API off loopback (without one it is closed there)",
        secret=True,
    )
    admin_from: tuple[str, ...] = _setting(
        NAMES,
        (),
        "identity",
        "addresses or networks that need no admin key; gateway: this container's default gateway",
    )
    operation_delay: float = _setting(
        SECONDS, 0.0, "identity", "how long control-plane operations take", unit="seconds", low=0
    )

    default_timeout: int = _setting(
        INTEGER, 60, "limits", "an execution that names no time limit", unit="seconds", low=1
    )
    code_timeout: int = _setting(
        INTEGER, 220, "limits", "longest execution in a code pool", unit="seconds", low=1
    )
    shell_timeout: int = _setting(
        INTEGER, 600, "limits", "longest command in a Shell pool", unit="seconds", low=1
    )
    output_length: int = _setting(
        INTEGER,
        4096,
        "limits",
        "output kept per stream unless the request says more",
        unit="characters",
        low=1,
    )
    upload_limit: int = _setting(
        SIZE, 128 * MIB, "limits", "largest file of a built-in pool", unit="bytes", low=1
    )
    body_limit: int = _setting(
        SIZE, 32 * MIB, "limits", "largest request body that is no file", unit="bytes", low=1024
    )
    executions_kept: int = _setting(
        INTEGER, 1000, "limits", "finished executions kept per session", low=1, high=1_000_000
    )
    journal_size: int = _setting(
        INTEGER, 1000, "limits", "requests and events kept for looking back", low=0, high=1_000_000
    )
    journal_excerpt: int = _setting(
        SIZE, 4096, "limits", "kept of each body in the request journal", unit="bytes", low=0, high=64 * MIB
    )
    logs_kept: int = _setting(
        INTEGER, 100, "limits", "ended sessions whose console is kept", low=0, high=100_000
    )
    log_tail: int = _setting(
        SIZE,
        128 * 1024,
        "limits",
        "read of a session's console, and kept of each ended one",
        unit="bytes",
        low=1024,
        high=64 * MIB,
    )
    connect_timeout: float = _setting(
        SECONDS, 10.0, "limits", "connecting to a session", unit="seconds", low=0.1
    )
    read_timeout: float = _setting(
        SECONDS, 240.0, "limits", "a custom container's silence before 504", unit="seconds", low=0.1
    )
    upstream_grace: float = _setting(
        SECONDS, 30.0, "limits", "an execution's answer past its own time limit", unit="seconds", low=0
    )

    log_format: str = _setting(TEXT, "text", "logging", "log lines as", choices=("text", "json"))
    log_level: str = _setting(
        TEXT, "info", "logging", "least important line logged", choices=("debug", "info", "warning", "error")
    )

    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def instance_dir(self) -> Path:
        """Where this instance keeps what is its own."""
        return self.state_dir / self.instance

    @property
    def lock_file(self) -> Path:
        """Held by the emulator that runs this instance."""
        return self.instance_dir / "lock"


TABLE: Final[tuple[Setting, ...]] = tuple(
    Setting(name=one.name, default=None if one.default is MISSING else one.default, **one.metadata)
    for one in fields(Settings)
    if one.metadata
)
_BY_KEY: Final = {one.key: one for one in TABLE}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--settings` and a flag for every setting; `vars()` of the result holds only what was given."""
    import argparse

    absent: Any = argparse.SUPPRESS
    parser.add_argument("--settings", metavar="FILE", default=absent, help="settings file (YAML)")
    groups = {group: parser.add_argument_group(group) for group in dict.fromkeys(one.group for one in TABLE)}
    for one in TABLE:
        add = groups[one.group].add_argument
        text = one.help.replace("%", "%%")
        if one.kind is SWITCH:
            positive, negative = one.flags
            add(positive, dest=one.name, action="store_const", const=True, default=absent, help=text)
            add(
                negative,
                dest=one.name,
                action="store_const",
                const=False,
                default=absent,
                help="the opposite",
            )
            continue
        if one.default not in (None, ()):
            text += f" (default {_shown(one)})"
        metavar = "{" + ",".join(one.choices) + "}" if one.choices else _METAVARS.get(one.kind.name, "VALUE")
        many: dict[str, Any] = {"nargs": "+", "action": "extend"} if one.kind.many else {}
        add(f"--{one.key}", dest=one.name, metavar=metavar, default=absent, help=text, **many)


_METAVARS: Final = {
    "integer": "N",
    "number": "N",
    "duration": "SECONDS",
    "size": "SIZE",
    "path": "FILE",
    "paths": "FILE",
    "network": "CIDR",
    "names": "NAME",
    "labels": "KEY=VALUE",
    "port or off": "PORT",
    "list of objects": "JSON",
}


def _shown(one: Setting) -> str:
    from emulator.resources.units import format_bytes

    return (
        format_bytes(one.default)
        if one.kind is SIZE
        else f"{one.default:g}"
        if one.unit
        else str(one.default)
    )


def load(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Settings:
    """Settings from all sources. Raises `ConfigurationError` naming key, value, origin and what is expected.

    `flags`: what the command line gave, by name (others are left alone). `file`: the settings file; None
    takes `--settings` or DYNAMIC_SESSIONS_SETTINGS, if given. Relative paths in it count from its folder.
    """
    named = str(file or flags.get("settings") or environment.get(f"{PREFIX}SETTINGS") or "")
    path = Path(named).expanduser()
    from_file, places = _read_file(path) if named else ({}, {})
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for one in TABLE:
        if flags.get(one.name) is not None:
            raw, origin, folder = flags[one.name], _flag(one, flags[one.name]), None
        elif environment.get(one.variable, "") != "":
            raw, origin, folder = environment[one.variable], one.variable, None
        elif from_file.get(one.key) is not None:
            raw, origin, folder = from_file[one.key], places[one.key], path.parent
        else:
            continue
        values[one.name] = _value(one, raw, origin, folder)
        origins[one.name] = origin
    values.setdefault("state_dir", default_state_dir(environment))
    _check(values, origins)
    return Settings(**values, origins=origins, warnings=tuple(_misspelled(environment)))


def _flag(one: Setting, raw: Any) -> str:
    return (one.flags[0] if raw else one.flags[1]) if one.flags else f"--{one.key}"


def _value(one: Setting, raw: Any, origin: str, folder: Path | None) -> Any:
    try:
        value = one.read(raw)
    except WrongValue as error:
        given = "not shown" if one.secret else f"{raw!r}"
        raise ConfigurationError(f"{one.key} is {given}: {error}", where=origin) from None
    if folder is None or one.kind not in (PATH, PATHS):
        return value
    return tuple(folder / path for path in value) if one.kind is PATHS else folder / value


def _check(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """What must be given together, and files that must be there."""
    for name, partner in (("image", "target_port"), ("target_port", "image"), ("name", "image")):
        if values.get(name) is not None and values.get(partner) is None:
            key = partner.replace("_", "-")
            raise ConfigurationError(f"{name.replace('_', '-')} also needs {key}", where=origins[name])
    for name, partner in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if values.get(name) is not None and values.get(partner) is None:
            raise ConfigurationError(f"{name} also needs {partner}".replace("_", "-"), where=origins[name])
    for name in ("tls_cert", "tls_key"):
        path = values.get(name)
        if path is not None and not path.is_file():
            problem = f"{name.replace('_', '-')} is {str(path)!r}: there is no such file"
            raise ConfigurationError(problem, where=origins[name])


def _misspelled(environment: Mapping[str, str]) -> list[str]:
    known = {one.variable for one in TABLE} | OTHER_VARIABLES
    found = []
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known:
            found.append(f"{variable} is no setting{_guess(variable, known)}")
    return found


def _guess(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by key and `file:line` of each. Unknown keys are errors."""
    from emulator.resources.files import parse_yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"cannot be read: {reason}", where=str(path)) from None
    documents = [one for one in parse_yaml(text, path) if one[0] is not None]
    if not documents:
        return {}, {}
    content, lines = documents[0]
    if len(documents) > 1 or not isinstance(content, dict):
        raise ConfigurationError("expected one mapping of settings", where=str(path))
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for raw_key, value in content.items():
        place = f"{path}:{lines.get((raw_key,), 1)}"
        key = str(raw_key).replace("_", "-").lower()
        if key not in _BY_KEY:
            hint = _guess(key, _BY_KEY) or f"; known: {', '.join(_BY_KEY)}"
            raise ConfigurationError(f"{raw_key} is no setting{hint}", where=place)
        values[key], places[key] = value, place
    return values, places
