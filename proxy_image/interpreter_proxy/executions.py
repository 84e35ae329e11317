"""Executions: run one after the other or beside each other, kept, and found again by their id."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from .config import Config
from .errors import bad_request, execution_not_found
from .kernel import Kernel
from .output import Collector, Failure
from .requests import ExecutionRequest

log = logging.getLogger("interpreter_proxy")

# Of finished executions' output in all; the oldest go first. It bounds the proxy's memory where callers
# ask for long output and print a lot.
_KEPT_CHARACTERS = 64_000_000


@dataclass(slots=True)
class Outcome:
    """What came of a run. Lengths are in characters and count what was cut, too."""

    stdout: str
    stderr: str
    value: Any
    jupyter: str | None
    milliseconds: int
    failure: Failure | None
    stdout_length: int
    stderr_length: int

    @property
    def succeeded(self) -> bool:
        """Whether the code ran to its end without an exception."""
        return self.failure is None


@dataclass(slots=True)
class Execution:
    """One run, from its request on. `outcome` is None while it runs."""

    id: str
    request: ExecutionRequest
    outcome: Outcome | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Executions:
    """Runs code for the session: synchronous runs in turn, asynchronous ones as the kernel can."""

    def __init__(self, kernel: Kernel, config: Config) -> None:
        self._kernel = kernel
        self._config = config
        self._channel = asyncio.Lock()
        self._kept: OrderedDict[str, Execution] = OrderedDict()
        self._characters = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, request: ExecutionRequest, operation_id: str | None) -> Execution:
        """Begins a run; a repeated operation id begins nothing and returns the execution of that id.

        Raises Refused (400) for an asynchronous run where the configuration does not allow them.
        """
        if request.asynchronous and not self._config.kernel.asynchronous:
            raise bad_request(
                "Asynchronous execution is not supported: "
                "spec.kernel.isAsynchronousExecutionSupported is false"
            )
        if operation_id and (known := self._kept.get(operation_id)) is not None:
            return known
        execution = Execution(operation_id or str(uuid.uuid4()), request)
        self._kept[execution.id] = execution
        # A task of its own: a caller who hangs up does not stop what it started.
        task = asyncio.create_task(self._run(execution))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return execution

    def get(self, execution_id: str) -> Execution:
        """The execution of that id; raises Refused (404)."""
        execution = self._kept.get(execution_id)
        if execution is None:
            raise execution_not_found(execution_id)
        return execution

    def abandon(self) -> None:
        """Ends what runs: whoever waits for it is told so."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, execution: Execution) -> None:
        request = execution.request
        collector = Collector(self._kernel.language, request.output_limit)
        began = time.monotonic()
        try:
            if request.asynchronous:
                await self._in_kernel(request, collector)
            else:
                async with self._channel:
                    began = time.monotonic()
                    await self._in_kernel(request, collector)
        except asyncio.CancelledError:
            collector.fail("ConnectionClosed", "The session is being stopped.")
            raise
        except Exception as error:
            log.exception("The execution %s failed inside the proxy.", execution.id)
            collector.fail("InternalServerError", f"The proxy failed: {error!r}")
        finally:
            self._finish(execution, collector, round((time.monotonic() - began) * 1000))

    async def _in_kernel(self, request: ExecutionRequest, collector: Collector) -> None:
        execution = self._config.execution
        snippets = execution.asynchronous if request.asynchronous else execution.synchronous
        code = snippets.wrap(request.code)
        if request.empty_kernel:
            await self._kernel.execute_alone(code, collector, request.limit)
        else:
            await self._kernel.execute(code, collector, request.limit, aside=request.asynchronous)

    def _finish(self, execution: Execution, collector: Collector, milliseconds: int) -> None:
        outcome = execution.outcome = Outcome(
            stdout=str(collector.stdout),
            stderr=str(collector.stderr),
            value=collector.result,
            jupyter=collector.jupyter,
            milliseconds=milliseconds,
            failure=collector.failure,
            stdout_length=collector.stdout.length,
            stderr_length=collector.stderr.length,
        )
        execution.done.set()
        words = "Succeeded" if outcome.succeeded else "Failed"
        log.info("Execution %s: %s in %d ms.", execution.id, words, milliseconds)
        self._characters += _size(outcome)
        while self._kept and (
            len(self._kept) > self._config.execution.kept or self._characters > _KEPT_CHARACTERS
        ):
            oldest = next((one for one in self._kept.values() if one.outcome is not None), None)
            if oldest is None or oldest is execution:
                break
            del self._kept[oldest.id]
            self._characters -= _size(oldest.outcome)


def _size(outcome: Outcome | None) -> int:
    if outcome is None:
        return 0
    value = len(outcome.value) if isinstance(outcome.value, str) else 0
    figures = outcome.value if isinstance(outcome.value, list) else [outcome.value]
    value += sum(len(f.get("base64_data", "")) for f in figures if isinstance(f, dict))
    return len(outcome.stdout) + len(outcome.stderr) + value + len(outcome.jupyter or "")
