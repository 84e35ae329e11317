"""`doctor`: what is wrong on this machine, and whether a live emulator keeps its sessions apart."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final, NoReturn

from emulator import settings as settings_module
from emulator.commands.client import DEFAULT, Client

if TYPE_CHECKING:
    from emulator.settings import Settings

TIME_LIMIT: Final = 900.0


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    doctor = verbs.add_parser(
        "doctor",
        help="check engine, images, ports, kernels; --isolation probes a live emulator",
        description="Checks what the emulator needs on this machine; exit status 1 if something is wrong.",
    )
    doctor.add_argument(
        "--isolation",
        action="store_true",
        help="probe the pools of a running emulator through its data plane and print the matrix; "
        "exit status 1 if a promise is broken or could not be looked at",
    )
    doctor.add_argument(
        "--endpoint",
        default=os.environ.get("DYNAMIC_SESSIONS_ENDPOINT", DEFAULT),
        help=f"the emulator that --isolation probes (default {DEFAULT}, or DYNAMIC_SESSIONS_ENDPOINT)",
    )
    doctor.add_argument(
        "--gentle", action="store_true", help="with --isolation: use up no processes, memory, disk or cores"
    )
    doctor.add_argument(
        "--json", action="store_true", help="with --isolation: print the matrix as one JSON document"
    )
    doctor.add_argument(
        "--time-limit",
        type=float,
        default=TIME_LIMIT,
        metavar="SECONDS",
        help=f"with --isolation: probe from no further pool after this long (default {TIME_LIMIT:g})",
    )
    settings_module.add_flags(doctor)
    doctor.set_defaults(act=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    settings = settings_module.load(vars(options), os.environ)
    if options.isolation:
        _isolation(options, settings)
    from emulator.doctor.checks import check_all

    problems = 0
    for check in check_all(settings):
        word = "problem" if check.problem else "note" if check.remedy else "ok"
        problems += check.problem
        print(f"{word:<8} {check.what}: {check.found}", flush=True)
        if check.remedy:
            print(f"         → {check.remedy}", flush=True)
    print(f"\n{problems} problems" if problems else "\nno problems")
    raise SystemExit(1 if problems else 0)


def _isolation(options: argparse.Namespace, settings: Settings) -> NoReturn:
    from emulator.doctor.isolation import Isolation

    report = Isolation(
        Client(options.endpoint, settings.admin_key),
        settings.state_dir,
        progress=_step,
        gentle=options.gentle,
        time_limit=options.time_limit,
        admin_key=settings.admin_key,
    ).run()
    if options.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(report.lines()))
    raise SystemExit(0 if report.good else 1)


def _step(text: str) -> None:
    """Progress goes to standard error, so that the matrix can be piped."""
    print(f"{time.strftime('%H:%M:%S')} {text} …", file=sys.stderr, flush=True)
