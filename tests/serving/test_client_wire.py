"""Our messages against tensorflow-serving-api's own: the same fields, the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import wrappers_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import wire
from tfdvbpr_serving.protocol.tensors import array_from_tensor, dtype_name, tensor_from_array

THEIRS = {
    "Int64Value": wrappers_pb2.Int64Value,
    "Any": AnyMessage,
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "StatusProto": status_pb2.StatusProto,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
}

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


def kind(field: FieldDescriptor) -> object:
    """What a field is on the wire: enums travel as int32."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        return FieldDescriptor.TYPE_INT32
    return field.type


def our_messages() -> dict[str, Descriptor]:
    return dict(wire.PredictRequest.DESCRIPTOR.file.message_types_by_name)


def test_every_message_of_ours_is_compared() -> None:
    assert set(our_messages()) == set(THEIRS)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_fields_have_the_protocols_numbers_and_types(name: str) -> None:
    theirs = THEIRS[name].DESCRIPTOR.fields_by_name
    for ours in our_messages()[name].fields:
        field = theirs[ours.name]
        assert (ours.number, kind(ours)) == (field.number, kind(field)), ours.full_name
        assert ours.is_repeated == field.is_repeated, ours.full_name
        assert ours.is_packed == field.is_packed, ours.full_name
        assert bool(ours.containing_oneof) == bool(field.containing_oneof), ours.full_name
        if ours.message_type and not ours.message_type.GetOptions().map_entry:
            assert ours.message_type.name == field.message_type.name
        if ours.message_type and ours.message_type.GetOptions().map_entry:
            assert field.message_type.GetOptions().map_entry
            value, their_value = (f.message_type.fields_by_name["value"] for f in (ours, field))
            assert value.message_type.name == their_value.message_type.name


def test_messages_lead_their_own_life_beside_the_originals() -> None:
    assert wire.PredictRequest.DESCRIPTOR.full_name == "tfdvbpr.wire.PredictRequest"
    assert wire.PredictRequest.DESCRIPTOR.file.pool is not predict_pb2.DESCRIPTOR.pool


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
        back = array_from_tensor(wire.TensorProto.FromString(theirs.SerializeToString()))
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
    """How tensorflow_model_server answers by default, unlike Python's make_tensor_proto."""
    theirs = tensor_pb2.TensorProto(dtype=tf.as_dtype(name).as_datatype_enum)
    theirs.tensor_shape.dim.add(size=2)
    theirs.tensor_shape.dim.add(size=2)
    getattr(theirs, field).extend(values[:given])
    ours = array_from_tensor(wire.TensorProto.FromString(theirs.SerializeToString()))
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
        array_from_tensor(wire.TensorProto(dtype=types_pb2.DT_BFLOAT16))
    short = tensor_from_array(np.zeros(3, dtype=np.float32))
    short.tensor_content = b"\0" * 8
    with pytest.raises(ValueError, match="must hold 12 bytes"):
        array_from_tensor(short)
    long = wire.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0, 2.0])
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
    ours = wire.PredictRequest(
        model_spec=wire.model_spec("recommender", signature="score", **choice),  # type: ignore[arg-type]
        output_filter=["scores"],
    )
    ours.inputs["user_ids"].CopyFrom(tensor_from_array(np.array(["u1", "u2"])))
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == theirs


def test_states_are_the_protocols() -> None:
    assert {number: name for name, number in get_model_status_pb2.ModelVersionStatus.State.items()} == wire.MODEL_STATES
