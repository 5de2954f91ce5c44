"""One signature called beside TensorFlow's public way, stopped while it runs, and guarded against huge pictures."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from picture_files import gif, jpeg, png, png_that_claims
from serving_toy_models import RECOMMENDER_SIGNATURES, save_designer
from tensorflow.core.framework import tensor_pb2

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client.calls import Call
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.pictures import claimed_pixels
from tfdvbpr_serving.server.limits import ServerLimits
from tfdvbpr_serving.server.refusals import RequestError
from tfdvbpr_serving.server.runners import Cancellation

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
        values = given[key] if key in given else signature.neutral(key, rows)
        found[key] = np.array(values, dtype=object if description.dtype == "string" else description.dtype)
    return found


INPUTS: dict[str, dict[str, Any]] = {
    "recommend": {"user_ids": [b"u0", b"u1"], "k": [2, 4]},
    "recommend_for_items": {"liked_item_ids": [[b"i0", b"i1"], [b"i3", b""]]},
    "score": {"user_ids": [b"u0", b"u1"], "item_ids": [[b"i0", b"?"], [b"i3", b""]]},
    "score_images": {"user_ids": [b"u0", b"?"], "image_bytes": [png(), png(4)]},
    "similar_items": {"query_item_ids": [b"i0", b"i5"]},
    "similar_images": {"image_bytes": [png(), png(4)], "categories": [b"tops", b""]},
    "embed_images": {"image_bytes": [png(), jpeg()]},
}


@pytest.mark.parametrize("name", RECOMMENDER_SIGNATURES)
def test_the_short_way_gives_what_the_public_one_gives(recommender: LoadedModel, name: str) -> None:
    runner = recommender.runner(name)
    arrays = runner.checked(inputs_of(name, rows=2, **INPUTS[name]))
    outputs = runner.run(arrays, cancellation=Cancellation())
    function = tf.saved_model.load(str(recommender.path)).signatures[name]
    expected = function(**{key: tf.constant(value) for key, value in arrays.items()})
    assert outputs.keys() == expected.keys() == SIGNATURES[name].outputs.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(outputs[key], value.numpy(), err_msg=key)


def test_a_call_is_stopped_from_another_thread_and_its_neighbour_is_not(slow_designer: LoadedModel) -> None:
    """TensorFlow's own context for cancelling is one global: with it, the neighbour would be stopped as well."""
    runner = slow_designer.runner("design")
    long = inputs_of("design", rows=1, categories=[b"tops"], num_steps=[100_000_000])
    short = inputs_of("design", rows=1, categories=[b"tops"], num_steps=[200])
    stopped, ended = Cancellation(), []

    def run() -> None:
        with pytest.raises(RequestError) as caught:
            runner.run(long, cancellation=stopped)
        ended.append(caught.value.code)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    neighbour = Cancellation()
    assert runner.run(short, cancellation=neighbour)["steps"].tolist() == [200]
    assert not ended
    stopped.stop()
    thread.join(timeout=20)
    assert ended == [grpc.StatusCode.CANCELLED]
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.2  # nothing of it goes on
    stopped.stop()
    assert runner.run(short, cancellation=Cancellation())["steps"].tolist() == [200]


def test_a_deadline_that_passes_while_it_runs(slow_designer: LoadedModel) -> None:
    runner = slow_designer.runner("design")
    call = Call(0.3)
    timer = threading.Timer(0.3, call.abandon)  # as gRPC does when the time is up
    timer.start()
    with pytest.raises(RequestError, match="before its deadline") as caught:
        slow_designer.answer(runner, inputs_of("design", rows=1, categories=[b"tops"], num_steps=[10**8]), call)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    timer.join()


@pytest.mark.parametrize(
    ("file", "pixels"),
    [
        (png(), 6),
        (jpeg(), 6),
        (jpeg(progressive=True), 6),
        (gif(), 6),
        (b"BM" + b"\0" * 16 + struct.pack("<ii", 30, -20), 600),
        (png_that_claims(100_000, 100_000), 10**10),
        (b"\xff\xd8\xff\xff\xff\xe0\x00\x04ab\xff\xc2\x00\x0b\x08\xff\xff\xff\xff\x01\x11\x00\xff\xda", 65535**2),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"not a picture at all", None),
        (b"", None),
    ],
)
def test_pixels_are_read_from_headers(file: bytes, pixels: int | None) -> None:
    assert claimed_pixels(file) == pixels


def test_pictures_beyond_the_limits_are_refused_before_they_are_decoded(recommender: LoadedModel) -> None:
    runner = recommender.runner("embed_images")

    def refused(files: list[bytes]) -> str:
        with pytest.raises(RequestError) as caught:
            runner.checked(inputs_of("embed_images", rows=len(files), image_bytes=files))
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
        return caught.value.message

    assert "at most 1000 pixels. Received one of 10000000000 " in refused([png_that_claims(100_000, 100_000)])
    assert "at most 1500 pixels together. Received 1800" in refused([png_that_claims(30, 30)] * 2)


def test_a_few_bytes_may_not_stand_for_a_huge_tensor(recommender: LoadedModel) -> None:
    tensor = tensor_pb2.TensorProto(dtype=7, string_val=[b"a"])
    tensor.tensor_shape.dim.add(size=2**40)
    with pytest.raises(RequestError, match="at most 1048576 bytes"):
        recommender.runner("embed_images").read({"image_bytes": tensor})
