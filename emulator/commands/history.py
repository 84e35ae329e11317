"""`session list`, `session logs` and `events`: what is and what was, also after it is gone."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from emulator.commands.client import Client, CommandFailed, connect, explain, query, segment
from emulator.texts import visible, visible_lines

PAUSE = 0.5
RETURN_SECONDS = 30.0
"""How long `--follow` waits for an emulator that ended to be back."""
SILENCE_SECONDS = 60.0
"""The emulator says something every 15 s; one that is silent for longer is gone."""
FOLLOWED_LINES = 10_000


def sessions(client: Client, pool: str | None, *, ended: bool = False) -> list[dict[str, Any]]:
    """Sessions of one pool or all; those that run, oldest first, or those that ended, newest first."""
    path = "/.emulator/sessions" + ("?ended=true" if ended else "")
    found: list[dict[str, Any]] = client.call("GET", path)["sessions"]
    return [one for one in found if pool is None or (one["pool"] or "").lower() == pool.lower()]


def list_sessions(options: argparse.Namespace) -> None:
    """`session list [--ended]`."""
    rows = sessions(connect(options), options.pool, ended=options.ended)
    if options.ended:
        print(f"{'POOL':<16} {'IDENTIFIER':<32} {'ENDED':<28} {'GUID':<36} CAUSE")
        for one in rows:
            who = one["identifier"] or "(none)"
            line = f"{one['pool'] or '-':<16} {who:<32} {one['endedAt']:<28} {one['guid']:<36} {one['cause']}"
            print(visible(line))
        return
    print(f"{'POOL':<16} {'IDENTIFIER':<32} {'STATE':<10} {'IN FLIGHT':>9} {'EXPIRES':<28} GUID")
    for one in rows:
        line = f"{one['pool']:<16} {one['identifier']:<32} {one['state']:<10} {one['inFlight']:>9} "
        print(visible(f"{line}{one['expiresAt']:<28} {one['guid']}"))


def logs(options: argparse.Namespace) -> None:
    """`session logs`: of the session that runs, else of the one of that identifier that ended last."""
    client = connect(options)
    guid = options.guid or _newest(client, options.pool, options.identifier)
    seen = ""
    while True:
        path = f"/.emulator/sessions/{segment(guid)}/logs"
        lines = FOLLOWED_LINES if options.follow and seen else options.tail
        answer = client.open("GET", f"{path}?{query(tail=str(lines))}")
        raw = answer.read()
        if answer.status >= 400:
            raise CommandFailed(explain(answer, raw))
        text = raw.decode("utf-8", "replace")
        _write(_added(seen, text))
        seen = text
        if (ended := answer.getheader("x-emulator-ended-at")) is not None:
            for name in ("note", "ended-cause"):
                if said := answer.getheader(f"x-emulator-{name}"):
                    print(visible(f"({ended}: {said})"), file=sys.stderr)
        if not options.follow or ended is not None:
            return
        time.sleep(PAUSE)


def _newest(client: Client, pool: str | None, identifier: str) -> str:
    for ended in (False, True):
        for one in sessions(client, pool, ended=ended):
            if one["identifier"] == identifier:
                return str(one["guid"])
    raise CommandFailed(
        f"--identifier {identifier}: there is no such session, and none that ended lately; "
        "'session list' and 'session list --ended' show them"
    )


def _added(before: str, now: str) -> str:
    """What `now` says beyond `before`, two ends of one text; all of it where they have nothing in common."""
    if now.startswith(before):
        return now[len(before) :]
    lines = before.splitlines(keepends=True)
    for first in range(1, len(lines)):
        rest = "".join(lines[first:])
        if now.startswith(rest):
            return now[len(rest) :]
    return now


def _write(text: str) -> None:
    """As it is into a file or pipe; on a terminal without what could drive it: a session wrote it."""
    sys.stdout.write(visible_lines(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def events(options: argparse.Namespace) -> None:
    """`events [--follow]`: one stream, so that nothing is lost or doubled between what was and what comes."""
    client = connect(options)
    if not options.follow:
        for event in client.call("GET", "/.emulator/events")["events"]:
            _show(event)
        return
    last = ""
    while True:
        for sequence, event in _stream(client, last):
            _show(event)
            last = sequence
        print(f"the emulator on {client.endpoint} ended; waiting for it to be back", file=sys.stderr)
        _await(client)


def _stream(client: Client, last: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events with their ids, from the one after `last` on (`""`: all that are kept) until the stream ends."""
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    answer = client.open("GET", "/.emulator/events?since=0", headers=headers, timeout=SILENCE_SECONDS)
    if answer.status >= 400:
        raise CommandFailed(explain(answer, answer.read()))
    sequence = last
    try:
        while line := answer.readline():
            name, _, value = line.decode("utf-8").rstrip("\n").partition(": ")
            if name == "id":
                sequence = value
            elif name == "data":
                yield sequence, json.loads(value)
    except (OSError, HTTPException):
        return


def _await(client: Client) -> None:
    deadline = time.monotonic() + RETURN_SECONDS
    while True:
        time.sleep(PAUSE)
        try:
            client.call("GET", "/.emulator/alive")
            return
        except CommandFailed:
            if time.monotonic() > deadline:
                text = f"the emulator on {client.endpoint} ended and was not back within {RETURN_SECONDS:g} s"
                raise CommandFailed(text) from None


def _show(event: dict[str, Any]) -> None:
    where = " ".join(str(event[key]) for key in ("pool", "identifier") if key in event)
    detail = event.get("detail", {})
    more = (
        f" ({detail['how']}, {detail['milliseconds']} ms)" if {"how", "milliseconds"} <= set(detail) else ""
    )
    text = f"{event['time']:.3f}  {event['kind']:<20} {where:<32} {event['cause']}{more}"
    print(visible(text), flush=True)
