"""`conformance`: the contract suite against any pool, this emulator's or a real one."""

from __future__ import annotations

import argparse
import os
from fnmatch import fnmatch
from urllib.parse import urlsplit

from emulator.commands.client import CommandFailed


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    one = verbs.add_parser("conformance", help="check any pool against the contract, row by row")
    one.add_argument("--endpoint", required=True, metavar="URL", help="the pool's management endpoint")
    one.add_argument(
        "--token",
        default=os.environ.get("DYNAMIC_SESSIONS_TOKEN"),
        help="bearer token (or DYNAMIC_SESSIONS_TOKEN; an emulator is asked for one)",
    )
    one.add_argument(
        "--container-type",
        choices=["PythonLTS", "NodeLTS", "Shell"],
        help="type of the pool (an emulator says it itself; otherwise PythonLTS)",
    )
    one.add_argument("--only", metavar="PATTERN", help="rows whose id matches, for instance 'files.*'")
    one.add_argument("--list", action="store_true", help="print the rows, send nothing")
    one.add_argument("-v", "--verbose", action="store_true", help="also name the rows that are as expected")
    one.set_defaults(act=_act)


def _act(options: argparse.Namespace) -> None:
    # The table is large and no other verb wants it.
    from emulator.conformance.client import NoAnswer
    from emulator.conformance.report import differing, listed, summary
    from emulator.conformance.rows import table
    from emulator.conformance.runner import Pool, run

    parts = urlsplit(options.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandFailed(f"--endpoint {options.endpoint}: must be an http or https URL of a pool")
    pool = Pool(options.endpoint, options.token, options.container_type)
    rows = [one for one in table(pool.container_type) if fnmatch(one.id, options.only or "*")]
    if not rows:
        raise CommandFailed(f"--only {options.only}: no row of a {pool.container_type} pool has such an id")
    if options.list:
        print("\n".join(map(listed, rows)))
        return
    try:
        pool.token("good")
    except NoAnswer as failure:
        raise CommandFailed(f"{options.endpoint}: {failure}") from failure
    outcomes = []
    for one in rows:
        outcome = run(pool, one)
        outcomes.append(outcome)
        if not outcome.good:
            print(differing(outcome), flush=True)
        elif options.verbose:
            print(
                listed(one) + (f" (not run: needs {outcome.lacking})" if outcome.lacking else ""), flush=True
            )
    pool.close()
    print(summary(outcomes))
    if not all(outcome.good for outcome in outcomes):
        raise SystemExit(1)
