"""What an emulator needs of the machine it runs on, each with what to do about it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from emulator.errors import ConfigurationError
from emulator.resources.model import ContainerType
from emulator.runtimes import sandbox
from emulator.runtimes.base import RuntimeUnavailable
from emulator.runtimes.engine import Engine
from emulator.runtimes.process import javascript_kernel
from emulator.settings import Settings

GIB = 1024**3
LEAST_FREE = 2 * GIB
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and the remedy if it is a problem (empty: all right)."""

    what: str
    found: str
    remedy: str = ""
    optional: bool = False

    @property
    def problem(self) -> bool:
        return bool(self.remedy) and not self.optional


def check_all(settings: Settings) -> Iterator[Check]:
    """Every check; none changes anything. An engine is optional unless the settings ask for one."""
    yield _python()
    yield _disk("state folder", settings.state_dir)
    engine: Engine | None = None
    try:
        engine = Engine()
    except RuntimeUnavailable as error:
        remedy = "start one (scripts/engine start), or run with --runtime process"
        yield Check("Docker Engine", str(error), remedy, optional=settings.runtime != "docker")
    running = _running(settings)
    if engine is not None:
        try:
            yield from _engine(engine, settings, running)
        finally:
            engine.close()
    yield from _ports(settings, running)
    # What the process runtime needs is a problem only where it is what sessions will run on.
    needed = settings.runtime == "process" or (settings.runtime == "auto" and engine is None)
    yield from _process_runtime(needed)
    yield _certificates(settings)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    remedy = "" if sys.version_info[:2] >= OLDEST_PYTHON else f"run it with Python {wanted} or later"
    return Check("Python", f"{version} ({sys.executable})", remedy)


def _disk(what: str, folder: Path) -> Check:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    remedy = "" if free >= LEAST_FREE else f"free some space: less than {LEAST_FREE // GIB} GiB is left"
    return Check(f"disk of the {what}", f"{free / GIB:.1f} GiB free at {there}", remedy)


def _engine(engine: Engine, settings: Settings, running: str | None) -> Iterator[Check]:
    yield Check("Docker Engine", f"version {engine.version} at {engine.address}")
    if engine.root and Path(engine.root).exists():
        yield _disk("engine", Path(engine.root))
    images = {
        ContainerType.PYTHON: settings.python_image,
        ContainerType.NODE: settings.node_image,
        ContainerType.SHELL: settings.shell_image,
    }
    for kind, image in images.items():
        there = engine.has_image(image)
        remedy = "" if there else "build it with scripts/images"
        optional = settings.runtime == "process"
        yield Check(f"image of {kind} pools", f"{image}{'' if there else ' is missing'}", remedy, optional)
    yield from _leftovers(engine, settings.instance, running)


def _leftovers(engine: Engine, instance: str, running: str | None) -> Iterator[Check]:
    found = engine.leftovers()
    for one in found:
        text = f"{one.containers} containers and {one.networks} networks of instance {one.instance}"
        if one.instance == running:
            yield Check("sessions", f"{text}, which is running")
        elif one.instance == instance:
            remedy = f"remove them with 'dynamic-sessions down --instance {one.instance}'"
            yield Check("leftovers", f"{text}, which is not running", remedy)
        else:
            remedy = f"if it runs no more: dynamic-sessions down --instance {one.instance}"
            yield Check("other instances", text, remedy, optional=True)
    if not any(one.instance == instance for one in found):
        yield Check("leftovers", f"none of instance {instance}")


def _running(settings: Settings) -> str | None:
    """Instance of the emulator that answers on the configured port, if one does."""
    if settings.port == 0:
        return None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    opener = build_opener(ProxyHandler({}))
    with suppress(OSError, ValueError):
        with opener.open(f"http://{host}:{settings.port}/.emulator/alive", timeout=3) as answer:
            json.load(answer)
        with opener.open(f"http://{host}:{settings.port}/.emulator/status", timeout=10) as answer:
            return str(json.load(answer)["instance"])
    return None


def _ports(settings: Settings, running: str | None) -> Iterator[Check]:
    for name, port in (("HTTP port", settings.port), ("HTTPS port", settings.tls_port)):
        if port is None or port == 0:
            yield Check(name, "off" if port is None else "a free one is picked")
            continue
        where = f"{settings.host}:{port}"
        if running is not None:
            yield Check(name, f"{where}: the emulator '{running}' answers there")
            continue
        try:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            socket.create_server((settings.host, port), family=family).close()
        except OSError as error:
            flag = "--port" if name == "HTTP port" else "--tls-port"
            remedy = f"end what listens there, or give another port with {flag}"
            yield Check(name, f"{where}: {error.strerror or error}", remedy)
        else:
            yield Check(name, f"{where} is free")


def _process_runtime(needed: bool) -> Iterator[Check]:
    missing = [one for one in ("interpreter_proxy", "ipykernel") if importlib.util.find_spec(one) is None]
    found = f"{', '.join(missing)} missing" if missing else "ipykernel and the interpreter proxy"
    remedy = "pip install 'dynamic-sessions-emulator[process]'" if missing else ""
    yield Check("Python kernel of the process runtime", found, remedy, optional=not needed)
    kernel = javascript_kernel()
    remedy = "" if kernel else "for NodeLTS pools: npm install -g ijavascript && ijsinstall"
    yield Check("JavaScript kernel of the process runtime", str(kernel or "none"), remedy, optional=True)
    bash = shutil.which("bash")
    remedy = "" if bash else "install bash for Shell pools"
    yield Check("shell of the process runtime", bash or "no bash", remedy, optional=not needed)
    bwrap = sandbox.bubblewrap()
    if bwrap is None:
        installed = shutil.which("bwrap")
        found = f"{installed} is there, but not allowed to make namespaces" if installed else "not installed"
        remedy = "allow unprivileged user namespaces" if installed else "install bubblewrap"
        remedy += ", or let the process runtime run only code you trust"
        yield Check("bubblewrap", found, remedy, optional=not needed)
    else:
        yield Check("bubblewrap", bwrap)


def _certificates(settings: Settings) -> Check:
    what = "certificates"
    if settings.tls_port is None:
        return Check(what, "HTTPS is off")
    if settings.tls_cert is not None and settings.tls_key is not None:
        from emulator.tls import own_certificate

        try:
            own_certificate(settings.tls_cert, settings.tls_key)
        except ConfigurationError as error:
            return Check(what, str(error), "give a PEM chain and its key with --tls-cert and --tls-key")
        return _lasting(settings.tls_cert, "give a newer one with --tls-cert")
    authority = settings.state_dir / "tls" / "ca.pem"
    if not authority.exists():
        return Check(what, f"the development CA is made at the first start ({authority})")
    return _lasting(authority, f"remove {authority.parent}; the next start makes a new CA")


def _lasting(path: Path, remedy: str) -> Check:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return Check("certificates", f"{path}: {error}", remedy)
    until = certificate.not_valid_after_utc
    text = f"{path}, valid until {until:%Y-%m-%d}"
    return Check("certificates", text, "" if until.timestamp() > time.time() else f"it is over; {remedy}")
