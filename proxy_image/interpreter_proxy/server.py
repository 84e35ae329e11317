"""uvicorn around the application, with an end that is quick."""

from __future__ import annotations

import logging
import os

import uvicorn

from . import log
from .app import interpreter_app
from .launch import Prepared

logger = logging.getLogger("interpreter_proxy")

# Longer than any client keeps an idle connection, so that it is never this side that drops one just as a
# request arrives.
_KEEP_ALIVE = 600


def serve(prepared: Prepared, *, uds: str | None, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    log.configure(prepared.config.logging)
    for line in prepared.lines:
        logger.info(line)
    if prepared.launch is None or prepared.spawned is None:
        raise NotImplementedError
    app = interpreter_app(prepared.config, prepared.settings, prepared.launch, prepared.spawned)
    config = uvicorn.Config(
        app,
        uds=uds,
        host=host,
        port=port,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=0,
    )
    where = uds or f"{host}:{port}"
    logger.info("Serving on %s (process %d).", where, os.getpid())
    uvicorn.Server(config).run()
