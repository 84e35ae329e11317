"""Long-running operations: what a client polls until it is done.

Recorded (2025-10): DELETE of a pool answers 202 with `Location: …/locations/{region}/operationResults/
<base64("sessionPools:<guid>")>`; polling it gives 202 without a body and a fresh Location, then 204.
"""

from __future__ import annotations

import asyncio
import base64
import math
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from emulator.clock import Clock
from emulator.http.arm.call import Call, answer, empty, moment
from emulator.http.arm.errors import ArmError
from emulator.pool.sweeper import Sweeper
from emulator.resources.regions import normal_name

KEPT: Final = 1000
PATIENCE: Final = 2.0
"""Real seconds a poll waits for work that is about to end, so that nobody sleeps between two polls."""


@dataclass
class Operation:
    """`work` ends when the operation does; `final`: what polling Location answers then."""

    id: str
    subscription: str
    region: str
    began: float
    work: asyncio.Task[None]
    final: Callable[[Call], Response]
    ended: float | None = None

    @property
    def done(self) -> bool:
        return self.work.done()

    @property
    def failure(self) -> BaseException | None:
        return self.work.exception() if self.work.done() and not self.work.cancelled() else None


class Operations:
    """`delay`: seconds of the clock that every operation takes at least."""

    def __init__(self, clock: Clock, sweeper: Sweeper, delay: float) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self.delay = delay
        self._operations: OrderedDict[str, Operation] = OrderedDict()

    def start(
        self,
        kind: str,
        subscription: str,
        location: str,
        final: Callable[[Call], Response],
        work: Callable[[], Awaitable[None]] | None = None,
    ) -> Operation:
        """Begin: wait for the delay to pass, then do `work`."""
        began, due = self._clock.now(), asyncio.Event()

        async def run() -> None:
            await due.wait()
            try:
                if work is not None:
                    await work()
            finally:
                operation.ended = self._clock.now()

        token = base64.b64encode(f"{kind}:{uuid.uuid4()}".encode()).decode().rstrip("=")
        task = asyncio.create_task(run(), name=f"operation {token}")
        operation = Operation(token, subscription, normal_name(location) or "local", began, task, final)
        self._operations[token] = operation

        def begin() -> asyncio.Task[None]:
            due.set()
            return task

        if self.delay:
            self._sweeper.at(began + self.delay, begin)
        else:
            begin()
        for old in list(self._operations)[:-KEPT]:
            if self._operations[old].done:
                del self._operations[old]
        return operation

    def headers(self, call: Call, operation: Operation, *kinds: str) -> dict[str, str]:
        """`kinds` of "location", "azure-asyncoperation"; with the seconds after which to ask again."""
        place = f"/subscriptions/{operation.subscription}/providers/Microsoft.App/locations"
        routes = {"location": "operationResults", "azure-asyncoperation": "operationStatuses"}
        fresh = str(int(self._clock.now() * 10_000_000))
        urls = {
            kind: call.url(f"{place}/{operation.region}/{routes[kind]}/{operation.id}", t=fresh)
            for kind in kinds
        }
        return {**urls, "retry-after": str(self._retry_after(operation))}

    def _retry_after(self, operation: Operation) -> int:
        # Never 0: Azure's Python clients take that for absent and wait 30 seconds.
        left = operation.began + self.delay - self._clock.now()
        return max(1, min(15, math.ceil(left)))

    async def status(self, call: Call) -> Response:
        """What Azure-AsyncOperation points at."""
        operation = await self._find(call)
        content: dict[str, Any] = {
            "id": "/" + "/".join(call.segments),
            "name": operation.id,
            "status": "InProgress",
            "startTime": moment(operation.began),
        }
        if not operation.done:
            return answer(content, headers={"retry-after": str(self._retry_after(operation))})
        content["endTime"] = moment(operation.ended or operation.began)
        if operation.failure is not None:
            error = {"code": "InternalServerError", "message": str(operation.failure)}
            return answer({**content, "status": "Failed", "error": error})
        return answer({**content, "status": "Succeeded"})

    async def result(self, call: Call) -> Response:
        """What Location points at."""
        operation = await self._find(call)
        if not operation.done:
            return empty(202, self.headers(call, operation, "location"))
        if operation.failure is not None:
            raise ArmError(500, "InternalServerError", str(operation.failure))
        return operation.final(call)

    async def _find(self, call: Call) -> Operation:
        operation = self._operations.get(call.names["operation"].rstrip("="))
        if operation is None:
            raise ArmError(404, "NotFound", "There is no such operation, or it ended long ago.")
        if self.delay == 0 and not operation.done:
            await asyncio.wait({operation.work}, timeout=PATIENCE)
        return operation

    async def aclose(self) -> None:
        """Cut off what is still waiting."""
        work = [operation.work for operation in self._operations.values() if not operation.done]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
