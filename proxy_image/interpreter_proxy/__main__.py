"""`python -m interpreter_proxy [--uds PATH | --host H --port N] [--config PATH]`.

The kernel is what takes long, so it is started first, and everything that serves HTTP is imported while
it comes up.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import config_file
from .errors import ConfigurationError
from .settings import from_environment

if TYPE_CHECKING:
    from argparse import Namespace

    from .config import Config
    from .settings import Settings


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    from argparse import ArgumentParser

    parser = ArgumentParser("interpreter_proxy", description="REST proxy in front of a Jupyter kernel")
    parser.add_argument("--uds", metavar="PATH", help="listen on a Unix socket")
    parser.add_argument("--host", default="0.0.0.0", help="listen on this address (default 0.0.0.0)")  # noqa: S104
    parser.add_argument("--port", type=int, help="listen on this port (default: spec.kernel.port)")
    parser.add_argument(
        "--config",
        metavar="PATH",
        help="the configuration file (default: $CODE_INTERPRETER_CONFIG_FILE_PATH)",
    )
    return parser.parse_args(argv)


def configuration(path: str | None, settings: Settings) -> Config:
    """The configuration of the file that the command line or the environment names, or the defaults."""
    chosen = path or settings.config_path
    return config_file.load(chosen, settings) if chosen else config_file.default(settings)


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; 2 when the configuration cannot be used."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    try:
        settings = from_environment(os.environ)
        config = configuration(options.config, settings)
        from .launch import prepare

        prepared = prepare(config, settings, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    from .server import serve

    serve(prepared, uds=options.uds, host=options.host, port=options.port or config.kernel.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
