"""TensorFlow Serving's gRPC methods, health and reflection, none of which an idle caller can block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, text_format, wrappers_pb2
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from tfdvbpr_serving.config import ServerLimits, model_sources
from tfdvbpr_serving.errors import ModelLoadError
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
from tfdvbpr_serving.server.cost import MemoryBudget, Reservation, message_bytes
from tfdvbpr_serving.server.deadlines import Deadlines, Readers
from tfdvbpr_serving.server.pools import CallersThread, CountedPool, Places
from tfdvbpr_serving.server.predictor import Predictor
from tfdvbpr_serving.server.requests import (
    ModelChoice,
    RequestContext,
    RequestError,
    invalid_argument,
    not_found,
    permission_denied,
)

HEALTH_SERVICE = "grpc.health.v1.Health"
HEALTH_CHECK = f"/{HEALTH_SERVICE}/Check"

_RETRY_LATER = (("grpc-retry-pushback-ms", "1000"),)  # of gRPC's retries, for clients whose policy has this status
_MOST_WAITING = 64  # accepted calls that no thread has begun: with more than a full connection's, the server is behind
_SPARE_THREADS = 32  # reject callers when all places are taken
_REFLECTION_THREADS, _REFLECTION_SECONDS = 2, 10.0
_HEALTH_THREADS = 4

_log = logging.getLogger(__name__)

Respond = Callable[[Any, grpc.ServicerContext, Reservation], Any]


class GrpcApi(grpc.GenericRpcHandler):
    """The methods of a server: predictions, metadata, status, reload and health.

    Requests arrive as bytes and are parsed here, so that an unreadable message is INVALID_ARGUMENT with a sentence. By
    itself gRPC would give INTERNAL and print a stack trace. A method reads its one message from a stream, which is
    the same to a client: gRPC would wait for the message of a unary method as long as the caller likes.

    Args:
        store: the served models.
        predictor: computes the responses.
        limits: of requests.
        budget: of memory, shared with REST.
        deadlines: of reading and running, shared with REST.
        reload_roots: folders that HandleReloadConfigRequest may serve models from; none refuses every such request.
        ready: by service name, whether it can respond; "" is the whole server.
    """

    def __init__(
        self,
        store: ModelStore,
        predictor: Predictor,
        *,
        limits: ServerLimits,
        budget: MemoryBudget,
        deadlines: Deadlines,
        reload_roots: Sequence[Path],
        ready: Callable[[str], bool | None],
    ) -> None:
        self._store = store
        self._predictor = predictor
        self._limits = limits
        self._budget = budget
        self._deadlines = deadlines
        self._reload_roots = reload_roots
        self._ready = ready
        self._places = Places(limits.max_concurrent_requests)
        self._readers = Readers(deadlines, most=limits.max_concurrent_requests, seconds=limits.read_seconds)
        self._health_readers = Readers(deadlines, most=_HEALTH_THREADS - 1, seconds=limits.read_seconds)
        self._health_pool = futures.ThreadPoolExecutor(_HEALTH_THREADS, thread_name_prefix="tfdvbpr-health")
        self.num_threads = 2 * limits.max_concurrent_requests + _SPARE_THREADS
        self.pool = CountedPool(self.num_threads, thread_name_prefix="tfdvbpr-serve")
        methods: dict[str, Respond] = {
            messages.PREDICT: self._predict,
            messages.GET_MODEL_METADATA: self._metadata,
            messages.GET_MODEL_STATUS: self._status,
            messages.RELOAD_CONFIG: self._reload,
        }
        self._handlers = {
            path: grpc.stream_unary_rpc_method_handler(partial(self._respond, messages.METHODS[path][0], method))
            for path, method in methods.items()
        }
        self._full = grpc.stream_unary_rpc_method_handler(_on(CallersThread(), self._refuse))
        self._handlers[HEALTH_CHECK] = grpc.stream_unary_rpc_method_handler(_on(self._health_pool, self._check_health))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method's path; of a full server, one that refuses the call before its message is read.

        gRPC accepts calls in one thread, which calls this. Those that it is late for, gRPC's core cancels in the end.
        """
        method = handler_call_details.method
        behind = self._places.full or self.pool.num_waiting >= _MOST_WAITING
        return (
            self._full if behind and method in self._handlers and method != HEALTH_CHECK else self._handlers.get(method)
        )

    def _refuse(self, _: Iterator[bytes], grpc_context: grpc.ServicerContext) -> bytes:
        grpc_context.set_trailing_metadata(_RETRY_LATER)
        grpc_context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self._full_error().message)
        raise AssertionError("abort raises")

    def _respond(
        self, message: Any, method: Respond, parts: Iterator[bytes], grpc_context: grpc.ServicerContext
    ) -> bytes:
        """Runs a method: a `RequestError` becomes its status, any other error INTERNAL, and the server continues."""
        try:
            body = _first(parts, grpc_context, self._readers)
            with self._place(), self._budget.reserve(len(body)) as reservation:
                reservation.add(message_bytes(message.DESCRIPTOR, body, max_values=self._limits.max_values))
                return bytes(method(_parsed(message, body), grpc_context, reservation).SerializeToString())
        except RequestError as error:
            grpc_context.abort(error.code, error.message)
        except grpc.RpcError:  # the caller has gone, or was cut off
            raise
        except Exception as error:
            _log.exception("A request failed")
            grpc_context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}. See the server's log.")
        raise AssertionError("abort raises")

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among the requests in progress; RESOURCE_EXHAUSTED if all are taken."""
        if not self._places.take():
            raise self._full_error()
        try:
            yield
        finally:
            self._places.leave()

    def _full_error(self) -> RequestError:
        return RequestError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"At most {self._limits.max_concurrent_requests} requests may be in progress. The server is full. "
            "Try later.",
        )

    def _predict(
        self, request: PredictRequest, grpc_context: grpc.ServicerContext, reservation: Reservation
    ) -> PredictResponse:
        most = self._limits.max_request_seconds
        left = grpc_context.time_remaining()
        context = RequestContext(most if left is None else min(left, most))
        if not grpc_context.add_callback(context.cancel):
            context.cancel()
        with self._deadlines.watch(most, context.cancel):
            prediction = self._predictor.predict(
                _model_choice(request),
                lambda runner: runner.read(request.inputs, reservation),
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

    def _metadata(
        self, request: GetModelMetadataRequest, _: grpc.ServicerContext, __: Reservation
    ) -> GetModelMetadataResponse:
        if set(request.metadata_field) != {"signature_def"}:
            fields = ", ".join(request.metadata_field)
            raise invalid_argument(f'`metadata_field` must be ["signature_def"]. Received [{fields}].')
        return self._predictor.metadata(_model_choice(request))[0]

    def _status(
        self, request: GetModelStatusRequest, _: grpc.ServicerContext, __: Reservation
    ) -> GetModelStatusResponse:
        return self._predictor.status(_model_choice(request))

    def _reload(self, request: ReloadConfigRequest, _: grpc.ServicerContext, __: Reservation) -> ReloadConfigResponse:
        """Serves the models of another configuration from now on, or changes nothing."""
        if not self._reload_roots:
            raise permission_denied("HandleReloadConfigRequest is off here. Start the server with --allow-reload ROOT.")
        try:
            sources = model_sources(request.config)
        except ModelLoadError as error:
            raise invalid_argument(str(error)) from error
        for source in sources:
            if not _lies_below(source.base_path, self._reload_roots):
                raise permission_denied(
                    f"The base path of {source.name!r} must lie in a folder that --allow-reload names. It does not."
                )
        self._store.reload(sources)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def _check_health(self, parts: Iterator[bytes], grpc_context: grpc.ServicerContext) -> bytes:
        """The standard health check, which has threads of its own."""
        try:
            body = _first(parts, grpc_context, self._health_readers)
            service = _parsed(health_pb2.HealthCheckRequest, body).service
            ready = self._ready(service)
            if ready is None:
                raise not_found(f"The service {service!r} must be one of this server. It is not.")
        except RequestError as error:
            grpc_context.abort(error.code, error.message)
        states = health_pb2.HealthCheckResponse
        return bytes(states(status=states.SERVING if ready else states.NOT_SERVING).SerializeToString())

    def close(self) -> None:
        """Ends the threads."""
        for pool in (self.pool, self._health_pool):
            pool.shutdown(wait=False, cancel_futures=True)


def add_reflection(server: grpc.Server, deadlines: Deadlines) -> None:
    """Adds the reflection service (`grpcurl`), with few threads of its own and a deadline, since it holds streams."""
    servicer = reflection.ReflectionServicer(
        (*messages.SERVICE_NAMES, HEALTH_SERVICE, reflection.SERVICE_NAME), pool=_reflection_pool()
    )
    describe = servicer.ServerReflectionInfo

    def limited(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        with deadlines.watch(_REFLECTION_SECONDS, context.cancel):
            yield from describe(requests, context)

    pool = futures.ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="tfdvbpr-reflection")
    servicer.ServerReflectionInfo = _on(pool, limited)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


def _on(pool: futures.ThreadPoolExecutor, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """The same behavior of a method, run by threads of another pool than the server's."""

    def own(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        return behavior(requests, context)

    own.experimental_thread_pool = pool  # type: ignore[attr-defined]  # as gRPC's own health service sets it
    return own


def _first(parts: Iterator[bytes], context: grpc.ServicerContext, readers: Readers) -> bytes:
    """The one message of a call."""
    with readers.reading(context.cancel):
        for part in parts:
            return part
    raise invalid_argument("A call must have one message. Received none.")


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        name = message.DESCRIPTOR.name
        raise invalid_argument(f"The body must be a {name}. Received {len(body)} other bytes.") from error


def _lies_below(path: Path, roots: Sequence[Path]) -> bool:
    try:
        folder = path.resolve()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a zero byte
        return False
    return any(folder.is_relative_to(root) for root in roots)


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
