"""`up` and `down`: the emulator itself, started and cleaned up."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from emulator import log_lines
from emulator import settings as settings_module
from emulator.commands.client import CommandFailed
from emulator.lock import Held, Lock
from emulator.settings import Settings

if TYPE_CHECKING:
    from emulator.http.app import Emulator


STOP_GRACE = 10.0
"""Seconds that an emulator which is asked to stop may take beyond its own --stop-timeout."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module to the parser."""
    for name, help_, act in (
        ("up", "start the emulator", _up),
        ("down", "remove every container and network of this instance", _down),
    ):
        verb = verbs.add_parser(name, help=help_)
        settings_module.add_flags(verb)
        verb.set_defaults(act=act)


def _settings(options: argparse.Namespace) -> Settings:
    settings = settings_module.load(vars(options), os.environ)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    log_lines.set_up(settings.log_format, settings.log_level)
    return settings


def _up(options: argparse.Namespace) -> None:
    settings = _settings(options)
    from emulator.http.app import serve  # after the flags were found right: it loads the web server

    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, _announce))
    else:
        uvloop.run(serve(settings, _announce))


def _announce(emulator: Emulator, notes: list[str]) -> None:
    """What a person wants to see: where it is, what runs, and something to paste."""
    document = emulator.ready_document()
    pools: dict[str, dict[str, Any]] = document["pools"]
    lines = [f"Dynamic Sessions Emulator ({document['runtime']} runtime): {', '.join(notes)}", ""]
    for scheme in ("http", "https"):
        if document[scheme]:
            lines.append(f"  {scheme:<6} {document[scheme]}")
    lines.append(f"  admin  {document['admin']}")
    for name, pool in pools.items():
        lines.append(f"  pool   {name} ({pool['containerType']}): {pool['endpoint']}")
    lines += [f"  note   {note}" for note in emulator.runtime_notes()]
    specs = [pool.spec for pool in emulator.registry.pools]
    lines += [f"  note   pool {spec.name}: {warning}" for spec in specs for warning in spec.warnings]
    first = next((pool for pool in pools.values() if pool["containerType"] != "CustomContainer"), None)
    if first is not None:
        shell = first["containerType"] == "Shell"
        body = '{"shellCommand":"echo $((6*7))"}' if shell else '{"code":"6*7"}'
        lines += [
            "",
            f'  TOKEN=$(curl -s -H "Accept: text/plain" {document["admin"]}/token)',
            f'  curl -s "{first["endpoint"]}/executions?api-version=2025-10-02-preview&identifier=alice" \\',
            f"    -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{body}'",
        ]
    print("\n".join(lines) + "\n", flush=True)


def _down(options: argparse.Namespace) -> None:
    settings = _settings(options)
    lock = _stop(settings)
    try:
        left, removed = asyncio.run(_sweep(settings))
    finally:
        lock.release()
    print(f"{removed} removed" if removed else f"nothing of instance {settings.instance} was left")
    if left:
        raise CommandFailed("could not be removed, run this again: " + "; ".join(left))


def _stop(settings: Settings) -> Lock:
    """Ask an emulator that runs this instance to stop, as Ctrl-C does, and take over its lock."""
    lock, asked = Lock(settings.lock_file), False
    deadline = time.monotonic() + settings.stop_timeout + STOP_GRACE
    while True:
        try:
            lock.take()
            return lock
        except Held as held:
            emulator = f"the emulator of instance {settings.instance} ({held.who})"
            if held.pid is None or time.monotonic() > deadline:
                why = "does not stop" if asked else "cannot be stopped from here"
                raise CommandFailed(f"{emulator} {why}; end it, then run this again") from None
            if not asked:
                print(f"stopping {emulator} …", flush=True)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(held.pid, signal.SIGTERM)
            asked = True
            time.sleep(0.05)


async def _sweep(settings: Settings) -> tuple[list[str], int]:
    """What could not be removed, and how much was."""
    from emulator.http.app import start_options
    from emulator.runtimes import choose, engine_expected

    # `auto` would take an engine that does not answer for none, and find nothing to remove.
    docker = settings.runtime == "auto" and engine_expected()
    runtime = await choose("docker" if docker else settings.runtime, start_options(settings))
    removed: list[str] = []

    def tell(name: str) -> None:
        removed.append(name)
        print(f"removed {name}", flush=True)

    try:
        left = await runtime.sweep(tell)
    finally:
        await runtime.aclose()
    if not left:
        (settings.instance_dir / "sessions.jsonl").unlink(missing_ok=True)
    return left, len(removed)
