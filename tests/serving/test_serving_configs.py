"""The files for tensorflow_model_server, read with the protocol's own messages where the API package has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME
from tfdvbpr_serving.client import DEFAULT_MAX_ROWS_PER_REQUEST

SERVING = Path(__file__).parents[2] / "serving"

# tensorflow-serving-api leaves these two messages out; their fields are those of TensorFlow Serving 2.20.
BATCHING_FIELDS = {
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
}


def other_messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="serving_configs.proto", package="configs", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    batching = file.message_type.add(name="BatchingParameters")
    for number, (name, wrapper) in enumerate(BATCHING_FIELDS.items(), start=1):
        batching.field.add(
            name=name, number=number, label=1, type=field.TYPE_MESSAGE, type_name=f".google.protobuf.{wrapper}"
        )
    batching.field.add(name="allowed_batch_sizes", number=6, label=3, type=field.TYPE_INT64)
    batching.field.add(name="pad_variable_length_inputs", number=7, label=1, type=field.TYPE_BOOL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, label=1, type=field.TYPE_BOOL)
    prometheus.field.add(name="path", number=2, label=1, type=field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config", number=1, label=1, type=field.TYPE_MESSAGE, type_name=".configs.PrometheusConfig"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    names = ("BatchingParameters", "MonitoringConfig")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"configs.{name}")) for name in names}


def test_models_config() -> None:
    text = (SERVING / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in config.model_config_list.config}
    assert set(models) == {RECOMMENDER_MODEL_NAME, DESIGNER_MODEL_NAME}
    for name, model in models.items():
        assert model.base_path == f"/models/{name}"
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1


def test_batching_config_fits_the_client() -> None:
    config = text_format.Parse((SERVING / "batching.config").read_text(), other_messages()["BatchingParameters"]())
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value  # else the server refuses to start
    assert config.max_batch_size.value >= DEFAULT_MAX_ROWS_PER_REQUEST  # else it refuses the client's requests
    assert config.max_enqueued_batches.value > 0
    assert config.pad_variable_length_inputs


def test_monitoring_config() -> None:
    config = text_format.Parse((SERVING / "monitoring.config").read_text(), other_messages()["MonitoringConfig"]())
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_mounts_what_it_names() -> None:
    service = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["serving"]
    assert service["image"] == "tensorflow/serving:2.20.0"
    mounts = {volume["target"]: volume["source"] for volume in service["volumes"]}
    named = {path for argument in service["command"] for path in re.findall(r"=(/config/\S+)", argument)}
    assert named == set(mounts) - {"/models"}
    for target in named:
        assert (SERVING / mounts[target]).is_file()
        assert Path(mounts[target]).name == Path(target).name
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
