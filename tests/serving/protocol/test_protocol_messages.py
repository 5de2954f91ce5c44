"""Our messages against tensorflow-serving-api's own: the same fields, the same bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    status_pb2,
)
from tensorflow_serving.config import (
    file_system_storage_path_source_pb2,
    log_collector_config_pb2,
    logging_config_pb2,
    model_server_config_pb2,
)

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import tensorflow_pb2, tensorflow_serving_pb2
from tfdvbpr_serving.protocol.messages import (
    METHODS,
    array_from_tensor,
    dtype_name,
    model_spec,
    tensor_from_array,
)
from tfdvbpr_serving.protocol.tensorflow_pb2 import TensorProto
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictRequest

FOLDER = Path(tensorflow_pb2.__file__).parent
THEIR_MODULES: list[Any] = [
    tensor_pb2,
    tensor_shape_pb2,
    types_pb2,
    error_codes_pb2,
    meta_graph_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    status_pb2,
    file_system_storage_path_source_pb2,
    log_collector_config_pb2,
    logging_config_pb2,
    model_server_config_pb2,
]
NOT_IN_THE_API = {"BatchingParameters", "PrometheusConfig", "MonitoringConfig"}
SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
CONFIGURATION = ["ModelServerConfig", "ModelConfigList", "ModelConfig", "LoggingConfig", "LogCollectorConfig"]
CONFIGURATION += ["SamplingConfig", "PerTaskSamplingConfig"]

ARRAYS = {
    "string": np.array([[b"", b"a\x00\x00"], ["é".encode(), b"\xff"]], dtype=object),
    "int32": np.array([[-(2**31), 2**31 - 1, 0]], dtype=np.int32),
    "int64": np.array([-(2**63), 2**63 - 1], dtype=np.int64),
    "float32": np.array([[1.5, -np.inf], [0.1, 3e38]], dtype=np.float32),
    "uint8": np.arange(256, dtype=np.uint8).reshape(2, 2, 8, 8),
    "bool": np.array([[True], [False]]),
    "float64": np.array([0.1, -2.0]),
    "float16": np.array([0.5, -65504.0], dtype=np.float16),
    "int16": np.array([-32768, 5], dtype=np.int16),
    "int8": np.array([-128, 127], dtype=np.int8),
    "uint16": np.array([65535], dtype=np.uint16),
    "uint32": np.array([2**32 - 1], dtype=np.uint32),
    "uint64": np.array([2**64 - 1], dtype=np.uint64),
}


def named(descriptors: Mapping[str, Descriptor]) -> dict[str, Descriptor]:
    """Messages and those nested in them, by name; without the entries of maps."""
    found = {}
    for descriptor in descriptors.values():
        if not descriptor.GetOptions().map_entry:
            found |= {descriptor.name: descriptor, **named(descriptor.nested_types_by_name)}
    return found


OURS = named(tensorflow_pb2.DESCRIPTOR.message_types_by_name)
OURS |= named(tensorflow_serving_pb2.DESCRIPTOR.message_types_by_name)
THEIRS = {name: one for m in THEIR_MODULES for name, one in named(m.DESCRIPTOR.message_types_by_name).items()}


def value_type(field: FieldDescriptor) -> tuple[bool, str | int | None]:
    """Whether a field is a map; and the name of its message or enum, or its scalar type."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        return True, value_type(field.message_type.fields_by_name["value"])[1]
    named_type = field.message_type or field.enum_type
    return False, named_type.name if named_type else field.type


def type_name(field: FieldDescriptor) -> str:
    """As a .proto file has it."""
    _, name = value_type(field)
    scalars = {getattr(FieldDescriptor, f"TYPE_{kind.upper()}"): kind for kind in SCALARS}
    return name if isinstance(name, str) else scalars[name]


def test_every_message_is_compared() -> None:
    assert set(OURS) - set(THEIRS) == NOT_IN_THE_API
    assert len(OURS) > 25


