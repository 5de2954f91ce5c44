"""The messages of the TensorFlow Serving protocol, without TensorFlow.

They are built here from a table of field names and numbers, under a package name of ours and in a pool of ours, so that
they live beside tensorflow-serving-api's own in one process. On the wire only the numbers and types count, and those
are the protocol's. Enums are read as int32 and the well-known wrappers are spelled out: the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "tfdvbpr.wire"

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


class _Field(NamedTuple):
    """A field: a scalar type's name or a message's; `map<string, Message>` as "map:Message"."""

    name: str
    number: int
    type: str
    repeated: bool = False
    oneof: str = ""


_SCALARS = {
    "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "float": descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}

_MESSAGES: dict[str, Sequence[_Field]] = {
    "Int64Value": [_Field("value", 1, "int64")],
    "Any": [_Field("type_url", 1, "string"), _Field("value", 2, "bytes")],
    "Dim": [_Field("size", 1, "int64"), _Field("name", 2, "string")],
    "TensorShapeProto": [_Field("dim", 2, "Dim", repeated=True), _Field("unknown_rank", 3, "bool")],
    "TensorProto": [
        _Field("dtype", 1, "int32"),
        _Field("tensor_shape", 2, "TensorShapeProto"),
        _Field("version_number", 3, "int32"),
        _Field("tensor_content", 4, "bytes"),
        _Field("float_val", 5, "float", repeated=True),
        _Field("double_val", 6, "double", repeated=True),
        _Field("int_val", 7, "int32", repeated=True),
        _Field("string_val", 8, "bytes", repeated=True),
        _Field("int64_val", 10, "int64", repeated=True),
        _Field("bool_val", 11, "bool", repeated=True),
        _Field("half_val", 13, "int32", repeated=True),
        _Field("uint32_val", 16, "uint32", repeated=True),
        _Field("uint64_val", 17, "uint64", repeated=True),
    ],
    "ModelSpec": [
        _Field("name", 1, "string"),
        _Field("version", 2, "Int64Value", oneof="version_choice"),
        _Field("version_label", 4, "string", oneof="version_choice"),
        _Field("signature_name", 3, "string"),
    ],
    "PredictRequest": [
        _Field("model_spec", 1, "ModelSpec"),
        _Field("inputs", 2, "map:TensorProto"),
        _Field("output_filter", 3, "string", repeated=True),
    ],
    "PredictResponse": [_Field("outputs", 1, "map:TensorProto"), _Field("model_spec", 2, "ModelSpec")],
    "TensorInfo": [
        _Field("name", 1, "string", oneof="encoding"),
        _Field("dtype", 2, "int32"),
        _Field("tensor_shape", 3, "TensorShapeProto"),
    ],
    "SignatureDef": [
        _Field("inputs", 1, "map:TensorInfo"),
        _Field("outputs", 2, "map:TensorInfo"),
        _Field("method_name", 3, "string"),
    ],
    "SignatureDefMap": [_Field("signature_def", 1, "map:SignatureDef")],
    "GetModelMetadataRequest": [
        _Field("model_spec", 1, "ModelSpec"),
        _Field("metadata_field", 2, "string", repeated=True),
    ],
    "GetModelMetadataResponse": [_Field("model_spec", 1, "ModelSpec"), _Field("metadata", 2, "map:Any")],
    "StatusProto": [_Field("error_code", 1, "int32"), _Field("error_message", 2, "string")],
    "ModelVersionStatus": [
        _Field("version", 1, "int64"),
        _Field("state", 2, "int32"),
        _Field("status", 3, "StatusProto"),
    ],
    "GetModelStatusRequest": [_Field("model_spec", 1, "ModelSpec")],
    "GetModelStatusResponse": [_Field("model_version_status", 1, "ModelVersionStatus", repeated=True)],
}


def _set_type(descriptor: Any, type_name: str) -> None:
    if type_name in _SCALARS:
        descriptor.type = _SCALARS[type_name]
    else:
        descriptor.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
        descriptor.type_name = f".{PACKAGE}.{type_name}"


def _add_map_entry(message: Any, field: _Field) -> str:
    """Nests the `{key, value}` message that a map field is made of; returns its name within the package."""
    entry = message.nested_type.add(name=f"{field.name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    for name, number, type_name in (("key", 1, "string"), ("value", 2, field.type.removeprefix("map:"))):
        part = entry.field.add(name=name, number=number, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
        _set_type(part, type_name)
    return f"{message.name}.{entry.name}"


def _add_field(message: Any, field: _Field, oneofs: list[str]) -> None:
    is_map = field.type.startswith("map:")
    repeated = field.repeated or is_map
    label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
    descriptor = message.field.add(
        name=field.name, number=field.number, label=getattr(descriptor_pb2.FieldDescriptorProto, label)
    )
    _set_type(descriptor, _add_map_entry(message, field) if is_map else field.type)
    if field.oneof:
        if field.oneof not in oneofs:
            oneofs.append(field.oneof)
            message.oneof_decl.add(name=field.oneof)
        descriptor.oneof_index = oneofs.index(field.oneof)


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfdvbpr/wire.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        oneofs: list[str] = []
        for field in fields:
            _add_field(message, field, oneofs)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _message_classes()

TensorProto: Any = _CLASSES["TensorProto"]
TensorShapeProto: Any = _CLASSES["TensorShapeProto"]
ModelSpec: Any = _CLASSES["ModelSpec"]
PredictRequest: Any = _CLASSES["PredictRequest"]
PredictResponse: Any = _CLASSES["PredictResponse"]
SignatureDefMap: Any = _CLASSES["SignatureDefMap"]
GetModelMetadataRequest: Any = _CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse: Any = _CLASSES["GetModelMetadataResponse"]
GetModelStatusRequest: Any = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse: Any = _CLASSES["GetModelStatusResponse"]

METHODS: dict[str, tuple[Any, Any]] = {
    PREDICT: (PredictRequest, PredictResponse),
    GET_MODEL_METADATA: (GetModelMetadataRequest, GetModelMetadataResponse),
    GET_MODEL_STATUS: (GetModelStatusRequest, GetModelStatusResponse),
}

MODEL_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


def bound(channel: Any) -> dict[str, Any]:
    """What calls each of METHODS on a channel, blocking or for asyncio as the channel is."""
    return {
        path: channel.unary_unary(
            path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        for path, (request, response) in METHODS.items()
    }


def model_spec(name: str, *, version: int | None = None, version_label: str | None = None, signature: str = "") -> Any:
    """A `ModelSpec`; without version or label the server takes the newest version."""
    spec = ModelSpec(name=name, signature_name=signature)
    if version is not None:
        spec.version.value = version
        spec.version.SetInParent()
    elif version_label is not None:
        spec.version_label = version_label
    return spec
