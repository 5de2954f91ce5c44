"""TensorFlow Serving's gRPC services over a model store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tfdvbpr_serving.client.calls import Call
from tfdvbpr_serving.config.config_files import model_sources
from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.protocol.tensors import write_tensor
from tfdvbpr_serving.server.predictor import ModelChoice, Predictor
from tfdvbpr_serving.server.refusals import RequestError, invalid

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


def add_services(server: grpc.Server, store: ModelStore, predictor: Predictor) -> None:
    """Has a gRPC server answer both services.

    Requests arrive as bytes and are parsed here, so that what is no message is INVALID_ARGUMENT with a sentence; gRPC
    itself would call it an INTERNAL error and print a stack trace.
    """
    prediction, models = _PredictionService(store, predictor), _ModelService(store)
    services: dict[str, dict[str, tuple[Any, _Method]]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": (predict_pb2.PredictRequest, prediction.predict),
            "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, prediction.metadata),
            "Classify": (classification_pb2.ClassificationRequest, _no_classify),
            "Regress": (regression_pb2.RegressionRequest, _no_regress),
            "MultiInference": (inference_pb2.MultiInferenceRequest, _no_multi_inference),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, models.status),
            "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, models.reload),
        },
    }
    for service, methods in services.items():
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(partial(_answer, message, method))
            for name, (message, method) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


_Method = Callable[[Any, grpc.ServicerContext], Any]


def _answer(message: Any, method: _Method, body: bytes, context: grpc.ServicerContext) -> bytes:
    """Runs a method; a refused request becomes its status, anything unforeseen INTERNAL, and the server stays up."""
    try:
        try:
            request = message.FromString(body)
        except DecodeError as error:
            raise invalid(f"The body must be a {message.DESCRIPTOR.name}. Received {len(body)} other bytes.") from error
        return bytes(method(request, context).SerializeToString())
    except RequestError as error:
        context.abort(error.code, error.message)
    except Exception as error:
        _log.exception("A request failed")
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}. See the server's log.")
    raise AssertionError("abort raises")


def _no_classify(request: Any, context: grpc.ServicerContext) -> NoReturn:
    raise _unimplemented("the models have no classify signature")


def _no_regress(request: Any, context: grpc.ServicerContext) -> NoReturn:
    raise _unimplemented("the models have no regress signature")


def _no_multi_inference(request: Any, context: grpc.ServicerContext) -> NoReturn:
    raise _unimplemented("send one request a signature")


def _unimplemented(why: str) -> RequestError:
    return RequestError(grpc.StatusCode.UNIMPLEMENTED, f"This server answers Predict; {why}.")


class _PredictionService:
    def __init__(self, store: ModelStore, predictor: Predictor) -> None:
        self._store = store
        self._predictor = predictor

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Runs a signature; stops when the caller cancels or its deadline passes."""
        call = Call(context.time_remaining())
        if not context.add_callback(call.abandon):
            call.abandon()
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

    def metadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The signatures of a model."""
        if list(request.metadata_field) != ["signature_def"]:
            fields = ", ".join(request.metadata_field)
            raise invalid(f'`metadata_field` must be ["signature_def"]. Received [{fields}].')
        return metadata_of(self._store, model_choice(request))


class _ModelService:
    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def status(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The versions of a model and how they are."""
        return status_of(self._store, model_choice(request))

    def reload(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Serves the models of another configuration from now on, or changes nothing."""
        try:
            sources = model_sources(request.config)
        except ModelLoadError as error:
            raise invalid(str(error)) from error
        self._store.reload(sources)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response
