"""A local server with TensorFlow Serving's protocols: for development, tests and small machines.

It serves gRPC and REST as `tensorflow_model_server` does, from the same folders and configuration files. It has neither
TLS nor authentication. Imports TensorFlow.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, text_format, wrappers_pb2
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tfdvbpr_serving.config import (
    BATCHING_FILE,
    BatchingOptions,
    ModelSource,
    ServerLimits,
    model_sources,
    read_batching_config,
)
from tfdvbpr_serving.errors import ModelLoadError, ServerStartError
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.protocol import messages, tensorflow_pb2, tensorflow_serving_pb2
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from tfdvbpr_serving.server.predictor import Predictor, ServerMetrics
from tfdvbpr_serving.server.requests import ModelChoice, RequestContext, RequestError, invalid_argument
from tfdvbpr_serving.server.rest import RestApi, RestThread

_log = logging.getLogger(__name__)


class LocalServer:
    """Serves SavedModels on this machine until it is stopped; a context manager.

    Args:
        models: base path by served name, for the newest version of each; or sources with policies and labels, as from
            `tfdvbpr_serving.config.read_models_config`.
        port: of gRPC; 0 takes a free one, see `target`.
        rest_port: of REST and metrics; 0 takes a free one, None for no REST.
        host: the address to listen on; "0.0.0.0" for every one. There is no authentication.
        batching: how requests are joined; None runs each alone. A `batching_params.pbtxt` in a version folder overrides
            it for that version.
        limits: of requests.
        poll_seconds: how often to look for newer versions; None for never.

    Attributes:
        port: the port of gRPC, once started.
        metrics: Prometheus metrics.

    Raises:
        ModelLoadError: if a model has no version folder; from `start`, if one cannot be loaded.
        ServerStartError: from `start`, if it cannot listen at host and port.

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
        max_requests = self._limits.max_concurrent_requests
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=max_requests, thread_name_prefix="tfdvbpr-serve"),
            maximum_concurrent_rpcs=max_requests,
            options=[
                ("grpc.max_send_message_length", self._limits.max_message_bytes),
                ("grpc.max_receive_message_length", self._limits.max_message_bytes),
                ("grpc.so_reuseport", 0),  # otherwise a second server would share the port in silence
            ],
        )
        server.add_generic_rpc_handlers((_GrpcHandlers(self._store, self._predictor),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (*messages.SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=_reflection_pool())
        return server

    @property
    def target(self) -> str:
        """The address for clients, "host:port"."""
        return f"{self._reachable_host}:{self.port}"

    @property
    def rest_url(self) -> str | None:
        """The address of REST, "http://host:port"; None without it."""
        return None if self._rest is None else f"http://{self._reachable_host}:{self._rest.port}"

    @property
    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.host, self.host)

    @property
    def models(self) -> list[LoadedModel]:
        """The served versions for requests that name none."""
        return self._store.newest()

    def start(self) -> LocalServer:
        """Opens the ports, loads and warms the models, then serves."""
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
            api = RestApi(self._predictor, self.metrics, limits=self._limits)
            self._rest = RestThread(api, host=self.host, port=self._rest_port)
        self._store.load_all()
        self._server.start()
        if self._rest is not None:
            self._rest.start()
        for service in ("", *messages.SERVICE_NAMES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
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
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace_seconds)
        if self._rest is not None:
            self._rest.stop(grace_seconds=grace_seconds)
        stopped.wait()
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


class _GrpcHandlers(grpc.GenericRpcHandler):
    """TensorFlow Serving's gRPC methods.

    Requests arrive as bytes and are parsed here, so that an unreadable message is INVALID_ARGUMENT with a sentence. By
    itself gRPC would give INTERNAL and print a stack trace.
    """

    def __init__(self, store: ModelStore, predictor: Predictor) -> None:
        self._store = store
        self._predictor = predictor
        functions: dict[str, Callable[[Any, grpc.ServicerContext], Any]] = {
            messages.PREDICT: self._predict,
            messages.GET_MODEL_METADATA: self._metadata,
            messages.GET_MODEL_STATUS: self._status,
            messages.RELOAD_CONFIG: self._reload,
        }
        self._handlers = {
            path: grpc.unary_unary_rpc_method_handler(partial(_respond, messages.METHODS[path][0], function))
            for path, function in functions.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)

    def _predict(self, request: PredictRequest, grpc_context: grpc.ServicerContext) -> PredictResponse:
        context = RequestContext(grpc_context.time_remaining())
        if not grpc_context.add_callback(context.cancel):
            context.cancel()
        prediction = self._predictor.predict(
            _model_choice(request),
            lambda runner: runner.read(request.inputs),
            output_filter=list(request.output_filter),
            context=context,
            protocol="grpc",
        )
        response = PredictResponse()
        spec = response.model_spec
        spec.name, spec.version.value, spec.signature_name = prediction.model, prediction.version, prediction.signature
        for name, array in prediction.outputs.items():
            messages.write_tensor(response.outputs[name], array)
        return response

    def _metadata(self, request: GetModelMetadataRequest, _: grpc.ServicerContext) -> GetModelMetadataResponse:
        if list(request.metadata_field) != ["signature_def"]:
            fields = ", ".join(request.metadata_field)
            raise invalid_argument(f'`metadata_field` must be ["signature_def"]. Received [{fields}].')
        return self._predictor.metadata(_model_choice(request))[0]

    def _status(self, request: GetModelStatusRequest, _: grpc.ServicerContext) -> GetModelStatusResponse:
        return self._predictor.status(_model_choice(request))

    def _reload(self, request: ReloadConfigRequest, _: grpc.ServicerContext) -> ReloadConfigResponse:
        """Serves the models of another configuration from now on, or changes nothing."""
        try:
            sources = model_sources(request.config)
        except ModelLoadError as error:
            raise invalid_argument(str(error)) from error
        self._store.reload(sources)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _respond(
    message: Any, function: Callable[[Any, grpc.ServicerContext], Any], body: bytes, context: grpc.ServicerContext
) -> bytes:
    """Runs a method: a `RequestError` becomes its status, any other error INTERNAL, and the server continues."""
    try:
        try:
            request = message.FromString(body)
        except DecodeError as error:
            name = message.DESCRIPTOR.name
            raise invalid_argument(f"The body must be a {name}. Received {len(body)} other bytes.") from error
        return bytes(function(request, context).SerializeToString())
    except RequestError as error:
        context.abort(error.code, error.message)
    except Exception as error:
        _log.exception("A request failed")
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}. See the server's log.")
    raise AssertionError("abort raises")


def _model_choice(request: Any) -> ModelChoice:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec. Name the model.")
    spec = request.model_spec
    chosen = spec.WhichOneof("version_choice")
    return ModelChoice(
        spec.name,
        int(spec.version.value) if chosen == "version" else None,
        spec.version_label if chosen == "version_label" else None,
        spec.signature_name,
    )


def _reflection_pool() -> descriptor_pool.DescriptorPool:
    """The services under the protocol's own names, for gRPC reflection; a pool of its own, beside TensorFlow's."""
    pool = descriptor_pool.DescriptorPool()
    ours = (tensorflow_pb2.DESCRIPTOR, tensorflow_serving_pb2.DESCRIPTOR)
    for file in (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR, *ours, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        text = text_format.MessageToString(descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb))
        if file in ours:
            text = text.replace(f"{messages.OUR_PACKAGE}tensorflow", "tensorflow")
        pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return pool
