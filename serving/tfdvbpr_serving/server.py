"""A local server that speaks TensorFlow Serving's gRPC protocol: for development, tests and small machines.

It answers Predict, GetModelMetadata and GetModelStatus as `tensorflow_model_server` does, from the same folders. It
neither batches requests nor offers REST, monitoring or TLS. Imports TensorFlow.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.models import LoadedModel, RequestError, invalid
from tfdvbpr_serving.store import ModelStore

MAX_MESSAGE_BYTES = 2**31 - 1

_log = logging.getLogger(__name__)


class LocalServer:
    """Serves SavedModels on this machine until it is stopped; a context manager.

    Args:
        models: base path by served name; each holds numbered version folders, of which the newest is served. Older ones
            answer requests that name them.
        port: 0 takes a free one; see `target`.
        host: the address to listen on; "0.0.0.0" for every one. There is no authentication.
        max_workers: requests answered at the same time; more wait.
        max_message_bytes: the largest request or answer.
        poll_seconds: how often to look for newer versions; None for never.

    Attributes:
        port: the port it listens on, once started.

    Raises:
        ModelLoadError: if a model has no version folder; from `start`, if one cannot be loaded.
        ServerStartError: from `start`, if it cannot listen at host and port.
    """

    def __init__(
        self,
        models: Mapping[str, str | os.PathLike[str]],
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        max_workers: int = 8,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        poll_seconds: float | None = None,
    ) -> None:
        if poll_seconds is not None and poll_seconds <= 0:
            raise ValueError(f"`poll_seconds` must be > 0, or None for never. Received {poll_seconds}.")
        self.host = host
        self.port = port
        self._store = ModelStore({name: Path(path) for name, path in models.items()})
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._poller: threading.Thread | None = None
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="tfdvbpr-serve"),
            options=[
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self._store), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(self._store), self._server)

    @property
    def target(self) -> str:
        """What a client connects to: "host:port"."""
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.host, self.host)
        return f"{host}:{self.port}"

    @property
    def models(self) -> list[LoadedModel]:
        """What is served where a request names no version."""
        return self._store.newest()

    def start(self) -> LocalServer:
        """Takes the port, loads and warms the models, then answers."""
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
        self._store.load_newest()
        self._server.start()
        if self._poll_seconds is not None:
            self._poller = threading.Thread(target=self._poll, name="tfdvbpr-serve-poll", daemon=True)
            self._poller.start()
        return self

    def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Turns new requests away, gives those under way some time, and ends. Safe to call twice."""
        self._stopping.set()
        self._server.stop(grace_seconds).wait()
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


def _answer(context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
    """Runs the work; a refused request becomes its status, anything unforeseen INTERNAL, and the server stays up."""
    try:
        return work()
    except RequestError as error:
        context.abort(error.code, error.message)
    except Exception as error:
        _log.exception("A request failed")
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}. See the server's log.")


def _unimplemented(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
    raise AssertionError("abort raises")


def _version(request: Any) -> int | None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec. Name the model.")
    spec = request.model_spec
    if spec.WhichOneof("version_choice") == "version_label":
        raise invalid(
            f"Unrecognized servable version label: {spec.version_label}. This server knows version numbers only."
        )
    return int(spec.version.value) if spec.HasField("version") else None


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(context, lambda: self._predict(request))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(context, lambda: self._metadata(request))

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        _unimplemented(context, "This server answers Predict; the models have no classify signature.")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        _unimplemented(context, "This server answers Predict; the models have no regress signature.")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        _unimplemented(context, "This server answers Predict; send one request a signature.")

    def _predict(self, request: Any) -> Any:
        model = self._store.get(request.model_spec.name, _version(request))
        signature = request.model_spec.signature_name
        outputs = model.predict(signature, request.inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, model)
        response.model_spec.signature_name = signature or "serving_default"
        for name, tensor in outputs.items():
            response.outputs[name].CopyFrom(tensor)
        return response

    def _metadata(self, request: Any) -> Any:
        if list(request.metadata_field) != ["signature_def"]:
            fields = ", ".join(request.metadata_field)
            raise invalid(f'`metadata_field` must be ["signature_def"]. Received [{fields}].')
        model = self._store.get(request.model_spec.name, _version(request))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _describe(response.model_spec, model)
        response.metadata["signature_def"].Pack(signatures)
        return response


def _describe(spec: Any, model: LoadedModel) -> None:
    spec.name = model.name
    spec.version.value = model.version


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(context, lambda: self._status(request))

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        _unimplemented(context, "This server does not change its models while it runs. Restart it with other folders.")

    def _status(self, request: Any) -> Any:
        states = self._store.states(request.model_spec.name, _version(request))
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, (state, error) in states.items():
            status = response.model_version_status.add(version=version)
            status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
            if error:
                status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
                status.status.error_message = error
        return response
