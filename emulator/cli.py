"""The command line: `dynamic-sessions VERB …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata

from emulator.commands import conformance, doctor, env, pool, sessions, up, watching
from emulator.commands.client import CommandFailed
from emulator.errors import EmulatorError


def parser() -> argparse.ArgumentParser:
    """The whole command line; each verb sets `act`, a callable that takes the parsed options."""
    top = argparse.ArgumentParser(
        prog="dynamic-sessions",
        description="A local, offline stand-in for an Azure Container Apps dynamic sessions pool.",
    )
    top.add_argument("--version", action="version", version=metadata.version("dynamic-sessions-emulator"))
    verbs = top.add_subparsers(required=True, metavar="VERB")
    for module in (up, env, pool, sessions, watching, conformance, doctor):
        module.add(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; exit status 2 for a wrong value, 1 for what could not be done, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    try:
        options.act(options)
    except CommandFailed as error:
        print(f"dynamic-sessions: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except EmulatorError as error:
        print(f"dynamic-sessions: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
