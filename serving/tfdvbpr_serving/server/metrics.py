"""What the local server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

METRICS_PATH = "/monitoring/prometheus/metrics"

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Model(Protocol):
    name: str
    version: int

    @property
    def waiting(self) -> Mapping[str, int]: ...


class _Models(Protocol):
    def models(self) -> Iterable[_Model]: ...


class ServerMetrics:
    """Counters of one server, in a registry of its own.

    Names begin with `tfdvbpr_serving_`; times are seconds. Labels take only names of models and signatures that exist.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        names = ("model", "signature", "status", "protocol")
        self._requests = Counter("tfdvbpr_serving_requests", "Requests by gRPC status.", names, registry=self.registry)
        self._seconds = Histogram(
            "tfdvbpr_serving_request_seconds",
            "From the request read to the answer computed, waiting included.",
            ("model", "signature"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_rows = Histogram(
            "tfdvbpr_serving_batch_rows", "Rows computed together.", names[:2], buckets=_ROWS, registry=self.registry
        )
        self._waited = Histogram(
            "tfdvbpr_serving_queue_seconds",
            "How long the first request of a batch has waited.",
            names[:2],
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Looking a child up by its labels costs more than counting with it.
        self._counter = lru_cache(maxsize=None)(self._requests.labels)
        self._timer = lru_cache(maxsize=None)(self._seconds.labels)
        self._sizes = lru_cache(maxsize=None)(self._batch_rows.labels)
        self._waits = lru_cache(maxsize=None)(self._waited.labels)

    def request(self, model: str, signature: str, status: str, protocol: str, seconds: float) -> None:
        """Counts a request that has ended."""
        self._counter(model, signature, status, protocol).inc()
        self._timer(model, signature).observe(seconds)

    def batch(self, model: str, signature: str, rows: int, waited_seconds: float) -> None:
        """Counts a batch that is about to be computed."""
        self._sizes(model, signature).observe(rows)
        self._waits(model, signature).observe(waited_seconds)

    def watch(self, models: _Models) -> None:
        """Shows loaded versions and queues as they are when the metrics are read."""
        self.registry.register(_State(models))

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _State(Collector):
    def __init__(self, models: _Models) -> None:
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        loaded = GaugeMetricFamily(
            "tfdvbpr_serving_loaded_version", "1 for each version that answers.", labels=["model", "version"]
        )
        waiting = GaugeMetricFamily(
            "tfdvbpr_serving_waiting",
            "Rows (designs: requests) in the queue.",
            labels=["model", "version", "signature"],
        )
        for model in self._models.models():
            loaded.add_metric([model.name, str(model.version)], 1)
            for signature, count in model.waiting.items():
                waiting.add_metric([model.name, str(model.version), signature], count)
        return [loaded, waiting]
