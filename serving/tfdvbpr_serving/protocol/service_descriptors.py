"""Descriptions of TensorFlow Serving's two services, for gRPC reflection.

tensorflow-serving-api has them in two modules that today's protobuf refuses to import (`has_options` cannot be set), so
they are told to protobuf here, under their own file names and over the API's own messages.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import (  # noqa: F401 (their messages have to be known before the services)
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"
_FOLDER = "tensorflow_serving/apis"

# By service: its file, the files of its messages, and request and response of each method.
_SERVICES: dict[str, tuple[str, tuple[str, ...], dict[str, tuple[str, str]]]] = {
    "PredictionService": (
        "prediction_service",
        ("classification", "get_model_metadata", "inference", "predict", "regression"),
        {
            "Classify": ("ClassificationRequest", "ClassificationResponse"),
            "Regress": ("RegressionRequest", "RegressionResponse"),
            "Predict": ("PredictRequest", "PredictResponse"),
            "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
            "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
        },
    ),
    "ModelService": (
        "model_service",
        ("get_model_status", "model_management"),
        {
            "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
            "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
        },
    ),
}

SERVICE_NAMES = tuple(f"{_PACKAGE}.{name}" for name in _SERVICES)


def register_services() -> None:
    """Makes both services known to protobuf's default pool. Safe to call twice."""
    pool = descriptor_pool.Default()
    for service, (file_name, dependencies, methods) in _SERVICES.items():
        try:
            pool.FindServiceByName(f"{_PACKAGE}.{service}")
        except KeyError:
            pool.AddSerializedFile(_file(service, file_name, dependencies, methods).SerializeToString())


def _file(
    service: str, file_name: str, dependencies: tuple[str, ...], methods: dict[str, tuple[str, str]]
) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_FOLDER}/{file_name}.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.extend(f"{_FOLDER}/{name}.proto" for name in dependencies)
    described = file.service.add(name=service)
    for method, (request, response) in methods.items():
        described.method.add(name=method, input_type=f".{_PACKAGE}.{request}", output_type=f".{_PACKAGE}.{response}")
    return file
