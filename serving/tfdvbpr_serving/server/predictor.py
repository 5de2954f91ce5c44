"""Predictions, metadata and status for gRPC and REST, and the Prometheus metrics that count them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tfdvbpr_serving.models.loading import DEFAULT_SIGNATURE
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.protocol.messages import Arrays
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelVersionStatus,
    SignatureDefMap,
)
from tfdvbpr_serving.server.requests import ModelChoice, RequestContext, RequestError
from tfdvbpr_serving.server.runners import SignatureRunner

METRICS_PATH = "/monitoring/prometheus/metrics"

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SIGNATURE_MAP_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"  # the protocol's own name

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The outputs of a request, and the version that computed them."""

    model: str
    version: int
    signature: str
    outputs: Arrays


class Predictor:
    """Computes responses with the models of a store, and counts them."""

    def __init__(self, store: ModelStore, metrics: ServerMetrics) -> None:
        self._store = store
        self._metrics = metrics

    def predict(
        self,
        choice: ModelChoice,
        read: Callable[[SignatureRunner], Arrays],
        *,
        output_filter: list[str],
        context: RequestContext,
        protocol: str,
    ) -> Prediction:
        """The response to one request, whose inputs `read` reads and checks against a signature.

        An empty output filter keeps all outputs; `protocol` is "grpc" or "rest". Every error is a `RequestError` with
        the gRPC status TensorFlow Serving would give; INTERNAL for an unforeseen one.
        """
        start = time.perf_counter()
        labels, status = ("", ""), grpc.StatusCode.OK
        try:
            model = self._store.acquire(choice.name, version=choice.version, label=choice.label)
            try:
                runner = model.runner(choice.signature or DEFAULT_SIGNATURE)
                labels = (model.name, runner.name)  # existing names only, so that requests cannot create metrics
                wanted = runner.wanted_outputs(output_filter)
                outputs = model.predict(runner, read(runner), context)
            finally:
                model.release()
            chosen = outputs if len(wanted) == len(outputs) else {name: outputs[name] for name in wanted}
            return Prediction(model.name, model.version, runner.name, chosen)
        except RequestError as error:
            status = error.code
            raise
        except Exception as error:
            status = grpc.StatusCode.INTERNAL
            _log.exception("A request failed")
            raise RequestError(status, f"{type(error).__name__}. See the server's log.") from error
        finally:
            self._metrics.request(*labels, status.name, protocol, time.perf_counter() - start)

    def metadata(self, choice: ModelChoice) -> tuple[GetModelMetadataResponse, SignatureDefMap]:
        """The response, and the signatures that it packs."""
        model = self._store.acquire(choice.name, version=choice.version, label=choice.label)
        try:
            signatures = SignatureDefMap()
            for name, definition in model.signature_defs.items():
                signatures.signature_def[name].CopyFrom(definition)
        finally:
            model.release()
        response = GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = model.name, model.version
        packed = response.metadata["signature_def"]
        packed.type_url, packed.value = _SIGNATURE_MAP_TYPE, signatures.SerializeToString()
        return response, signatures

    def status(self, choice: ModelChoice) -> GetModelStatusResponse:
        """The versions of a model, or one of them, and their states."""
        response = GetModelStatusResponse()
        states = self._store.states(choice.name, version=choice.version, label=choice.label)
        for version, (state, error) in states.items():
            status = response.model_version_status.add(version=version, state=ModelVersionStatus.State.Value(state))
            status.status.SetInParent()
            if error:
                status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
                status.status.error_message = error
        return response


class ServerMetrics:
    """Prometheus counters of one server, in a registry of its own.

    Names begin with `tfdvbpr_serving_`; times are seconds. Labels take only names of models and signatures that exist.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        names = ("model", "signature", "status", "protocol")
        requests = Counter("tfdvbpr_serving_requests", "Requests by gRPC status.", names, registry=self.registry)
        self._counter = lru_cache(maxsize=None)(requests.labels)
        self._timer = self._histogram(
            "request_seconds", "From the request read to the response computed, waiting included.", _SECONDS
        )
        self._sizes = self._histogram("batch_rows", "Rows computed together.", _ROWS)
        self._waits = self._histogram("queue_seconds", "Waiting time of the first request of a batch.", _SECONDS)

        decoding = Counter(
            "tfdvbpr_serving_decoding_seconds", "Processor time of decoded images.", registry=self.registry
        )
        self.decoded: Callable[[float], object] = decoding.inc

    def _histogram(self, name: str, about: str, buckets: Sequence[float]) -> Callable[[str, str], Histogram]:
        """The histogram of a model and signature, cached: finding it by its labels costs more than counting."""
        names = ("model", "signature")
        found = Histogram(f"tfdvbpr_serving_{name}", about, names, buckets=buckets, registry=self.registry)
        return lru_cache(maxsize=None)(found.labels)

    def request(self, model: str, signature: str, status: str, protocol: str, seconds: float) -> None:
        """Counts a request that has ended."""
        self._counter(model, signature, status, protocol).inc()
        self._timer(model, signature).observe(seconds)

    def batch(self, model: str, signature: str, rows: int, waited_seconds: float) -> None:
        """Counts a batch that is about to be computed."""
        self._sizes(model, signature).observe(rows)
        self._waits(model, signature).observe(waited_seconds)

    def watch(self, store: ModelStore) -> None:
        """Adds gauges of loaded versions and queues, read with each page."""
        self.registry.register(_State(store))

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _State(Collector):
    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def collect(self) -> Iterable[Metric]:
        loaded = GaugeMetricFamily(
            "tfdvbpr_serving_loaded_version", "1 for each served version.", labels=["model", "version"]
        )
        waiting = GaugeMetricFamily(
            "tfdvbpr_serving_waiting",
            "Rows (designs: requests) in the queue.",
            labels=["model", "version", "signature"],
        )
        failures = CounterMetricFamily(
            "tfdvbpr_serving_version_failures",
            "Times that versions of a model could not be listed or one could not be loaded.",
            labels=["model"],
        )
        for name, count in dict(self._store.failures).items():
            failures.add_metric([name], count)
        for model in self._store.models():
            loaded.add_metric([model.name, str(model.version)], 1)
            for signature, count in model.waiting.items():
                waiting.add_metric([model.name, str(model.version), signature], count)
        return [loaded, waiting, failures]
