"""Invalid and extreme requests, and the statuses that are right for them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import numpy as np
from image_files import gif, jpeg, jpeg_with_scans, png, png_with_size
from PIL import Image
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import predict_request

Code = grpc.StatusCode
Generator = np.random.Generator
Request = predict_pb2.PredictRequest

DTYPES = {"string": 7, "int32": 3, "int64": 9, "float32": 1, "bool": 10}
HUGE = 64 * 2**20


@dataclass(frozen=True)
class Hostile:
    """A request and what may come back.

    Attributes:
        kind: what is wrong with it.
        request: bytes, ready to send.
        statuses: any of these is right.
    """

    kind: str
    request: bytes
    statuses: frozenset[Code]


def good_request(rng: Generator, signature: str, *, rows: int | None = None) -> Request:
    """A valid request of any server of the models, with users and items that may be unknown."""
    count = int(rng.integers(1, 4)) if rows is None else rows
    inputs = {}
    for name, tensor in SIGNATURES[signature].inputs.items():
        if name == "image_bytes":
            values: Any = [[png(), jpeg()][int(rng.integers(2))] for _ in range(count)]
        elif name == "categories" and SIGNATURES[signature].model == "designer":
            values = ["tops"] * count
        elif tensor.neutral is not None:
            values = SIGNATURES[signature].neutral(name, count)
        elif len(tensor.shape) == 2:
            values = [[f"i{rng.integers(8)}", "i1"] for _ in range(count)]
        else:
            values = [f"u{rng.integers(6)}" for _ in range(count)]
        inputs[name] = np.array(values, dtype=object if tensor.dtype == "string" else tensor.dtype)
    spec = messages.model_spec(SIGNATURES[signature].model, signature=signature)
    return Request.FromString(predict_request(spec, inputs).SerializeToString())


def any_signature(rng: Generator, *, having: str | None = None) -> str:
    names = [name for name, s in SIGNATURES.items() if having is None or having in s.inputs]
    return names[int(rng.integers(len(names)))]


def any_input(rng: Generator, request: Request) -> tensor_pb2.TensorProto:
    names = sorted(request.inputs)
    return request.inputs[names[int(rng.integers(len(names)))]]


def string_tensor(*values: bytes) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=7, string_val=values)
    tensor.tensor_shape.dim.add(size=len(values))
    return tensor


def wrong_dtype(rng: Generator, request: Request) -> None:
    tensor = any_input(rng, request)
    others = [n for n in (*DTYPES.values(), 2, 4, 14, 18, 21, 0, 999) if n != tensor.dtype]
    tensor.dtype = others[int(rng.integers(len(others)))]


def wrong_rank(rng: Generator, request: Request) -> None:
    any_input(rng, request).tensor_shape.dim.add(size=1)


def scalar(rng: Generator, request: Request) -> None:
    del any_input(rng, request).tensor_shape.dim[:]


def endless_shape(rng: Generator, request: Request) -> None:
    any_input(rng, request).tensor_shape.dim[0].size = int(rng.choice([2**31, 2**50, 2**63 - 1]))


def negative_size(rng: Generator, request: Request) -> None:
    any_input(rng, request).tensor_shape.dim[0].size = -1


def no_shape(rng: Generator, request: Request) -> None:
    tensor = any_input(rng, request)
    del tensor.tensor_shape.dim[:]
    tensor.tensor_shape.unknown_rank = True


def missing_input(rng: Generator, request: Request) -> None:
    names = sorted(request.inputs)
    del request.inputs[names[int(rng.integers(len(names)))]]


def wrong_name(rng: Generator, request: Request) -> None:
    request.inputs["x" * int(rng.choice([1, 300, 100_000]))].CopyFrom(string_tensor(b"u0"))


def broken_content(rng: Generator, request: Request) -> None:
    tensor = any_input(rng, request)
    tensor.ClearField("string_val")
    tensor.tensor_content = rng.bytes(int(rng.integers(1, 60)) * 2 + 1)
    tensor.dtype = 3


def too_many_values(rng: Generator, request: Request) -> None:
    tensor = request.inputs[next(n for n in sorted(request.inputs) if request.inputs[n].dtype == 7)]
    tensor.string_val.extend([b"more"] * 200)


def empty_batch(rng: Generator, request: Request) -> None:
    for name in request.inputs:
        tensor = request.inputs[name]
        tensor.ClearField("string_val")
        tensor.tensor_content = b""
        tensor.tensor_shape.dim[0].size = 0


def unequal_rows(rng: Generator, request: Request) -> None:
    tensor = request.inputs[next(n for n in sorted(request.inputs) if request.inputs[n].dtype == 7)]
    tensor.tensor_shape.dim[0].size += 1


def bad_filter(rng: Generator, request: Request) -> None:
    request.output_filter.append("no such output")


def unknown_model(rng: Generator, request: Request) -> None:
    request.model_spec.name = f"model-{rng.integers(1000)}"


def unknown_version(rng: Generator, request: Request) -> None:
    request.model_spec.version.value = int(rng.choice([-5, 77, 2**62]))


def unknown_label(rng: Generator, request: Request) -> None:
    request.model_spec.version_label = "no-such-label"


def unknown_signature(rng: Generator, request: Request) -> None:
    request.model_spec.signature_name = f"signature-{rng.integers(1000)}"


def no_model(rng: Generator, request: Request) -> None:
    request.ClearField("model_spec")


def random_ids(rng: Generator, request: Request) -> None:
    name = next(n for n in sorted(request.inputs) if request.inputs[n].dtype == 7 and n != "image_bytes")
    for position in range(len(request.inputs[name].string_val)):
        request.inputs[name].string_val[position] = rng.bytes(int(rng.integers(0, 200)))


def set_all(request: Request, name: str, value: Any) -> None:
    tensor = request.inputs[name]
    count = tensor.tensor_shape.dim[0].size
    dtype = {3: "<i4", 1: "<f4"}[tensor.dtype]
    tensor.tensor_content = np.full(count, value, dtype=dtype).tobytes()


def huge_k(rng: Generator, request: Request) -> None:
    set_all(request, "k", int(rng.choice([10**6, 2**31 - 1])))


def negative_k(rng: Generator, request: Request) -> None:
    set_all(request, "k", int(rng.choice([-1, -(2**31)])))


def not_finite(rng: Generator, request: Request) -> None:
    set_all(request, "realism_weights", float(rng.choice([np.nan, np.inf, -np.inf])))


def large_jpeg(rng: Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def broken_image(rng: Generator, request: Request) -> None:
    files = [
        large_jpeg(rng)[: int(rng.integers(1, 300))],
        b"\xff\xd8" + rng.bytes(200),
        png()[:-20],
        b"",
        b"%PDF-1.7",
        rng.bytes(50),
        b"BM" + rng.bytes(60),
        b"GIF89a" + rng.bytes(60),
    ]
    request.inputs["image_bytes"].string_val[0] = files[int(rng.integers(len(files)))]


def flipped_image(rng: Generator, request: Request) -> None:
    """May still be an image of some kind."""
    file = bytearray([large_jpeg(rng), png(), gif()][int(rng.integers(3))])
    for position in rng.integers(2, len(file), int(rng.integers(1, 20))):
        file[position] = int(rng.integers(256))
    request.inputs["image_bytes"].string_val[0] = bytes(file)


def image_bomb(rng: Generator, request: Request) -> None:
    request.inputs["image_bytes"].string_val[0] = png_with_size(int(rng.integers(30_000, 2**31)), 40_000)


def repeated_string(rng: Generator, request: Request) -> None:
    """One string for as many as the shape says: a few kilobytes for gigabytes."""
    names = [n for n in sorted(request.inputs) if request.inputs[n].dtype == 7]
    tensor = request.inputs[names[int(rng.integers(len(names)))]]
    del tensor.string_val[:]
    tensor.string_val.append(b"x" * 1700)
    tensor.tensor_shape.dim[-1].size = int(rng.choice([2**12, 2**18]))


def repeated_number(rng: Generator, request: Request) -> None:
    name = "k" if "k" in request.inputs else "seeds"
    tensor = request.inputs[name]
    tensor.ClearField("tensor_content")
    getattr(tensor, {3: "int_val", 9: "int64_val"}[tensor.dtype])[:] = [1]
    for each in request.inputs.values():
        each.tensor_shape.dim[0].size = int(rng.choice([2**10, 2**22]))


def many_rows(rng: Generator, request: Request) -> None:
    signature = request.model_spec.signature_name
    request.CopyFrom(good_request(rng, signature, rows=int(rng.choice([65, 5000]))))


def many_values(rng: Generator, request: Request) -> None:
    tensor = request.inputs[next(n for n in sorted(request.inputs) if request.inputs[n].dtype == 7)]
    tensor.string_val.extend([b"i"] * 250_000)


def many_scans(rng: Generator, request: Request) -> None:
    request.inputs["image_bytes"].string_val[0] = _many_scans()


@cache
def _many_scans() -> bytes:
    return jpeg_with_scans(4000, size=(1000, 1000))


def huge_string(rng: Generator, request: Request) -> None:
    name = next(n for n in sorted(request.inputs) if request.inputs[n].dtype == 7)
    request.inputs[name].string_val[0] = bytes(HUGE)


REJECTED = frozenset({Code.INVALID_ARGUMENT})
EITHER = frozenset({Code.OK, Code.INVALID_ARGUMENT})
Change = Callable[[Generator, Request], None]

# What is done to a good request, the input it needs, what may come back, and how often among a hundred.
KINDS: dict[str, tuple[Change, str | None, frozenset[Code], float]] = {
    "wrong dtype": (wrong_dtype, None, REJECTED, 7),
    "wrong rank": (wrong_rank, None, REJECTED, 6),
    "scalar": (scalar, None, REJECTED, 3),
    "endless shape": (endless_shape, None, REJECTED, 4),
    "negative size": (negative_size, None, REJECTED, 3),
    "no shape": (no_shape, None, REJECTED, 3),
    "missing input": (missing_input, None, REJECTED, 5),
    "wrong name": (wrong_name, None, REJECTED, 5),
    "broken content": (broken_content, None, REJECTED, 4),
    "too many values": (too_many_values, None, REJECTED, 4),
    "empty batch": (empty_batch, None, REJECTED, 4),
    "unequal rows": (unequal_rows, "categories", REJECTED, 4),
    "bad filter": (bad_filter, None, REJECTED, 3),
    "unknown model": (unknown_model, None, frozenset({Code.NOT_FOUND}), 4),
    "unknown version": (unknown_version, None, frozenset({Code.NOT_FOUND}), 4),
    "unknown label": (unknown_label, None, REJECTED, 3),
    "unknown signature": (unknown_signature, None, frozenset({Code.FAILED_PRECONDITION}), 4),
    "no model": (no_model, None, REJECTED, 2),
    "random ids": (random_ids, "categories", frozenset({Code.OK}), 4),
    "huge k": (huge_k, "k", EITHER, 4),
    "negative k": (negative_k, "k", REJECTED, 4),
    "not finite": (not_finite, "realism_weights", EITHER, 4),
    "broken image": (broken_image, "image_bytes", REJECTED, 5),
    "flipped image": (flipped_image, "image_bytes", EITHER, 4),
    "image bomb": (image_bomb, "image_bytes", REJECTED, 4),
    "repeated string": (repeated_string, None, REJECTED, 4),
    "repeated number": (repeated_number, "categories", REJECTED, 4),
    "many rows": (many_rows, None, REJECTED, 2),
    "many values": (many_values, None, REJECTED, 0.5),
    "many scans": (many_scans, "image_bytes", REJECTED, 2),
    "64 MB string": (huge_string, None, frozenset({Code.RESOURCE_EXHAUSTED}), 0.5),
}


def hostile(rng: Generator, kind: str | None = None) -> Hostile:
    """A request of a kind, sampled by weight if none is named."""
    if kind is None:
        weights = np.array([weight for *_, weight in KINDS.values()])
        kind = list(KINDS)[int(rng.choice(len(KINDS), p=weights / weights.sum()))]
    change, needed, statuses, _ = KINDS[kind]
    request = good_request(rng, any_signature(rng, having=needed))
    change(rng, request)
    return Hostile(kind, request.SerializeToString(), statuses)


def problem_of(one: Hostile, code: Code, details: str | None) -> str | None:
    """What is wrong with a response; None if nothing is."""
    if code not in one.statuses:
        return f"{one.kind}: {code.name} in place of {sorted(s.name for s in one.statuses)}: {details}"
    if code == Code.OK:
        return None
    text = details or ""
    if len(text) < 15 or "\n" in text or "[[" in text or "Traceback" in text or len(text) > 2000:
        return f"{one.kind}: no sentence: {text[:300]!r}"
    return None
