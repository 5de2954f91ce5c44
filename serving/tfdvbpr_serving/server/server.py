"""A local server that speaks TensorFlow Serving's protocols: for development, tests and small machines.

It answers gRPC and REST as `tensorflow_model_server` does, from the same folders and configuration files. It has
neither TLS nor authentication. Imports TensorFlow.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent import futures
from functools import partial
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tfdvbpr_serving.config.config_files import BATCHING_FILE, read_batching_config
from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.models.versions import ModelSource
from tfdvbpr_serving.protocol.service_descriptors import SERVICE_NAMES, register_services
from tfdvbpr_serving.server.batching_options import BatchingOptions
from tfdvbpr_serving.server.grpc_services import add_services
from tfdvbpr_serving.server.limits import ServerLimits
from tfdvbpr_serving.server.metrics import ServerMetrics
from tfdvbpr_serving.server.predictor import Predictor
from tfdvbpr_serving.server.rest import RestApi, RestThread

_log = logging.getLogger(__name__)


class LocalServer:
    """Serves SavedModels on this machine until it is stopped; a context manager.

    Args:
        models: base path by served name, of which the newest version is served; or sources with policies and labels,
            as `tfdvbpr_serving.config.config_files.read_models_config` gives them.
        port: of gRPC; 0 takes a free one, see `target`.
        rest_port: of REST and metrics; 0 takes a free one, None for no REST.
        host: the address to listen on; "0.0.0.0" for every one. There is no authentication.
        batching: how requests are joined; None answers each alone. A `batching_params.pbtxt` in a version folder
            overrules it for that version.
        limits: what is taken in at most.
        poll_seconds: how often to look for newer versions; None for never.

    Attributes:
        port: the port of gRPC, once started.
        metrics: what it counts.

    Raises:
        ModelLoadError: if a model has no version folder; from `start`, if one cannot be loaded.
        ServerStartError: from `start`, if it cannot listen at host and port.
    """

    def __init__(
        self,
        models: Mapping[str, str | os.PathLike[str]] | Iterable[ModelSource],
        *,
        port: int = 0,
        rest_port: int | None = None,
        host: str = "127.0.0.1",
        batching: BatchingOptions | None = BatchingOptions(),  # noqa: B008 (frozen)
        limits: ServerLimits = ServerLimits(),  # noqa: B008 (frozen)
        poll_seconds: float | None = None,
    ) -> None:
        if poll_seconds is not None and poll_seconds <= 0:
            raise ValueError(f"`poll_seconds` must be > 0, or None for never. Received {poll_seconds}.")
        self.host = host
        self.port = port
        self.metrics = ServerMetrics()
        self._rest_port = rest_port
        self._limits = limits
        options = ServingOptions(batching, limits, self.metrics.batch)
        self._store = ModelStore(_sources(models), load=partial(_load, options=options))
        self.metrics.watch(self._store)
        self._predictor = Predictor(self._store, self.metrics)
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._poller: threading.Thread | None = None
        self._rest: RestThread | None = None
        self._health = health.HealthServicer()
        self._server = self._grpc_server()

    def _grpc_server(self) -> grpc.Server:
        most = self._limits.max_concurrent_requests
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=most, thread_name_prefix="tfdvbpr-serve"),
            maximum_concurrent_rpcs=most,
            options=[
                ("grpc.max_send_message_length", self._limits.max_message_bytes),
                ("grpc.max_receive_message_length", self._limits.max_message_bytes),
                ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
            ],
        )
        add_services(server, self._store, self._predictor)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        register_services()
        reflection.enable_server_reflection((*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    @property
    def target(self) -> str:
        """What a client connects to: "host:port"."""
        return f"{self._reachable_host}:{self.port}"

    @property
    def rest_url(self) -> str | None:
        """Where REST answers, "http://host:port"; None without it."""
        return None if self._rest is None else f"http://{self._reachable_host}:{self._rest.port}"

    @property
    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.host, self.host)

    @property
    def models(self) -> list[LoadedModel]:
        """What is served where a request names no version."""
        return self._store.newest()

    def start(self) -> LocalServer:
        """Takes the ports, loads and warms the models, then answers."""
        try:
            bound = self._server.add_insecure_port(f"{self.host}:{self.port}")
        except RuntimeError:
            bound = 0
        if not bound:
            raise ServerStartError(
                f"The address {self.host}:{self.port} must be free and of this machine. It is not. "
                "Choose another port, or 0 for any free one."
            )
        self.port = bound
        if self._rest_port is not None:
            api = RestApi(self._store, self._predictor, self.metrics, limits=self._limits)
            self._rest = RestThread(api, host=self.host, port=self._rest_port)
        self._store.load_all()
        self._server.start()
        if self._rest is not None:
            self._rest.start()
        for service in ("", *SERVICE_NAMES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        if self._poll_seconds is not None:
            self._poller = threading.Thread(target=self._poll, name="tfdvbpr-serve-poll", daemon=True)
            self._poller.start()
        return self

    def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Turns new requests away, lets those under way and in the queue end, and stops. Safe to call twice.

        Args:
            grace_seconds: how long they may take; those that take longer are cancelled.
        """
        self._stopping.set()
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace_seconds)
        if self._rest is not None:
            self._rest.stop(grace_seconds=grace_seconds)
        stopped.wait()
        if self._poller is not None:
            self._poller.join()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Waits until the server has ended; False if it has not within the time given."""
        return not self._server.wait_for_termination(timeout_seconds)

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._store.poll()
            except OSError as error:  # the folder may be gone for a moment; look again next time
                _log.warning("Could not look for new versions: %s", error)


def _sources(models: Mapping[str, str | os.PathLike[str]] | Iterable[ModelSource]) -> list[ModelSource]:
    if isinstance(models, Mapping):
        return [ModelSource(name, Path(path)) for name, path in models.items()]
    return list(models)


def _load(name: str, version: int, path: Path, *, options: ServingOptions) -> LoadedModel:
    own = path / BATCHING_FILE
    if options.batching is not None and own.is_file():
        options = ServingOptions(read_batching_config(own), options.limits, options.observe_batch)
    return load_model(name, version, path, options=options)
