"""`doctor`: what is wrong on this machine, and whether a live emulator keeps its sessions apart."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator import settings as settings_module
from emulator.commands.client import DEFAULT, Client

if TYPE_CHECKING:
    from emulator.doctor.isolation import Report


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
        help="probe the pools of a running emulator through its data plane and print the matrix",
    )
    doctor.add_argument(
        "--endpoint",
        default=os.environ.get("DYNAMIC_SESSIONS_ENDPOINT", DEFAULT),
        help=f"the emulator that --isolation probes (default {DEFAULT}, or DYNAMIC_SESSIONS_ENDPOINT)",
    )
    settings_module.add_flags(doctor)
    doctor.set_defaults(act=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    settings = settings_module.load(vars(options), os.environ)
    if options.isolation:
        from emulator.doctor.isolation import Isolation

        report = Isolation(Client(options.endpoint, settings.admin_key), settings.state_dir).run()
        _print_report(report)
        raise SystemExit(1 if report.broken else 0)
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


def _print_report(report: Report) -> None:
    """One table a pool that was probed from: a row a probe, a column a neighbour (`-`: has none)."""
    for pool in dict.fromkeys(cell.pool for cell in report.cells):
        cells = {(one.probe, one.neighbour): one for one in report.cells if one.pool == pool}
        columns = sorted({neighbour for _, neighbour in cells})
        rows = list(dict.fromkeys(probe for probe, _ in cells))
        print(f"from a session of pool {pool}, looking at a neighbour of")
        _row("", columns)
        for probe in rows:
            _row(
                probe,
                [str(cells[probe, one].verdict) if (probe, one) in cells else "" for one in columns],
            )
        print()
    for title, found in (("broken promises", report.broken), ("known limits here", report.limits)):
        if found:
            print(f"{title}:")
            for cell in found:
                at = "" if cell.neighbour == "-" else f" → {cell.neighbour}"
                print(f"  {cell.pool}{at}, {cell.probe}: {cell.detail}")
    if report.skipped:
        print("not looked at:")
        for note in report.skipped:
            print(f"  {note}")
    print(f"{len(report.cells)} probes, {len(report.limits)} known limits, {len(report.broken)} broken")


def _row(title: str, cells: Sequence[str]) -> None:
    print(f"  {title:<28}" + "".join(f"{cell:<12}" for cell in cells))