@pytest.mark.parametrize("name", sorted(set(OURS) - NOT_IN_THE_API))
def test_fields_have_the_protocols_numbers_and_types(name: str) -> None:
    theirs = THEIRS[name].fields_by_name
    for ours in OURS[name].fields:
        field = theirs[ours.name]
        assert ours.number == field.number, ours.full_name
        assert value_type(ours) == value_type(field), ours.full_name
        assert ours.is_repeated == field.is_repeated, ours.full_name
        assert ours.is_packed == field.is_packed, ours.full_name
        assert ours.has_presence == field.has_presence, ours.full_name
        assert bool(ours.containing_oneof) == bool(field.containing_oneof), ours.full_name


@pytest.mark.parametrize("name", CONFIGURATION)
def test_configuration_files_may_name_every_field(name: str) -> None:
    assert set(OURS[name].fields_by_name) == set(THEIRS[name].fields_by_name)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tensorflow_pb2.DataType, types_pb2.DataType),
        (tensorflow_pb2.Code, error_codes_pb2.Code),
        (tensorflow_serving_pb2.ModelVersionStatus.State, get_model_status_pb2.ModelVersionStatus.State),
        (tensorflow_serving_pb2.ModelType, model_server_config_pb2.ModelType),
    ],
)
def test_enums_have_the_protocols_numbers(ours: Any, theirs: Any) -> None:
    assert dict(ours.items()).items() <= dict(theirs.items()).items()


def test_generated_code_lives_beside_the_originals() -> None:
    assert PredictRequest.DESCRIPTOR.full_name == "tfdvbpr.tensorflow.serving.PredictRequest"
    assert predict_pb2.PredictRequest.DESCRIPTOR.full_name == "tensorflow.serving.PredictRequest"


def test_paths_of_methods_are_the_protocols() -> None:
    services = {"PredictionService": ("Predict", "GetModelMetadata")}
    services["ModelService"] = ("GetModelStatus", "HandleReloadConfigRequest")
    expected = {f"/tensorflow.serving.{service}/{name}" for service, names in services.items() for name in names}
    assert set(METHODS) == expected


@pytest.mark.parametrize("file", [tensorflow_pb2.DESCRIPTOR, tensorflow_serving_pb2.DESCRIPTOR], ids=lambda f: f.name)
def test_generated_code_is_up_to_date(file: FileDescriptor) -> None:
    """Without protoc: every declaration of the .proto file is in the generated code, and no other."""
    text = (FOLDER / Path(file.name).name).read_text()
    field = r"^ +(?:repeated |optional |map<\w+, )?([\w.]+)>? (\w+) = (\d+);"
    declared = [(kind.split(".")[-1], *rest) for kind, *rest in re.findall(field, text, flags=re.MULTILINE)]
    scopes = re.findall(r"^ *(?:message|enum|service) (\w+)", text, flags=re.MULTILINE)
    values = re.findall(r"^ *([A-Z]\w*) = (\d+);", text, flags=re.MULTILINE)
    messages = named(file.message_types_by_name)
    fields = [(type_name(f), f.name, str(f.number)) for m in messages.values() for f in m.fields]
    enums = [*file.enum_types_by_name.values(), *(e for m in messages.values() for e in m.enum_types)]
    assert sorted(declared) == sorted(fields)
    assert sorted(values) == sorted((v.name, str(v.number)) for e in enums for v in e.values)
    assert sorted(scopes) == sorted([*messages, *(e.name for e in enums), *file.services_by_name])


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_our_tensors_are_read_by_tensorflow(name: str) -> None:
    array = ARRAYS[name]
    theirs = tensor_pb2.TensorProto.FromString(tensor_from_array(array).SerializeToString())
    assert tf.as_dtype(theirs.dtype) == tf.as_dtype(name)
    np.testing.assert_array_equal(tf.make_ndarray(theirs), array)


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_tensorflows_tensors_are_read_by_us(name: str) -> None:
    array = ARRAYS[name]
    for values in (array, array.ravel()[:1], array.ravel()[:0]):
        theirs = tf.make_tensor_proto(values, dtype=name)
        back = array_from_tensor(TensorProto.FromString(theirs.SerializeToString()))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("float32", "float_val", [1.5, -2.0]),
        ("float64", "double_val", [0.1, 0.2]),
        ("float16", "half_val", [0x3C00, 0xC000]),  # 1, -2
        ("int32", "int_val", [-1, 2]),
        ("uint8", "int_val", [0, 255]),
        ("int64", "int64_val", [-(2**60), 7]),
        ("bool", "bool_val", [True, False]),
        ("string", "string_val", [b"a", b""]),
        ("uint32", "uint32_val", [2**32 - 1, 1]),
        ("uint64", "uint64_val", [2**64 - 1, 1]),
    ],
)
@pytest.mark.parametrize("given", [1, 2])
def test_listed_values_and_the_repeated_last(name: str, field: str, values: list[object], given: int) -> None:
    """As tensorflow_model_server sends them, unlike Python's make_tensor_proto."""
    theirs = tensor_pb2.TensorProto(dtype=tf.as_dtype(name).as_datatype_enum)
    theirs.tensor_shape.dim.add(size=2)
    theirs.tensor_shape.dim.add(size=2)
    getattr(theirs, field).extend(values[:given])
    ours = array_from_tensor(TensorProto.FromString(theirs.SerializeToString()))
    expected = tf.make_ndarray(theirs)
    assert ours.shape == (2, 2)
    np.testing.assert_array_equal(ours, expected)
    assert ours.ravel()[-1] == ours.ravel()[given - 1]


