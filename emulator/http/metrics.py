"""Prometheus metrics, with Azure's own names for the pods of a pool beside ours."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from emulator.pool.events import Event
from emulator.pool.registry import Registry
from emulator.pool.session import State

_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 220.0)


class Metrics:
    """Counts what the event log tells and looks at the pools when it is asked."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, registry: Registry) -> None:
        self._metrics = CollectorRegistry(auto_describe=False)
        self._metrics.register(_Pools(registry))
        self._events = Counter("emulator_events", "Events by kind", ["kind", "pool"], registry=self._metrics)
        self._requests = Histogram(
            "emulator_request_seconds",
            "Data-plane requests",
            ["pool", "status"],
            buckets=_BUCKETS,
            registry=self._metrics,
        )

    def count(self, event: Event) -> None:
        self._events.labels(event.kind, event.pool or "").inc()

    def observe(self, pool: str, status: int, seconds: float) -> None:
        self._requests.labels(pool, str(status)).observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._metrics)


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
        for pool in self._registry.pools:
            name, sessions = [pool.spec.name], pool.sessions
            allocating = sum(one.state is State.ALLOCATING for one in sessions)
            ready.add_metric(name, pool.warm.ready)
            executing.add_metric(name, sum(one.state is State.ACTIVE for one in sessions))
            pending.add_metric(name, pool.warm.starting + allocating)
            in_flight.add_metric(name, sum(one.in_flight for one in sessions))
        yield from (ready, executing, pending, in_flight)
