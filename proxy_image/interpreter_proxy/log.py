"""Log lines on stderr in the form that spec.logging asks for."""

from __future__ import annotations

import logging
import sys
import time

from .config import Logging

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


def configure(config: Logging) -> None:
    """Sets the level (0 debug to 3 error) and the date format."""
    date = "%Y-%m-%dT%H:%M:%SZ" if config.iso_dates else "%Y/%m/%d %H:%M:%S"
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", date)
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    for name, level in (("interpreter_proxy", _LEVELS[config.level]), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
