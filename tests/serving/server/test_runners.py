"""One signature compared with TensorFlow's public call, and cancelled while it runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from image_files import jpeg, png
from serving_toy_models import RECOMMENDER_SIGNATURES, save_designer

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.models.loading import LoadedModel, ServingOptions, load_model
from tfdvbpr_serving.server.requests import RequestContext, RequestError
from tfdvbpr_serving.server.runners import Cancellation

OPTIONS = ServingOptions(None, ServerLimits())


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
    arrays = inputs_of(name, rows=2, **INPUTS)
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
