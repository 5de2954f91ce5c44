"""TensorFlow Serving's gRPC services over a model store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfdvbpr_serving.calls import Call
from tfdvbpr_serving.config_files import model_sources
from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.predictor import ModelChoice, Predictor
from tfdvbpr_serving.refusals import RequestError, invalid
from tfdvbpr_serving.store import ModelStore
from tfdvbpr_serving.tensors import write_tensor

_log = logging.getLogger(__name__)


def model_choice(request: Any) -> ModelChoice:
    """The model a request names.

    Raises:
        RequestError: INVALID_ARGUMENT, if it names none.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec. Name the model.")
    spec = request.model_spec
    chosen = spec.WhichOneof("version_choice")
    return ModelChoice(
        spec.name,
        int(spec.version.value) if chosen == "version" else None,
        spec.version_label if chosen == "version_label" else None,
        spec.signature_name,
    )


def metadata_of(store: ModelStore, choice: ModelChoice) -> Any:
    """The `GetModelMetadataResponse` of a version."""
    model = store.acquire(choice.name, version=choice.version, label=choice.label)
    try:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = model.name
        response.model_spec.version.value = model.version
        response.metadata["signature_def"].Pack(signatures)
        return response
    finally:
        model.release()


def status_of(store: ModelStore, choice: ModelChoice) -> Any:
    """The `GetModelStatusResponse` of a model, or of one version of it."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, (state, error) in store.states(choice.name, version=choice.version, label=choice.label).items():
        status = response.model_version_status.add(version=version)
        status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
        status.status.SetInParent()
        if error:
            status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
            status.status.error_message = error
    return response


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


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, store: ModelStore, predictor: Predictor) -> None:
        self._store = store
        self._predictor = predictor

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Runs a signature; stops when the caller cancels or its deadline passes."""
        call = Call(context.time_remaining())
        if not context.add_callback(call.abandon):
            call.abandon()
        return _answer(context, lambda: self._predict(request, call))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The signatures of a model."""
        return _answer(context, lambda: self._metadata(request))

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Not answered."""
        _unimplemented(context, "This server answers Predict; the models have no classify signature.")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Not answered."""
        _unimplemented(context, "This server answers Predict; the models have no regress signature.")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Not answered."""
        _unimplemented(context, "This server answers Predict; send one request a signature.")

    def _predict(self, request: Any, call: Call) -> Any:
        answer = self._predictor.predict(
            model_choice(request),
            lambda runner: runner.read(request.inputs),
            output_filter=list(request.output_filter),
            call=call,
            protocol="grpc",
        )
        response = predict_pb2.PredictResponse()
        spec = response.model_spec
        spec.name, spec.version.value, spec.signature_name = answer.model, answer.version, answer.signature
        for name, array in answer.outputs.items():
            write_tensor(response.outputs[name], array)
        return response

    def _metadata(self, request: Any) -> Any:
        if list(request.metadata_field) != ["signature_def"]:
            fields = ", ".join(request.metadata_field)
            raise invalid(f'`metadata_field` must be ["signature_def"]. Received [{fields}].')
        return metadata_of(self._store, model_choice(request))


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The versions of a model and how they are."""
        return _answer(context, lambda: status_of(self._store, model_choice(request)))

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Serves the models of another configuration from now on, or changes nothing."""
        return _answer(context, lambda: self._reload(request))

    def _reload(self, request: Any) -> Any:
        try:
            sources = model_sources(request.config)
        except ModelLoadError as error:
            raise invalid(str(error)) from error
        self._store.reload(sources)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response
