"""The execution and health routes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import legacy, render
from .bodies import read_json
from .config import Config
from .errors import bad_request
from .executions import Execution, Executions
from .health import Health
from .render import json_response
from .requests import parse
from .settings import Settings

# A container is one session for its whole life.
_SESSION_GUID = str(uuid.uuid4())
_LEGACY_PATHS = ("/code/execute", "/python/execute", "/execute")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The execution and health routes over one kernel."""

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
            *(Route(path, self.execute_legacy, methods=["POST"]) for path in _LEGACY_PATHS),
        ]

    async def health(self, request: Request) -> Response:
        """200 once the kernel answered the probe's code, else 503 with the reason."""
        trouble = self.checks.trouble
        if trouble is None:
            return render.healthy_response()
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
        headers["X-Ms-Session-Guid"] = _SESSION_GUID
        return json_response(legacy.executed(execution), 202, headers)

    async def _run(self, request: Request, body: Mapping[str, Any]) -> Execution:
        wanted = parse(body, self.config.execution, self.settings)
        execution = self.executions.start(wanted, request.headers.get("operation-id"))
        if not execution.request.asynchronous:
            await execution.done.wait()
        return execution