def test_strings_may_be_str_or_fixed_width() -> None:
    for array in (np.array(["ä", "b"]), np.array(["ä", "b"], dtype=object), np.array(["ä".encode(), b"b"])):
        assert list(tensor_from_array(array).string_val) == ["ä".encode(), b"b"]


def test_big_endian_arrays_are_sent_little_endian() -> None:
    array = np.array([1, 2], dtype=">i4")
    np.testing.assert_array_equal(array_from_tensor(tensor_from_array(array)), [1, 2])


def test_signature_dtypes_are_all_covered() -> None:
    tables = [t for s in SIGNATURES.values() for t in (*s.inputs.values(), *s.outputs.values())]
    assert {t.dtype for t in tables} <= set(ARRAYS)
    for t in tables:
        assert dtype_name(tf.as_dtype(t.dtype).as_datatype_enum) == t.dtype


def test_unreadable_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="complex64"):
        tensor_from_array(np.zeros(2, dtype=np.complex64))
    with pytest.raises(ValueError, match="str or bytes"):
        tensor_from_array(np.array([None]))
    with pytest.raises(ValueError, match="dtype 14"):
        array_from_tensor(TensorProto(dtype=types_pb2.DT_BFLOAT16))
    short = tensor_from_array(np.zeros(3, dtype=np.float32))
    short.tensor_content = b"\0" * 8
    with pytest.raises(ValueError, match="must hold 12 bytes"):
        array_from_tensor(short)
    long = TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0, 2.0])
    with pytest.raises(ValueError, match="at most 1 values"):
        array_from_tensor(long)


@pytest.mark.parametrize(
    "choice", [{}, {"version": 7}, {"version": 0}, {"version_label": "stable"}], ids=["newest", "7", "0", "label"]
)
def test_requests_have_the_same_bytes(choice: dict[str, object]) -> None:
    theirs = predict_pb2.PredictRequest()
    theirs.model_spec.name, theirs.model_spec.signature_name = "recommender", "score"
    if "version" in choice:
        theirs.model_spec.version.value = choice["version"]
        theirs.model_spec.version.SetInParent()
    if "version_label" in choice:
        theirs.model_spec.version_label = choice["version_label"]
    theirs.output_filter.append("scores")
    theirs.inputs["user_ids"].CopyFrom(tf.make_tensor_proto(["u1", "u2"]))
    ours = PredictRequest(
        model_spec=model_spec("recommender", signature="score", **choice),  # type: ignore[arg-type]
        output_filter=["scores"],
    )
    ours.inputs["user_ids"].CopyFrom(tensor_from_array(np.array(["u1", "u2"])))
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == theirs
