"""TensorFlow Serving's own configuration files, read for the local server: which models, how batched.

tensorflow-serving-api has the messages of models.config. It leaves out `BatchingParameters` and `MonitoringConfig`, so
these two are spelled out here with the field numbers of TensorFlow Serving 2.20. Loads TensorFlow with the API.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.models.versions import ModelSource, VersionPolicy
from tfdvbpr_serving.server.batching_options import BatchingOptions

BATCHING_FILE = "batching_params.pbtxt"

_PACKAGE = "tfdvbpr.configs"
_BATCHING_FIELDS = (
    ("max_batch_size", "Int64Value"),
    ("batch_timeout_micros", "Int64Value"),
    ("max_enqueued_batches", "Int64Value"),
    ("num_batch_threads", "Int64Value"),
    ("thread_pool_name", "StringValue"),
)


def read_models_config(path: Path) -> list[ModelSource]:
    """The models of a `ModelServerConfig` in text form, as `tensorflow_model_server --model_config_file` reads it.

    Relative base paths count from the file's folder.

    Raises:
        ModelLoadError: if the file cannot be read or is not of that form.
    """
    config = _parsed(path, model_server_config_pb2.ModelServerConfig())
    return model_sources(config, folder=path.resolve().parent)


def model_sources(config: Any, *, folder: Path | None = None) -> list[ModelSource]:
    """The models of a `ModelServerConfig` message.

    Args:
        config: the message.
        folder: that relative base paths count from; None for the working directory.

    Raises:
        ModelLoadError: if it lists no models, one without name or path, one twice, or another platform.
    """
    if config.WhichOneof("config") != "model_config_list" or not config.model_config_list.config:
        raise ModelLoadError("A models.config must have a `model_config_list` with a model in it. Received none.")
    sources = [_source(model, folder or Path()) for model in config.model_config_list.config]
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ModelLoadError(f"Models of a models.config must have different names. Received {names}. Rename one.")
    return sources


def _source(model: Any, folder: Path) -> ModelSource:
    if not model.name or not model.base_path:
        raise ModelLoadError(f"A model must have `name` and `base_path`. Received {model.name!r}, {model.base_path!r}.")
    if model.model_platform not in ("", "tensorflow"):
        raise ModelLoadError(
            f'The platform of {model.name!r} must be "tensorflow". Received {model.model_platform!r}. Correct it.'
        )
    policy, choice = model.model_version_policy, model.model_version_policy.WhichOneof("policy_choice")
    versions = {
        None: VersionPolicy(),
        "latest": VersionPolicy(latest=int(policy.latest.num_versions) or 1),
        "all": VersionPolicy(latest=None),
        "specific": VersionPolicy(latest=None, specific=tuple(int(v) for v in policy.specific.versions)),
    }[choice]
    labels = {label: int(version) for label, version in model.version_labels.items()}
    return ModelSource(model.name, folder / model.base_path, versions, labels)


def read_batching_config(path: Path) -> BatchingOptions:
    """The options of a `BatchingParameters` in text form; what it does not name keeps the local server's default.

    `allowed_batch_sizes` and `pad_variable_length_inputs` are accepted and have no effect here: batches are not filled
    up, and only requests of the same widths are joined.

    Raises:
        ModelLoadError: if the file cannot be read or a number is out of range.
    """
    message = _parsed(path, batching_parameters()())
    known = {field.name for field in dataclasses.fields(BatchingOptions)}
    values = {name: int(getattr(message, name).value) for name in known if message.HasField(name)}
    try:
        return BatchingOptions(**values)
    except ValueError as error:
        raise ModelLoadError(f"{path}: {error}") from error


def batching_parameters() -> Any:
    """The class of the message `BatchingParameters`."""
    return _messages()["BatchingParameters"]


def monitoring_config() -> Any:
    """The class of the message `MonitoringConfig`."""
    return _messages()["MonitoringConfig"]


def _parsed(path: Path, message: Any) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise ModelLoadError(
            f"{path} must be a readable file. Received: {error.strerror}. Correct the path."
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelLoadError(
            f"{path} must be a {message.DESCRIPTOR.name} in protobuf's text form. Received: {error}. Correct it."
        ) from error


@cache
def _messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tfdvbpr/configs.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    batching = file.message_type.add(name="BatchingParameters")
    for number, (name, wrapper) in enumerate(_BATCHING_FIELDS, start=1):
        _add(batching, name, number, field.TYPE_MESSAGE, f".google.protobuf.{wrapper}")
    batching.field.add(name="allowed_batch_sizes", number=6, label=field.LABEL_REPEATED, type=field.TYPE_INT64)
    _add(batching, "pad_variable_length_inputs", 7, field.TYPE_BOOL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    _add(prometheus, "enable", 1, field.TYPE_BOOL)
    _add(prometheus, "path", 2, field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    _add(monitoring, "prometheus_config", 1, field.TYPE_MESSAGE, f".{_PACKAGE}.PrometheusConfig")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    names = ("BatchingParameters", "MonitoringConfig")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in names}


def _add(message: Any, name: str, number: int, kind: int, type_name: str = "") -> None:
    label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(name=name, number=number, label=label, type=kind, type_name=type_name or None)
