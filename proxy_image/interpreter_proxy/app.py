"""The wiring: routes, error answers, and a lifespan that owns the kernel."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from . import legacy, render
from .config import Config
from .errors import Refused, bad_request
from .executions import Execution, Executions
from .files import FileRoutes
from .health import Health
from .kernel import Kernel
from .render import json_response
from .requests import CODE_MISSING, parse
from .settings import Settings
from .spawn import Launch, Spawned
from .storage import Storage

log = logging.getLogger("interpreter_proxy")

_LARGEST_BODY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The execution and health routes over one kernel."""

    kernel: Kernel
    executions: Executions
    checks: Health
    config: Config
    settings: Settings

    def routes(self) -> list[Route]:
        """What Starlette serves."""
        paths = {"/health", self.config.probe.endpoint}
        return [
            *(Route(path, self.health, methods=["GET"]) for path in sorted(paths)),
            Route("/executions", self.execute, methods=["POST"]),
            Route("/executions/{id:path}", self.execution, methods=["GET"]),
            *(Route(path, self.execute_legacy, methods=["POST"]) for path in ("/code/execute", "/execute")),
        ]

    async def health(self, request: Request) -> Response:
        """200 once the kernel answered the probe's code, else 503 with the reason."""
        trouble = self.checks.trouble
        if trouble is None:
            return json_response({"message": "healthy"})
        return json_response({"message": trouble}, 503)

    async def execute(self, request: Request) -> Response:
        """POST /executions: 202 with the result, or with the operation's place for an asynchronous run."""
        began = time.monotonic()
        body = await read_json(request)
        if legacy.asked_for(request) and isinstance(body.get("properties"), dict):
            return await self._answer_legacy(request, body, began)
        execution = await self._run(request, body)
        answer = render.body(execution, request.query_params.get("identifier", ""))
        return json_response(answer, 202, render.headers(execution, request.query_params, began))

    async def execution(self, request: Request) -> Response:
        """GET /executions/{id}: the same body, without a result while it runs."""
        execution = self.executions.get(request.path_params["id"])
        answer = render.body(execution, request.query_params.get("identifier", ""))
        return json_response(answer, 200, render.headers(execution, request.query_params, time.monotonic()))

    async def execute_legacy(self, request: Request) -> Response:
        """POST /code/execute: the wrapped body of the old family."""
        began = time.monotonic()
        return await self._answer_legacy(request, await read_json(request), began)

    async def _answer_legacy(self, request: Request, body: Mapping[str, Any], began: float) -> Response:
        properties = body.get("properties")
        if not isinstance(properties, dict):
            raise bad_request("The request needs a `properties` object", "SessionPropertiesMissing")
        if "code" not in properties and "pythonCode" in properties:
            properties = properties | {"code": properties["pythonCode"]}
        execution = await self._run(request, properties)
        headers = render.headers(execution, request.query_params, began)
        headers["X-Ms-Session-Guid"] = request.query_params.get("identifier", "")
        return json_response(legacy.executed(execution), 202, headers)

    async def _run(self, request: Request, body: Mapping[str, Any]) -> Execution:
        wanted = parse(body, self.config.execution, self.settings)
        execution = self.executions.start(wanted, request.headers.get("operation-id"))
        if not execution.request.asynchronous:
            await execution.done.wait()
        return execution


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises Refused: 400 when it is not one, 413 beyond 64 MB."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST_BODY:
            raise Refused(413, "RequestTooLarge", f"The body is larger than {_LARGEST_BODY // 2**20} MB.")
    if not data:
        raise bad_request(CODE_MISSING)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object")
    return body


def refused(request: Request, error: Refused) -> Response:
    """The one place where a refusal becomes an HTTP answer."""
    headers = {"x-ms-error-code": error.code}
    if error.status == 413:
        headers["Connection"] = "close"  # the rest of the body is not read
    return json_response({"error": {"code": error.code, "message": error.message}}, error.status, headers)


def http_error(request: Request, error: HTTPException) -> Response:
    """404 and 405 of the router, in the same shape."""
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "InvalidRequest")
    message = f"{error.detail}: {request.method} {request.url.path}"
    return json_response({"error": {"code": code, "message": message}}, error.status_code, error.headers)


def failed(request: Request, error: Exception) -> Response:
    """A fault of the proxy's own."""
    return json_response({"error": {"code": "InternalServerError", "message": repr(error)}}, 500)


def hung_up(request: Request, error: Exception) -> Response:
    """Nobody reads this answer."""
    return Response(status_code=499)


_HANDLERS: dict[Any, Any] = {
    Refused: refused,
    HTTPException: http_error,
    ClientDisconnect: hung_up,
    Exception: failed,
}


def interpreter_app(config: Config, settings: Settings, launch: Launch, first: Spawned) -> Starlette:
    """The application in front of a kernel whose first process has been started already."""
    kernel = Kernel(launch, first, grace=settings.interrupt_grace, start_timeout=settings.start_timeout)
    executions = Executions(kernel, config)
    health = Health(kernel, config.probe)
    storage = Storage(config.files.data_directory, launch.user)
    interpreter = Interpreter(kernel, executions, health, config, settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(kernel.run()), asyncio.create_task(health.run())]
        try:
            yield
        finally:
            await executions.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    routes = [*interpreter.routes(), *FileRoutes(storage, config.files.max_upload).routes()]
    return Starlette(routes=routes, exception_handlers=_HANDLERS, lifespan=lifespan)
