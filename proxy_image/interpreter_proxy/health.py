"""The health probe: does the kernel still answer, and for how long has it not."""

from __future__ import annotations

import asyncio
import logging
import time

from .config import HealthProbe
from .instance import KernelInstance
from .kernel import Kernel

log = logging.getLogger("interpreter_proxy")


class Health:
    """Runs the probe's code when the kernel has just started and then every period."""

    def __init__(self, kernel: Kernel, probe: HealthProbe) -> None:
        self._kernel = kernel
        self._probe = probe
        self._failures = 0
        self._last_success: float | None = None
        self._began = time.monotonic()
        kernel.on_ready.append(self._on_ready)

    @property
    def trouble(self) -> str | None:
        """Why the session is not healthy, or None when it is."""
        if self._last_success is None:
            return self._kernel.trouble
        if self._failures >= self._probe.failure_threshold:
            return f"The kernel failed {self._failures} health checks. {self._kernel.trouble}".strip()
        silent = time.monotonic() - self._last_success
        if silent > max(self._probe.success_threshold, self._probe.period):
            return f"The kernel has passed no health check for {silent:.0f} seconds."
        return None

    async def run(self) -> None:
        """Probes every period, until cancelled."""
        await asyncio.sleep(self._probe.initial_delay + self._probe.period)
        while True:
            instance = self._kernel.instance
            if instance is None:
                self._failed("the kernel is not running")
            elif instance.running:
                self._passed()  # it runs somebody's code, so it is alive; a probe would only queue behind it
            else:
                await self._check(instance)
            await asyncio.sleep(self._probe.period)

    async def _on_ready(self, instance: KernelInstance) -> None:
        if self._last_success is None and self._probe.initial_delay:
            await asyncio.sleep(max(0.0, self._began + self._probe.initial_delay - time.monotonic()))
        if instance.running:
            self._passed()
        else:
            await self._check(instance)

    async def _check(self, instance: KernelInstance) -> None:
        began = time.monotonic()
        try:
            reply = await asyncio.wait_for(instance.probe(self._probe.code), self._probe.timeout)
        except TimeoutError:
            if instance.running or instance.others_busy:
                self._passed()
            else:
                self._failed(f"no answer within {self._probe.timeout:g} seconds")
            return
        except ConnectionError:
            self._failed("the kernel died")
            return
        if reply.get("status") == "error":
            self._failed(f"the probe's code failed: {reply.get('ename')}: {reply.get('evalue')}")
            return
        log.info("Healthcheck execution time: %.0f ms", (time.monotonic() - began) * 1000)
        self._passed()

    def _passed(self) -> None:
        self._failures = 0
        self._last_success = time.monotonic()
        self._kernel.trouble = ""

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._kernel.trouble = f"Healthcheck failed: {why}."
        log.warning("Healthcheck failed (%d of %d): %s.", self._failures, self._probe.failure_threshold, why)
