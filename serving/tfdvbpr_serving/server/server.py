"""A local server with TensorFlow Serving's protocols: for development, tests and small machines.

It serves gRPC and REST as `tensorflow_model_server` does, from the same folders and configuration files. What a caller
can cost it is bounded by `ServerLimits`, who may call it by `Access`. Imports TensorFlow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

import grpc

from tfdvbpr_serving.config import (
    BATCHING_FILE,
    BatchingOptions,
    ModelSource,
    ServerLimits,
    read_batching_config,
)
from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.server.access import Access, TokenInterceptor
from tfdvbpr_serving.server.cost import MemoryBudget
from tfdvbpr_serving.server.deadlines import Deadlines
from tfdvbpr_serving.server.decoding import ImageDecoder
from tfdvbpr_serving.server.grpc_api import HEALTH_CHECK, GrpcApi, add_reflection
from tfdvbpr_serving.server.http import HttpThread
from tfdvbpr_serving.server.predictor import Predictor, ServerMetrics
from tfdvbpr_serving.server.rest import RestApi

VERSIONS_SERVICE = "versions"  # of the health check

# Calls that have come and wait to be accepted, past which gRPC's core cancels some: it would from 1,000, and give them
# the status CANCELLED. Accepted, they are answered or refused with a sentence.
_MOST_UNACCEPTED = 20_000
# Calls of one connection that gRPC's core begins before it reads from the other connections.
_MOST_STARTED_PER_READ = 4


class LocalServer:
    """Serves SavedModels on this machine until it is stopped; a context manager.

    Args:
        models: base path by served name, for the newest version of each; or sources with policies and labels, as from
            `tfdvbpr_serving.config.read_models_config`.
        port: of gRPC; 0 takes a free one, see `target`.
        rest_port: of REST and metrics; 0 takes a free one, None for no REST.
        host: the address to listen on; "0.0.0.0" for every one.
        access: who may call it: TLS, tokens, names in Host headers. By default everyone on this machine, in plain text.
        batching: how requests are joined; None runs each alone. A `batching_params.pbtxt` in a version folder overrides
            it for that version.
        limits: of requests.
        poll_seconds: how often to look for newer versions; None for never.
        allow_reload: folders that HandleReloadConfigRequest may serve models from. Whoever can call the server can then
            replace its models by others in there; without any, the request is refused.

    Attributes:
        port: the port of gRPC, once started.
        metrics: Prometheus metrics.

    Raises:
        ModelLoadError: if a model has no version folder; from `start`, if one cannot be loaded.
        ServerStartError: for an address that other machines reach and no token; from `start`, if it cannot listen at
            host and port.

    Example:
        >>> with LocalServer({"recommender": "models/recommender"}) as server:  # doctest: +SKIP
        ...     Client(server.target).recommend(["u1"])
    """

    def __init__(
        self,
        models: Mapping[str, str | os.PathLike[str]] | Iterable[ModelSource],
        *,
        port: int = 0,
        rest_port: int | None = None,
        host: str = "127.0.0.1",
        access: Access = Access(),  # noqa: B008 (frozen)
        batching: BatchingOptions | None = BatchingOptions(),  # noqa: B008 (frozen)
        limits: ServerLimits = ServerLimits(),  # noqa: B008 (frozen)
        poll_seconds: float | None = None,
        allow_reload: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        if poll_seconds is not None and poll_seconds <= 0:
            raise ValueError(f"`poll_seconds` must be > 0, or None for never. Received {poll_seconds}.")
        access.check_address(host)
        self.host = host
        self.port = port
        self._access = access
        self.metrics = ServerMetrics()
        self._rest_port = rest_port
        self._limits = limits = limits.fitting_open_files()
        self._deadlines = Deadlines()
        self._decoder = ImageDecoder(
            num_processes=max(1, (os.cpu_count() or 1) - 1),
            limits=limits,
            deadlines=self._deadlines,
            observe=self.metrics.decoded,
        )
        options = ServingOptions(batching, limits, self.metrics.batch, self._decoder)
        self._store = ModelStore(_sources(models), load=partial(_load, options=options))
        self.metrics.watch(self._store)
        self._predictor = Predictor(self._store, self.metrics)
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._poller: threading.Thread | None = None
        self._rest: HttpThread | None = None
        self._rest_api: RestApi | None = None
        self._serving = False
        self._budget = MemoryBudget(limits.max_bytes_in_progress)
        self._api = GrpcApi(
            self._store,
            self._predictor,
            limits=limits,
            budget=self._budget,
            deadlines=self._deadlines,
            reload_roots=[Path(root).resolve() for root in allow_reload],
            ready=self._ready,
        )
        self._server = self._grpc_server()

    def _grpc_server(self) -> grpc.Server:
        limits = self._limits
        server = grpc.server(
            self._api.pool,
            interceptors=[TokenInterceptor(self._access, open_methods=frozenset({HEALTH_CHECK}))],
            options=[
                ("grpc.max_send_message_length", limits.max_message_bytes),
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_concurrent_streams", self._api.num_threads),  # of one connection; more wait at the client
                ("grpc.http2.max_requests_per_read", _MOST_STARTED_PER_READ),
                ("grpc.server.max_pending_requests", _MOST_UNACCEPTED),
                ("grpc.server.max_pending_requests_hard_limit", _MOST_UNACCEPTED),
                ("grpc.max_allowed_incoming_connections", limits.max_connections),
                ("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1000)),
                ("grpc.server_handshake_timeout_ms", round(limits.read_seconds * 1000)),
                ("grpc.so_reuseport", 0),  # otherwise a second server would share the port in silence
            ],
        )
        server.add_generic_rpc_handlers((self._api,))
        add_reflection(server, self._deadlines)
        return server

    def _ready(self, service: str) -> bool | None:
        """Whether a service can respond, None if there is none: "" and TensorFlow Serving's, if every model is loaded.

        The service "versions" is not ready while versions cannot be listed or loaded; the loaded ones are served.
        """
        if service == VERSIONS_SERVICE:
            return self._serving and self._store.current
        if service not in ("", *messages.SERVICE_NAMES):
            return None
        return self._serving and self._store.complete

    @property
    def target(self) -> str:
        """The address for clients, "host:port"."""
        return f"{self._reachable_host}:{self.port}"

    @property
    def rest_url(self) -> str | None:
        """The address of REST, "http://host:port" or "https://host:port"; None without it."""
        scheme = "http" if self._access.tls is None else "https"
        return None if self._rest is None else f"{scheme}://{self._reachable_host}:{self._rest.port}"

    @property
    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.host, self.host)

    @property
    def models(self) -> list[LoadedModel]:
        """The served versions for requests that name none."""
        return self._store.newest()

    def start(self) -> LocalServer:
        """Opens the ports, loads and warms the models, then serves."""
        address, tls = f"{self.host}:{self.port}", self._access.tls
        try:
            if tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, tls.credentials())
        except RuntimeError:
            bound = 0
        if not bound:
            raise ServerStartError(
                f"The address {address} must be free and of this machine. It is not. "
                "Choose another port, or 0 for any free one."
            )
        self.port = bound
        if self._rest_port is not None:
            self._rest_api = RestApi(
                self._predictor,
                self.metrics,
                limits=self._limits,
                budget=self._budget,
                access=self._access,
                host=self.host,
                ready=self._ready,
            )
            self._rest = HttpThread(
                self._rest_api, host=self.host, port=self._rest_port, limits=self._limits, tls=self._access.tls
            )
        self._deadlines.start()
        try:
            self._store.load_all()
        except BaseException:
            self._decoder.close()
            raise
        self._server.start()
        if self._rest is not None:
            self._rest.start()
        self._serving = True
        if self._poll_seconds is not None:
            self._poller = threading.Thread(target=self._poll, name="tfdvbpr-serve-poll", daemon=True)
            self._poller.start()
        return self

    def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Rejects new requests, lets those in progress and in the queue end, and stops. Safe to call twice.

        Args:
            grace_seconds: how long they may take; after it they are cancelled.
        """
        self._stopping.set()
        self._serving = False
        stopped = self._server.stop(grace_seconds)
        if self._rest is not None:
            self._rest.stop(grace_seconds=grace_seconds)
        if self._rest_api is not None:
            self._rest_api.close()
        stopped.wait()
        self._deadlines.stop()
        self._decoder.close()
        self._api.close()
        if self._poller is not None:
            self._poller.join()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Waits until the server has stopped; False if it has not within the time given."""
        return not self._server.wait_for_termination(timeout_seconds)

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self._store.poll()


def _sources(models: Mapping[str, str | os.PathLike[str]] | Iterable[ModelSource]) -> list[ModelSource]:
    if isinstance(models, Mapping):
        return [ModelSource(name, Path(path)) for name, path in models.items()]
    return list(models)


def _load(name: str, version: int, path: Path, *, options: ServingOptions) -> LoadedModel:
    own = path / BATCHING_FILE
    if options.batching is not None and own.is_file():
        options = options.with_batching(read_batching_config(own))
    return load_model(name, version, path, options=options)
