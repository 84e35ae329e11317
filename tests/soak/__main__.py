"""`scripts/soak`: load, kills and faults for minutes; between them a rest, at which everything is counted."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import harness
from tests.docker.engine import Lab
from tests.harness import pool
from tests.soak.load import Load
from tests.soak.measure import Held, Scales, session_folders
from tests.soak.trouble import Trouble

IDENTIFIERS = 200
CLOCK_SCALE = 20.0
"""A cooldown of 300 s is 15 s here, so that identifiers come and go."""
FLAT_MIB = 12.0
"""How much more memory than after the first full stretch may be held at the end: buffers are full by then."""


def pools(runtime: str, image: str | None) -> list[dict[str, Any]]:
    found = [
        pool("python", "PythonLTS", max_sessions=8, ready=1),
        pool("shell", "Shell", max_sessions=8, ready=1),
    ]
    if image is not None:
        template = {
            "containers": [{"name": "main", "image": image, "resources": {"cpu": 0.5, "memory": "1Gi"}}],
            "ingress": {"targetPort": 8080},
        }
        found.append(pool("echo", "CustomContainer", template=template, ready=1, max_sessions=8))
    return found


def problems(rests: list[Held], after: dict[str, int], wrong: list[str]) -> list[str]:
    """What is not as it must be: things that are left over or grew, answers that must not be."""
    found = list(wrong[:20])
    first, last = rests[0], rests[-1]
    for name in ("files", "sockets", "tasks", "children", "containers", "networks", "folders"):
        if getattr(last, name) > getattr(first, name):
            found.append(
                f"{name}: {getattr(first, name)} at the first rest, {getattr(last, name)} at the last"
            )
    if len(rests) > 2 and last.memory > rests[1].memory + FLAT_MIB:
        found.append(f"memory: {rests[1].memory:.1f} MiB at the second rest, {last.memory:.1f} at the last")
    found += [f"{name}: {count} left behind after the end" for name, count in after.items() if count]
    return found


def soak(minutes: float, runtime: str, seed: int, stretch: float, callers: int) -> list[str]:
    """Run it; returns what went wrong."""
    instance, flags, image, lab = f"soak-{os.getpid()}", ["--runtime", runtime], None, None
    if runtime == "docker":
        lab = Lab()
        instance, image = lab.new_instance(), lab.build("echo")
        flags = lab.flags(instance)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        running = harness.start(Path(folder), *flags, pools=pools(runtime, image))
        scales = Scales(running, instance)
        names = [f"caller-{number:03}" for number in range(IDENTIFIERS)]
        load = Load(running, names, callers, seed)
        trouble = Trouble(running, instance, 2.0, seed)
        warm = 3 if image else 2
        rests: list[Held] = []
        end = time.monotonic() + minutes * 60
        try:
            running.ask("POST", "/clock", json={"scale": CLOCK_SCALE})
            while True:
                load.work()
                trouble.work()
                _go_on(min(stretch, max(0.0, end - time.monotonic())), load, trouble)
                trouble.rest()
                load.rest()
                rests.append(scales.at_rest(warm))
                print(f"at rest: {rests[-1].row()}", flush=True)
                if time.monotonic() > end:
                    break
        finally:
            load.end()
            trouble.end()
            scales.close()
            status = running.stop()
        after = {
            "exit status": status,
            "session folders": len(session_folders(running.process.pid)),
        }
        if lab is not None:
            after |= {"containers": len(lab.containers(instance)), "networks": len(lab.networks(instance))}
            lab.sweep(instance)
        if "Traceback" in running.text():
            load.tally.wrong.append(
                "the log holds a traceback:\n"
                + running.text()[running.text().index("Traceback") - 300 :][:3000]
            )
    tally = load.tally
    print(f"{tally.total} requests of {len(tally.identifiers)} identifiers, {tally.cut} connections cut")
    print("answers: " + ", ".join(f"{what}: {count}" for what, count in sorted(tally.answers.items())))
    for error, count in tally.errors.most_common(12):
        print(f"  {count:>5} x {error}")
    print("trouble: " + ", ".join(f"{what}: {count}" for what, count in sorted(trouble.done.items())))
    return problems(rests, after, tally.wrong)


def _go_on(seconds: float, load: Load, trouble: Trouble) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(30.0, left))
        tally = load.tally
        print(
            f"{tally.total} requests, {tally.cut} cut, {len(tally.wrong)} wrong, "
            f"{sum(trouble.done.values())} troubles; next rest in {max(0.0, until - time.monotonic()):.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("minutes", type=float, nargs="?", default=20.0)
    parser.add_argument("--runtime", default="docker", choices=["docker", "process"])
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    parser.add_argument("--stretch", type=float, default=180.0, help="seconds of load between two rests")
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes on {options.runtime}", flush=True)
    found = soak(options.minutes, options.runtime, options.seed, options.stretch, options.callers)
    for one in found:
        print(f"WRONG: {one}")
    if found:
        raise SystemExit(1)
    print("nothing leaked, nobody met anybody else, every answer was one that may be")


if __name__ == "__main__":
    main()
