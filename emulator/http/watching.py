"""The admin routes that look at traffic and disturb it: faults, the request journal, metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router

from emulator.errors import ConfigurationError, RequestInvalid, RouteNotFound
from emulator.faults import Faults
from emulator.http.admin import read_object
from emulator.http.journal import Journal
from emulator.http.metrics import Metrics
from emulator.pool.events import EventLog


class Watching:
    """`/.emulator/{faults,requests,requests.har,metrics}`."""

    def __init__(self, journal: Journal, faults: Faults, metrics: Metrics, events: EventLog) -> None:
        self._journal = journal
        self._faults = faults
        self._metrics = metrics
        self._events = events

    def add_to(self, router: Router) -> None:
        """Add the routes to the admin API's router."""
        add = router.add_route
        add("/.emulator/faults", self._list, ["GET"])
        add("/.emulator/faults", self._add, ["POST"])
        add("/.emulator/faults", self._clear, ["DELETE"])
        add("/.emulator/faults/{id}", self._remove, ["DELETE"])
        add("/.emulator/requests", self._requests, ["GET"])
        add("/.emulator/requests", self._forget, ["DELETE"])
        add("/.emulator/requests.har", self._har, ["GET"])
        add("/.emulator/metrics", self._show_metrics, ["GET"])

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"faults": [rule.as_dict() for rule in self._faults.rules]})

    async def _add(self, request: Request) -> Response:
        try:
            rule = self._faults.add(await read_object(request))
        except ConfigurationError as error:
            raise RequestInvalid(str(error)) from error
        self._events.emit("fault.added", f"{rule.id}: {rule.effect}")
        return JSONResponse(rule.as_dict(), 201)

    async def _remove(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        if not self._faults.remove(id_):
            raise RouteNotFound(f"There is no fault {id_}; GET /.emulator/faults lists them.")
        self._events.emit("fault.removed", f"{id_}: removed over the admin API")
        return Response(status_code=204)

    async def _clear(self, _: Request) -> Response:
        count = self._faults.clear()
        self._events.emit("fault.cleared", f"{count} rules removed over the admin API")
        return Response(status_code=204)

    async def _requests(self, request: Request) -> Response:
        entries = self._journal.entries
        if request.query_params.get("failed", "false").lower() == "true":
            entries = [entry for entry in entries if entry.failed]
        return JSONResponse({"requests": [entry.as_dict() for entry in entries]})

    async def _forget(self, _: Request) -> Response:
        return JSONResponse({"removed": self._journal.clear()})

    async def _har(self, _: Request) -> Response:
        return JSONResponse(self._journal.har())

    async def _show_metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=self._metrics.content_type)
