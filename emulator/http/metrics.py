"""Prometheus metrics, with Azure's own names for the pods of a pool beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from emulator.faults import EFFECTS
from emulator.pool.events import Event
from emulator.pool.pool import Pool
from emulator.pool.registry import Registry
from emulator.pool.session import State

_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 220.0, 600.0)
_ENDS = {"session.expired", "session.stopped", "session.ended", "session.crashed", "session.lost"}
_STATUSES = frozenset(HTTPStatus)

_CLASSES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "notFound",
    405: "invalid",
    413: "tooLarge",
    415: "invalid",
    429: "full",
    500: "allocation",
    502: "session",
    503: "unavailable",
    504: "timeout",
}
"""Why requests were refused, by status: a closed list, since what callers and sessions write is no label."""

Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""More gauges by name: what each one means, and how to read it."""


class Metrics:
    """Hears of every event as it happens (`count` is a listener) and looks at the rest when it is asked.

    Labels are pools, and words of the emulator's own; a pool's go when the pool is deleted.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, registry: Registry, gauges: Gauges | None = None) -> None:
        self._registry = registry
        self._metrics = metrics = CollectorRegistry(auto_describe=False)
        metrics.register(_Pools(registry))
        metrics.register(_Own(gauges or {}))
        ProcessCollector(registry=metrics)
        self._events = Counter("emulator_events", "Events by kind", ["kind", "pool"], registry=metrics)
        self._requests = _histogram(metrics, "emulator_request_seconds", "Requests", "pool", "status")
        self._allocations = _histogram(
            metrics, "emulator_allocation_seconds", "Getting an instance for a session", "pool", "how"
        )
        self._executions = _histogram(
            metrics, "emulator_execution_seconds", "Executions, from asking to their end", "pool", "status"
        )
        self._refusals = Counter(
            "emulator_refusals", "Requests that were refused or failed", ["pool", "reason"], registry=metrics
        )
        self._faults = Counter("emulator_faults", "Faults that struck", ["pool", "effect"], registry=metrics)
        self._ended = Counter(
            "emulator_sessions_ended", "Sessions, by end", ["pool", "kind"], registry=metrics
        )

    def count(self, event: Event) -> None:
        """Hear of an event."""
        pool, kind, detail = event.pool or "", event.kind, event.detail
        if kind == "pool.deleted":
            if all(one.spec.name != pool for one in self._registry.pools):
                self._forget(pool)
            pool = ""
        self._events.labels(kind, pool).inc()
        if kind in _ENDS:
            self._ended.labels(pool, kind.removeprefix("session.")).inc()
        elif kind == "session.allocated" and detail.get("how") != "adopted":
            self._allocations.labels(pool, detail["how"]).observe(detail["milliseconds"] / 1000)
        elif kind == "execution.ended":
            self._executions.labels(pool, detail["status"]).observe(detail["milliseconds"] / 1000)
        elif kind in ("request.refused", "request.failed"):
            self._refusals.labels(pool, _CLASSES.get(detail["status"], "other")).inc()
        elif kind == "session.refused":
            self._refusals.labels(pool, "full").inc()
        elif (effect := kind.removeprefix("fault.")) in EFFECTS and effect != kind:
            self._faults.labels(pool, effect).inc()

    def observe(self, pool: str, status: int, seconds: float) -> None:
        """Hear of a finished request; a container may answer with any number, so unknown ones are classed."""
        shown = str(status) if status in _STATUSES else f"{status // 100}xx" if status else "none"
        self._requests.labels(pool, shown).observe(seconds)

    def _forget(self, pool: str) -> None:
        families: tuple[Counter | Histogram, ...] = (
            *(self._events, self._requests, self._allocations, self._executions),
            *(self._refusals, self._faults, self._ended),
        )
        for family in families:
            family.remove_by_labels({"pool": pool})

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._metrics)


def _histogram(metrics: CollectorRegistry, name: str, what: str, *labels: str) -> Histogram:
    return Histogram(name, what, labels, buckets=_BUCKETS, registry=metrics)


class _Pools(Collector):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily(
            "PoolReadyPodCount", "Instances that wait for an identifier", labels=["pool"]
        )
        executing = GaugeMetricFamily("PoolExecutingPodCount", "Sessions that are allocated", labels=["pool"])
        pending = GaugeMetricFamily("PoolPendingPodCount", "Instances that are starting", labels=["pool"])
        in_flight = GaugeMetricFamily(
            "emulator_requests_in_flight", "Requests holding a session", labels=["pool"]
        )
        by_name: dict[str, list[Pool]] = {}  # pools of several groups may have one name
        for pool in self._registry.pools:
            by_name.setdefault(pool.spec.name, []).append(pool)
        for name, pools in by_name.items():
            sessions = [session for pool in pools for session in pool.sessions]
            allocating = sum(one.state is State.ALLOCATING for one in sessions)
            ready.add_metric([name], sum(pool.warm.ready for pool in pools))
            executing.add_metric([name], sum(one.state is State.ACTIVE for one in sessions))
            pending.add_metric([name], sum(pool.warm.starting for pool in pools) + allocating)
            in_flight.add_metric([name], sum(one.in_flight for one in sessions))
        yield from (ready, executing, pending, in_flight)


class _Own(Collector):
    """What the emulator holds in memory, so that a long run can be watched for leaks."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, (what, read) in self._gauges.items():
            yield GaugeMetricFamily(name, what, value=read())
        yield GaugeMetricFamily("emulator_tasks", "asyncio tasks that are not done", value=_tasks())


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked outside of a running loop
        return 0
