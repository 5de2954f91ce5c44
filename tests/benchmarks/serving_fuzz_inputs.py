"""What a caller who knows the protocol may send: protos and JSON by Hypothesis, and tensors by the million."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from image_files import jpeg_with_scans, png, png_with_size
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import messages

OTHER_METHODS = tuple(
    f"/tensorflow.serving.PredictionService/{name}" for name in ("Classify", "Regress", "MultiInference")
)
METHODS = (*messages.METHODS, *OTHER_METHODS)
PATHS = ("recommender:predict", "recommender/versions/1:predict", "recommender/labels/x:predict", "designer:predict",
         "recommender:classify", "recommender:regress", "recommender/versions/99999999999999999999:predict",
         "..%2f..%2fetc:predict", "recommender:predict:predict")  # fmt: skip

_DTYPES = st.sampled_from([0, 1, 2, 3, 4, 7, 9, 10, 14, 18, 19, 20, 21, 23, 101, 999])
_SIZES = st.sampled_from([-1, 0, 1, 2, 3, 64, 65, 2**20, 2**31, 2**63 - 1])
_NAMES = st.sampled_from(sorted({name for s in SIGNATURES.values() for name in s.inputs})) | st.text(max_size=8)
_FILES = st.sampled_from([png(), png()[:-9], png_with_size(2**31 - 1, 2**31 - 1), jpeg_with_scans(400)])
_BYTES = st.binary(max_size=20) | _FILES
_VERSIONS = st.sampled_from([None, -1, 0, 1, 2, 2**63 - 1])


@st.composite
def tensors(draw: st.DrawFn) -> tensor_pb2.TensorProto:
    """Any dtype and shape, with values listed, packed, in several fields, too few or too many."""
    tensor = tensor_pb2.TensorProto(dtype=draw(_DTYPES))
    for size in draw(st.lists(_SIZES, max_size=4)):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_shape.unknown_rank = draw(st.sampled_from([False, False, False, True]))
    tensor.string_val.extend(draw(st.lists(_BYTES, max_size=3)))
    tensor.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)))
    tensor.float_val.extend(draw(st.lists(st.floats(width=32), max_size=3)))
    tensor.bool_val.extend(draw(st.lists(st.booleans(), max_size=2)))
    tensor.tensor_content = draw(st.sampled_from([b"", b"", b"\0" * 4, b"\xff" * 8, b"x" * 7]))
    return tensor


@st.composite
def grpc_bodies(draw: st.DrawFn) -> bytes:
    """A `PredictRequest` with any model, version, signature and inputs; cut off or followed by other bytes at times."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(["recommender", "designer", "", "../x"]))
    request.model_spec.signature_name = draw(st.sampled_from([*SIGNATURES, "", "serving_default"]))
    version = draw(_VERSIONS)
    if version is not None:
        request.model_spec.version.value = version
    for name in draw(st.lists(_NAMES, max_size=6)):
        request.inputs[name].CopyFrom(draw(tensors()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["scores", "scores", "x"]), max_size=2)))
    body = bytes(request.SerializeToString())
    return draw(st.sampled_from([body, body, body[: len(body) // 2], body + body, b"\x0a\xff\xff\xff\xff\x0f" + body]))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=6)
    | st.builds(lambda text: {"b64": text}, st.text("AQg=%", max_size=8)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
_MANY = b'{"instances": [' + b"0," * 250_000 + b"0]}"
_ODD_BODIES = (
    b"", _MANY, b"[" * 100_000,
    b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}", b'{"instances": [' + b"9" * 5000 + b"]}",
    b'{"inputs": 1, "inputs": 2}', b'{"instances": [NaN, Infinity, 1e999]}',
    b"\xff\xfe{}",
)  # fmt: skip


@st.composite
def rest_bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A JSON body by rows or by columns, or one that resembles it, and headers; packed by gzip at times."""
    found = {draw(st.sampled_from(["instances", "inputs", "other"])): draw(_JSON)}
    found["signature_name"] = draw(st.sampled_from([*SIGNATURES]) | _JSON)
    body = draw(st.just(json.dumps(found).encode()) | st.sampled_from(_ODD_BODIES))
    if draw(st.booleans()):
        return body, {}
    packed = gzip.compress(body)
    return draw(st.sampled_from([packed, packed[:-5], GZIP_BOMB, b"\x1f\x8b" + body])), {"Content-Encoding": "gzip"}


GZIP_BOMB = gzip.compress(bytes(200 * 2**20))


def malformed_tensors(seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of tensors without end: any dtype, sizes and field, one in four with a broken byte."""
    rng = np.random.default_rng(seed)
    names = sorted({name for s in SIGNATURES.values() for name in s.inputs})
    dtypes, sizes = [1, 3, 7, 9, 10, 0, 2, 14, 23, 999], [-1, 0, 1, 2, 3, 65, 2**20, 2**40, 2**63 - 1]
    while True:
        numbers = rng.integers(0, 2**31 - 1, 12).tolist()
        tensor = tensor_pb2.TensorProto(dtype=dtypes[numbers[0] % 10])
        for number in numbers[1 : 1 + numbers[1] % 4]:
            tensor.tensor_shape.dim.add(size=sizes[number % 9])
        kind = numbers[5] % 5
        if kind == 0:
            tensor.string_val.extend([b"u1"] * (numbers[6] % 4))
        elif kind == 1:
            tensor.int_val.extend(numbers[6 : 6 + numbers[7] % 4])
        elif kind == 2:
            tensor.tensor_content = rng.bytes(numbers[6] % 20)
        elif kind == 3:
            tensor.float_val.append(float("nan"))
        body = bytearray(tensor.SerializeToString())
        if body and numbers[8] % 4 == 0:
            body[numbers[9] % len(body)] = numbers[10] % 256
        yield names[numbers[11] % len(names)], bytes(body)
