"""The wiring: which routes a session serves, and a lifespan that owns what runs behind them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import render
from .bodies import HANDLERS, read_json
from .config import Config
from .executions import Executions
from .files import FileRoutes
from .health import Health
from .interpreter import Interpreter
from .kernel import Kernel
from .render import json_response
from .settings import Settings
from .spawn import Launch, Spawned
from .storage import Storage
from .users import KernelUser


@dataclass(frozen=True, slots=True)
class Service:
    """An application, and what to do first when it shall end."""

    app: Starlette
    abandon: Callable[[], None]


def interpreter_service(config: Config, settings: Settings, launch: Launch, first: Spawned) -> Service:
    """The application in front of a kernel whose first process has been started already."""
    kernel = Kernel(launch, first, grace=settings.interrupt_grace, start_timeout=settings.start_timeout)
    executions = Executions(kernel, config)
    health = Health(kernel, config.probe)
    storage = Storage(config.files.data_directory, launch.user)
    interpreter = Interpreter(executions, health, config, settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        storage.prepare()
        tasks = [asyncio.create_task(kernel.run()), asyncio.create_task(health.run())]
        if settings.jupyter:
            tasks.append(asyncio.create_task(show_in_jupyter(kernel, launch, settings.jupyter_port)))
        try:
            yield
        finally:
            executions.abandon()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def metadata(request: Request) -> Response:
        return await described(launch)

    async def kernel_death(request: Request) -> Response:
        later = request.query_params.get("when") == "next"
        if await kernel.die(with_next_run=later):
            return json_response({"message": "dies with the next run" if later else "killed"})
        return json_response({"message": kernel.trouble or "There is no kernel to kill."}, 409)

    routes = [
        *interpreter.routes(),
        *FileRoutes(storage, config.files.max_upload).routes(),
        Route("/metadata", metadata, methods=["GET"]),
    ]
    if settings.faults:  # whoever reaches this route can do the same by running code
        routes.append(Route("/faults/kernelDeath", kernel_death, methods=["POST"]))
    return Service(
        Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=lifespan), executions.abandon
    )


async def show_in_jupyter(kernel: Kernel, launch: Launch, port: int) -> None:
    """Serves Jupyter, from when the kernel is up: it must not wait for it."""
    from .jupyter import Jupyter

    jupyter = Jupyter(launch, port)
    kernel.on_ready.append(jupyter.show)
    if kernel.instance is not None:
        await jupyter.show(kernel.instance)
    await jupyter.run()


async def described(launch: Launch | None) -> Response:
    """GET /metadata; a start shall not wait for the import."""
    from . import metadata

    return json_response(await metadata.read(launch))


def shell_service(config: Config, settings: Settings, user: KernelUser) -> Service:
    """The application of a shell session: no kernel, commands and files."""
    from . import shell

    storage = Storage(config.files.data_directory, user)
    relative = Storage(settings.relative_root, user) if settings.relative_root else None
    runner = shell.Shell(user, config.files.data_directory, dict(os.environ))
    running: set[asyncio.Task[shell.ShellResult]] = set()

    async def execute(request: Request) -> Response:
        wanted = shell.parse(await read_json(request), config.execution.default_timeout, settings)
        task = asyncio.create_task(runner.run(wanted))
        running.add(task)
        task.add_done_callback(running.discard)
        result = await task
        return json_response(result.body(), headers=render.truncated(**result.lengths))

    async def healthy(request: Request) -> Response:
        return render.healthy_response()

    async def metadata(request: Request) -> Response:
        return await described(None)

    def abandon() -> None:
        for task in running:
            task.cancel()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        storage.prepare()
        yield
        abandon()

    routes = [
        *(Route(path, healthy, methods=["GET"]) for path in sorted({"/health", config.probe.endpoint})),
        Route("/shellExecute", execute, methods=["POST"]),
        Route("/metadata", metadata, methods=["GET"]),
        *FileRoutes(storage, config.files.max_upload, relative).routes(),
    ]
    return Service(Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=lifespan), abandon)
