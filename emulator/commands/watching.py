"""`fault` and `requests`: disturb traffic, and look at it, from a shell."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

from emulator.commands.client import CommandFailed, add_endpoint, connect, segment, show
from emulator.resources.faults import EFFECTS, MATCH
from emulator.resources.schema import Choice, Members, Text
from emulator.texts import visible


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module to the parser."""
    faults = verbs.add_parser("fault", help="let requests meet errors, delays, cuts, dying containers")
    inner = faults.add_subparsers(required=True, metavar="VERB")
    adding = inner.add_parser("add", help="add a rule")
    adding.add_argument("effect", choices=list(EFFECTS), help="what happens")
    adding.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="e.g. code=…, seconds=2"
    )
    adding.add_argument(
        "--match", action="append", default=[], metavar="NAME=VALUE", help="e.g. pool=python, every=3"
    )
    adding.add_argument("--times", type=int, help="how often it strikes (default: always)")
    adding.add_argument("--seed", type=int, help="for probability and random lengths")
    adding.add_argument("--id", help="a name for it (default: fault-1, fault-2 …)")
    listing = inner.add_parser("list", help="rules in force, and how often they struck")
    clearing = inner.add_parser("clear", help="remove a rule, or all of them")
    clearing.add_argument("id", nargs="?")
    requests = verbs.add_parser("requests", help="the request journal")
    requests.add_argument("--har", type=Path, metavar="FILE", help="write it as a HAR file")
    requests.add_argument("--failed", action="store_true", help="only those that met an error or broke off")
    for parser, act in ((adding, _add), (listing, _list), (clearing, _clear), (requests, _requests)):
        add_endpoint(parser)
        parser.set_defaults(act=act)


def _pairs(given: list[str], flag: str, members: Members) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandFailed(f"{flag} {text}: must look like NAME=VALUE")
        pairs[name] = value
        if not isinstance(members.kinds.get(name), Text | Choice):
            with contextlib.suppress(ValueError):
                pairs[name] = json.loads(value)
    return pairs


def _add(options: argparse.Namespace) -> None:
    document: dict[str, Any] = {
        "effect": {"type": options.effect, **_pairs(options.option, "--option", EFFECTS[options.effect])},
        "match": _pairs(options.match, "--match", MATCH),
    }
    document |= {
        name: value for name in ("times", "seed", "id") if (value := getattr(options, name)) is not None
    }
    show(connect(options).call("POST", "/.emulator/faults", document))


def _list(options: argparse.Namespace) -> None:
    show(connect(options).call("GET", "/.emulator/faults"))


def _clear(options: argparse.Namespace) -> None:
    one = f"/{segment(options.id)}" if options.id else ""
    connect(options).call("DELETE", f"/.emulator/faults{one}")


def _requests(options: argparse.Namespace) -> None:
    client = connect(options)
    if options.har is not None:
        har = client.call("GET", "/.emulator/requests.har")
        options.har.write_text(json.dumps(har, indent=2), encoding="utf-8")
        print(f"{len(har['log']['entries'])} requests written to {options.har}")
        return
    failed = "?failed=true" if options.failed else ""
    for one in client.call("GET", f"/.emulator/requests{failed}")["requests"]:
        reason = one.get("reason") or one.get("failure")
        why = f"  [{reason}]" if reason else ""
        who = f"{one.get('pool', '-')}/{one.get('identifier', '-')}"
        took = f"{one['milliseconds']:>9.1f} ms"
        status = one["status"] or ("..." if one["inFlight"] else "---")
        text = f"{one['started']}  {status}  {took}  {one['method']:<6} {who:<30} {one['url']}{why}"
        print(visible(text))
