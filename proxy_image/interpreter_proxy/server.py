"""uvicorn around the application, with an end that is quick."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Generator

import uvicorn

from . import children, log
from .app import Service, interpreter_service, shell_service
from .launch import Prepared

logger = logging.getLogger("interpreter_proxy")

# Longer than any client keeps an idle connection, so that it is never this side that drops one just as a
# request arrives.
_KEEP_ALIVE = 600


class _Server(uvicorn.Server):
    """Ends with status 0 on SIGTERM, and tells those who wait for a run before it closes connections."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        children.reap_strays(loop)
        yield

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._service.abandon()


def serve(prepared: Prepared, *, uds: str | None, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    log.configure(prepared.config.logging)
    for line in prepared.lines:
        logger.info(line)
    if prepared.launch is None or prepared.spawned is None:
        service = shell_service(prepared.config, prepared.settings, prepared.user)
    else:
        service = interpreter_service(prepared.config, prepared.settings, prepared.launch, prepared.spawned)
    config = uvicorn.Config(
        service.app,
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
        timeout_graceful_shutdown=1,
    )
    logger.info("Serving on %s (process %d).", uds or f"{host}:{port}", os.getpid())
    _Server(config, service).run()
