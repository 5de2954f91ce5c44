"""What a request costs is known before anything is built: messages, tensors, JSON, images, and the budget of all."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from image_files import gif, image_file, jpeg, jpeg_with_scans, png, png_with_size

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.protocol.messages import model_spec, predict_request
from tfdvbpr_serving.protocol.tensorflow_pb2 import TensorProto
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictRequest
from tfdvbpr_serving.server.cost import MemoryBudget, json_bytes, message_bytes, tensor_bytes
from tfdvbpr_serving.server.images import check_images, declared_pixels, decoding_passes
from tfdvbpr_serving.server.requests import RequestError

LIMITS = ServerLimits(max_image_pixels=1000, max_request_pixels=1500)


def message_of(call: Callable[[], object], code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> str:
    with pytest.raises(RequestError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def test_requests_in_progress_share_one_budget() -> None:
    budget = MemoryBudget(1000)
    with budget.reserve(600):
        with budget.reserve(300) as second:
            full = message_of(lambda: second.add(101), grpc.StatusCode.RESOURCE_EXHAUSTED)
            assert "at most 1000 bytes together. The server is full" in full
            second.add(100)
            assert budget.used == 1000
        assert budget.used == 600
        message_of(lambda: budget.reserve(401), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert budget.used == 600
    assert budget.used == 0


def measured(body: bytes, *, max_values: int = 200_000) -> int:
    """Beside the bytes of the message itself."""
    return message_bytes(PredictRequest.DESCRIPTOR, body, max_values=max_values) - len(body)


def score_request(rows: int, items: int) -> PredictRequest:
    inputs = {
        "user_ids": np.array(["u"] * rows, dtype=object),
        "item_ids": np.array([["item-1"] * items] * rows, dtype=object),
        "k": np.zeros(rows, dtype=np.int32),
    }
    return predict_request(model_spec("recommender", signature="score"), inputs)


def test_large_messages_are_measured_before_they_are_parsed() -> None:
    request = score_request(64, 1000)
    body = request.SerializeToString()
    assert 64_064 * 48 < measured(body) < 64_064 * 48 + 10_000  # each string, and little else
    assert "at most 60000 values" in message_of(lambda: measured(body, max_values=60_000))
    request.inputs["k"].ClearField("tensor_content")
    request.inputs["k"].int_val.extend([2**31 - 1] * 30_000)  # packed, five bytes each
    assert measured(request.SerializeToString()) - measured(body) == pytest.approx(30_000 * 48, abs=100)
    request.inputs["k"].float_val.extend([0.0] * 120_000)  # packed, four bytes each
    assert "at most 200000 values" in message_of(lambda: measured(request.SerializeToString()))


def test_a_message_of_empty_messages_is_measured_by_what_they_unfold_to() -> None:
    sizes = PredictRequest(inputs={"a": TensorProto()})
    for _ in range(40_000):
        sizes.inputs["a"].tensor_shape.dim.add()
    assert measured(sizes.SerializeToString()) > 40_000 * 250
    inputs = b"\x12\x00" * 300_000  # 600 kB of empty map entries, 30 million bytes once they are parsed
    assert "values" in message_of(lambda: measured(inputs))


@pytest.mark.parametrize("cut", [b"\x12", b"\x12\xff\xff\xff\xff\x7f", b"\x0f\x00", b"\x80" * 12])
def test_messages_that_are_cut_off(cut: bytes) -> None:
    assert "must be a PredictRequest" in message_of(lambda: measured(score_request(64, 300).SerializeToString() + cut))


def string_tensor(shape: tuple[int, ...], *values: bytes) -> TensorProto:
    tensor = TensorProto(dtype=7, string_val=values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def test_a_few_bytes_may_not_stand_for_many_strings() -> None:
    filler = string_tensor((1, 2**16), b"x" * 1700)
    assert "must list every string of its shape (1, 65536). Received 1 for 65536" in message_of(
        lambda: tensor_bytes("exclude_item_ids", filler, (1, 2**16), np.dtype(object))
    )
    whole = string_tensor((2, 2), *[b"x" * 1700] * 4)
    assert 2 * 4 * 1700 <= tensor_bytes("item_ids", whole, (2, 2), np.dtype(object)) < 15_000
    numbers = TensorProto(dtype=9, int64_val=[1])
    assert tensor_bytes("seeds", numbers, (2**30,), np.dtype(np.int64)) >= 2**30 * 16


def test_json_is_measured_before_it_is_parsed() -> None:
    for value in ([{}] * 50_000, [{"a": 1}] * 20_000, [[]] * 20_000, [1.5] * 50_000, ["\U0001f600" * 99] * 999):
        body = json.dumps(value, ensure_ascii=False).encode()
        tracemalloc.start()
        json.loads(body.decode())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= json_bytes(body, max_values=200_000) < 8 * peak
    assert "at most 1000 values" in message_of(lambda: json_bytes(b"[" + b"{}," * 1000 + b"{}]", max_values=1000))
    assert "at most 1000 values" in message_of(lambda: json_bytes(b"[" * 1000, max_values=1000))


@pytest.mark.parametrize(
    ("file", "pixels"),
    [
        (png(), 6),
        (jpeg(), 6),
        (jpeg(progressive=True), 6),
        (png_with_size(1000, 1000), 10**6),
        (png_with_size(100_000, 100_000), math.inf),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (gif(), None),
        (b"", None),
    ],
)
def test_pixels_are_read_from_headers(file: bytes, pixels: float | None) -> None:
    assert declared_pixels(file) == pixels


def test_images_beyond_the_limits_are_rejected_before_they_are_decoded() -> None:
    def rejection(*files: bytes) -> str:
        return message_of(lambda: check_images("image_bytes", files, LIMITS))

    assert "at most 1000 pixels. Received one of inf " in rejection(png_with_size(100_000, 100_000))
    assert "at most 1500 pixels together" in rejection(png_with_size(30, 30), png_with_size(30, 30))
    assert "Received one with a broken header" in rejection(png()[:20])
    for file in (gif(), image_file("BMP"), image_file("WEBP"), b"BMW driver", b""):
        assert "must hold whole JPEG or PNG files" in rejection(file)
    assert check_images("image_bytes", [png(), png_with_size(20, 30)], LIMITS) == (600, 606)


def test_ids_that_begin_like_image_files_are_no_images() -> None:
    assert check_images("user_ids", [b"BMW driver", b"GIF89a", b"\x89PNG\r\n\x1a\n", gif()], LIMITS) == (0, 0)
    assert "at most 1000 pixels" in message_of(lambda: check_images("user_ids", [png_with_size(99, 99)], LIMITS))


def test_the_scans_of_a_progressive_jpeg_are_counted() -> None:
    usual = image_file("JPEG", size=(30, 20), progressive=True)
    assert decoding_passes(image_file("JPEG", size=(30, 20))) == 1
    assert decoding_passes(usual) <= 2
    assert check_images("image_bytes", [usual], LIMITS) == (600, 600)
    many = jpeg_with_scans(400, size=(30, 20))
    assert decoding_passes(many) >= 40
    rejection = message_of(lambda: check_images("image_bytes", [many], LIMITS))
    assert "every ten scans of a JPEG count as its pixels once more. Received 25200" in rejection
