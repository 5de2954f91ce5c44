"""What a SavedModel serves, read from its protocol buffer alone: no TensorFlow is loaded.

The messages are described here with the protocol's own field numbers, as far as they are needed; the graph, which is
most of the file, is never unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from tfdvbpr.errors import ConfigError
from tfdvbpr_export.versions import version_at

_PACKAGE = "tfdvbpr.saved_model"
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 7: "string", 9: "int64", 10: "bool", 14: "bfloat16"}
_INT32, _INT64, _STRING, _BOOL, _MESSAGE = 5, 3, 9, 8, 11
# Message: its fields as (name, number, type or the name of a message, whether there may be many).
_MESSAGES: dict[str, list[tuple[str, int, int | str, bool]]] = {
    "Dim": [("size", 1, _INT64, False)],
    "TensorShape": [("dim", 2, "Dim", True), ("unknown_rank", 3, _BOOL, False)],
    "TensorInfo": [("dtype", 2, _INT32, False), ("tensor_shape", 3, "TensorShape", False)],
    "NamedTensor": [("key", 1, _STRING, False), ("value", 2, "TensorInfo", False)],
    "Signature": [("inputs", 1, "NamedTensor", True), ("outputs", 2, "NamedTensor", True)],
    "NamedSignature": [("key", 1, _STRING, False), ("value", 2, "Signature", False)],
    "MetaInfo": [("tags", 4, _STRING, True), ("tensorflow_version", 5, _STRING, False)],
    "MetaGraph": [("meta_info", 1, "MetaInfo", False), ("signatures", 5, "NamedSignature", True)],
    "SavedModel": [("meta_graphs", 2, "MetaGraph", True)],
}


@dataclass(frozen=True)
class FoundSignature:
    """A signature as a file has it.

    Attributes:
        inputs: by name, dtype and shape as text, such as `string [B, ?]`.
        outputs: the same.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Inspection:
    """What is in a version folder.

    Attributes:
        folder: the version folder.
        tensorflow_version: which wrote it.
        signatures: by name.
        num_bytes: of all its files.
    """

    folder: Path
    tensorflow_version: str
    signatures: Mapping[str, FoundSignature]
    num_bytes: int


def inspect_version(path: Path) -> Inspection:
    """Reads a version folder, or the newest below a base path.

    Raises:
        ConfigError: if there is none, or its saved_model.pb is damaged.
    """
    folder = version_at(path)
    try:
        saved = _messages()["SavedModel"].FromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ConfigError(
            f"{folder / 'saved_model.pb'} must be a whole SavedModel. It cannot be read: {error}"
        ) from None
    graph = next((g for g in saved.meta_graphs if "serve" in g.meta_info.tags), None)
    if graph is None:
        raise ConfigError(f"{folder} must hold a graph for serving. It has none. Export it with tfdvbpr-export.")
    found = {
        entry.key: FoundSignature(_tensors(entry.value.inputs), _tensors(entry.value.outputs))
        for entry in sorted(graph.signatures, key=lambda entry: entry.key)
        if not entry.key.startswith("__")
    }
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Inspection(folder, graph.meta_info.tensorflow_version, found, size)


def _tensors(entries: Any) -> dict[str, str]:
    return {entry.key: _tensor(entry.value) for entry in sorted(entries, key=lambda entry: entry.key)}


def _tensor(info: Any) -> str:
    dtype = _DTYPES.get(info.dtype, f"dtype {info.dtype}")
    if info.tensor_shape.unknown_rank:
        return f"{dtype} of any shape"
    sizes = [dim.size for dim in info.tensor_shape.dim]
    names = ["?" if size < 0 else str(size) for size in sizes]
    if sizes and sizes[0] < 0:
        names[0] = "B"
    return f"{dtype} [{', '.join(names)}]"


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfdvbpr_saved_model.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, many in fields:
            added = message.field.add(name=field, number=number, label=3 if many else 1)
            added.type = _MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }
