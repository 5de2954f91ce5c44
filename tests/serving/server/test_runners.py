"""One signature compared with TensorFlow's public call, cancelled while it runs, and guarded against huge images."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from image_files import gif, gif_with_large_frame, image_file, jpeg, png, png_with_size
from serving_toy_models import RECOMMENDER_SIGNATURES, save_designer
from tensorflow.core.framework import tensor_pb2

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.server.requests import RequestContext, RequestError
from tfdvbpr_serving.server.runners import Cancellation, declared_pixels

OPTIONS = ServingOptions(None, ServerLimits(max_message_bytes=2**20, max_image_pixels=1000, max_request_pixels=1500))


@pytest.fixture(scope="module")
def recommender(model_folders: dict[str, Path]) -> LoadedModel:
    return load_model("recommender", 2, model_folders["recommender"] / "2", options=OPTIONS)


@pytest.fixture(scope="module")
def slow_designer(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("slow") / "1"
    save_designer(folder, work=250)
    return load_model("designer", 1, folder, options=OPTIONS)


def inputs_of(name: str, *, rows: int, **given: Any) -> dict[str, np.ndarray[Any, Any]]:
    signature = SIGNATURES[name]
    found = {}
    for key, description in signature.inputs.items():
        dtype = object if description.dtype == "string" else description.dtype
        found[key] = np.array(given[key] if key in given else signature.neutral(key, rows), dtype=dtype)
        if key not in given and dtype is object:
            found[key][:] = b""
    return found


INPUTS: dict[str, Any] = {
    "user_ids": [b"u0", b"?"],
    "item_ids": [[b"i0", b"?"], [b"i3", b""]],
    "query_item_ids": [b"i0", b"i5"],
    "liked_item_ids": [[b"i0", b"i1"], [b"i3", b""]],
    "image_bytes": [png(), jpeg()],
    "k": [2, 4],
    "categories": [b"tops", b""],
}


@pytest.mark.parametrize("name", RECOMMENDER_SIGNATURES)
def test_outputs_equal_those_of_the_public_call(recommender: LoadedModel, name: str) -> None:
    runner = recommender.runner(name)
    arrays = runner.checked(inputs_of(name, rows=2, **INPUTS))
    outputs = runner.run(arrays, cancellation=Cancellation())
    function = tf.saved_model.load(str(recommender.path)).signatures[name]
    expected = function(**{key: tf.constant(value) for key, value in arrays.items()})
    assert outputs.keys() == expected.keys() == SIGNATURES[name].outputs.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(outputs[key], value.numpy(), err_msg=key)


def test_cancelling_a_call_leaves_another_call_running(slow_designer: LoadedModel) -> None:
    """TensorFlow's own context for cancelling is one global: with it, the other call would be cancelled as well."""
    runner = slow_designer.runner("design")
    long = inputs_of("design", rows=1, categories=[b"tops"], num_steps=[100_000_000])
    short = inputs_of("design", rows=1, categories=[b"tops"], num_steps=[200])
    cancellation, ended = Cancellation(), []

    def run() -> None:
        with pytest.raises(RequestError) as caught:
            runner.run(long, cancellation=cancellation)
        ended.append(caught.value.code)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    other = Cancellation()
    assert runner.run(short, cancellation=other)["steps"].tolist() == [200]
    assert not ended
    cancellation.cancel()
    thread.join(timeout=20)
    assert ended == [grpc.StatusCode.CANCELLED]
    cancellation.cancel()
    assert runner.run(short, cancellation=Cancellation())["steps"].tolist() == [200]


def test_a_deadline_that_passes_while_it_runs(slow_designer: LoadedModel) -> None:
    runner = slow_designer.runner("design")
    context = RequestContext(0.3)
    timer = threading.Timer(0.3, context.cancel)  # as gRPC does when the time is up
    timer.start()
    with pytest.raises(RequestError, match="before the deadline") as caught:
        slow_designer.predict(runner, inputs_of("design", rows=1, categories=[b"tops"], num_steps=[10**8]), context)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    timer.join()


@pytest.mark.parametrize(
    ("file", "pixels"),
    [
        (png(), 6),
        (jpeg(), 6),
        (jpeg(progressive=True), 6),
        (gif(), 6),
        (image_file("BMP"), 6),
        (image_file("WEBP"), 6),
        (gif_with_large_frame(), 60_000),
        (png_with_size(1000, 1000), 10**6),
        (png_with_size(100_000, 100_000), math.inf),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"BMW driver", None),
        (b"not an image at all", None),
        (b"", None),
    ],
)
def test_pixels_are_read_from_headers(file: bytes, pixels: float | None) -> None:
    assert declared_pixels(file) == pixels


def test_a_gif_frame_larger_than_its_screen_is_decoded_at_its_own_size() -> None:
    """So its declared pixels must be the frame's."""
    decoded = tf.io.decode_image(gif_with_large_frame(), expand_animations=False)
    assert decoded.shape[0] * decoded.shape[1] == declared_pixels(gif_with_large_frame())


def test_images_beyond_the_limits_are_rejected_before_they_are_decoded(recommender: LoadedModel) -> None:
    runner = recommender.runner("embed_images")

    def rejection(files: list[bytes]) -> str:
        with pytest.raises(RequestError) as caught:
            runner.checked(inputs_of("embed_images", rows=len(files), image_bytes=files))
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
        return caught.value.message

    assert "at most 1000 pixels. Received one of inf " in rejection([png_with_size(100_000, 100_000)])
    assert "at most 1500 pixels together. Received 1800" in rejection([png_with_size(30, 30)] * 2)
    assert "Received one with a broken header" in rejection([png()[:20]])


def test_ids_that_begin_like_image_files_are_no_images(recommender: LoadedModel) -> None:
    runner = recommender.runner("score")
    assert runner.checked(inputs_of("score", rows=1, user_ids=[b"BMW driver"], item_ids=[[b"GIF89a"]]))


def test_a_few_bytes_may_not_stand_for_a_huge_tensor(recommender: LoadedModel) -> None:
    tensor = tensor_pb2.TensorProto(dtype=7, string_val=[b"a"])
    tensor.tensor_shape.dim.add(size=2**40)
    with pytest.raises(RequestError, match="at most 1048576 bytes"):
        recommender.runner("embed_images").read({"image_bytes": tensor})
