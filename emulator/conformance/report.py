"""Outcomes as text for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from textwrap import indent

from emulator.conformance.match import shown
from emulator.conformance.row import NOTHING, Row, Stream
from emulator.conformance.runner import Made, Outcome


def listed(row: Row) -> str:
    """A row in one line."""
    return f"{row.id}  [{row.provenance.value}]  {row.says}"


def differing(outcome: Outcome) -> str:
    """What was sent, what was expected, what came, and why it was expected."""
    row = outcome.row
    lines = [f"✗ {listed(row)}"]
    if outcome.made:
        lines.append(indent(sent(outcome.made[-1]), "    "))
        step = len(outcome.made)
        if len(row.exchanges) > 1:
            lines.append(f"    (exchange {step} of {len(row.exchanges)})")
    for one in outcome.differences:
        lines.append(f"    {one.where}")
        lines.append(f"      expected  {one.expected}")
        lines.append(f"      came      {one.came}")
    if outcome.made and (answer := outcome.made[-1].answer) is not None and answer.status >= 400:
        lines.append(f"    answer      {answer.status} {shown(answer.raw.decode('utf-8', 'replace'))}")
    return "\n".join(lines)


def sent(made: Made) -> str:
    """A request without its token."""
    send = made.send
    text = f"sent  {send.method} {made.target}"
    for name, value in send.headers.items():
        if name.lower() != "authorization":
            text += f"\n      {name}: {value}"
    if send.asker != "good":
        text += f"\n      (token: {send.asker})"
    if send.json is not NOTHING:
        text += f"\n      {json.dumps(send.json, ensure_ascii=False)[:500]}"
    elif isinstance(send.body, Stream):
        text += f"\n      ({send.body.length} bytes{', chunked' if send.body.chunked else ''})"
    elif send.body is not None:
        text += f"\n      {send.body[:500]!r}"
    return text


def summary(outcomes: Sequence[Outcome]) -> str:
    """Counts by provenance, and what could not be run."""
    lines = []
    bad = [outcome for outcome in outcomes if not outcome.good]
    run = [outcome for outcome in outcomes if not outcome.lacking]
    counts = Counter(outcome.row.provenance for outcome in bad)
    kinds = ", ".join(f"{count} {kind.value}" for kind, count in counts.items())
    lines.append(f"{len(run)} rows run, {len(bad)} differ{f' ({kinds})' if kinds else ''}")
    lacking = Counter(outcome.lacking for outcome in outcomes if outcome.lacking)
    lines += [f"{count} not run: they need {what}" for what, count in lacking.items()]
    return "\n".join(lines)
