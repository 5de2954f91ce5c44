"""Run, export, server, gRPC and REST, client: the answers are those of the run and of the SavedModel."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from cancelled_designs import check_that_a_deadline_ends_the_work, check_that_cancelled_tasks_leave_the_queue
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.images.decoding import decoder, to_float
from tfdvbpr.run import Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.saved_model import WARMUP_NAME
from tfdvbpr_export.versions import EXTRA, RECORDED_NAME
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import BatchingOptions
from tfdvbpr_serving.errors import IdsNotFoundError, InvalidRequestError
from tfdvbpr_serving.server.server import LocalServer

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def folders(recommender_folder: Path, designer_folder: Path) -> dict[str, Path]:
    return {"recommender": recommender_folder, "designer": designer_folder}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[LocalServer]:
    """One thread, so that the designs which one of the tests cancels have to wait for each other."""
    models = {name: folder.parent for name, folder in folders.items()}
    with LocalServer(models, rest_port=0, batching=BatchingOptions(num_batch_threads=1)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: LocalServer) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures(client: Client, name: str) -> None:
    described = SIGNATURES[name]
    served = client.metadata(described.model).signatures[name]
    for table, found in ((described.inputs, served.inputs), (described.outputs, served.outputs)):
        assert {key: tensor.dtype for key, tensor in found.items()} == {key: t.dtype for key, t in table.items()}


def test_score(client: Client, tiny_run: Run) -> None:
    users, items = tiny_run.user_ids, tiny_run.items.item_ids
    answer = client.score(users, items)
    np.testing.assert_allclose(answer.scores, tiny_run.score(users, items), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("category", [None, "shoe"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommend(client: Client, tiny_run: Run, category: str | None, exclude_seen: bool) -> None:
    answer = client.recommend(tiny_run.user_ids, k=5, category=category, exclude_seen=exclude_seen)
    for row in answer:
        expected = tiny_run.recommend(row.user_id, k=5, category=category, exclude_seen=exclude_seen)
        assert list(row.item_ids) == [one.item_id for one in expected]
        np.testing.assert_allclose(row.scores, [one.score for one in expected], rtol=1e-5, atol=1e-7)


def test_embed_images(client: Client, tiny_run: Run) -> None:
    files = [encoded(noisy_picture(RED, (45, 32), 1)), encoded(noisy_picture(BLUE, (20, 61), 2))]
    decode = decoder(tiny_run.manifest.image_size, tiny_run.manifest.fit)
    pixels = np.stack([decode(file).numpy() for file in files])
    expected = tiny_run.recommender.embed_images(to_float(pixels), training=False).numpy()
    np.testing.assert_allclose(client.embed_images(files), expected, rtol=1e-5, atol=1e-7)


def test_wrong_requests(client: Client) -> None:
    with pytest.raises(IdsNotFoundError, match="nobody"):
        client.score(["nobody"], ["i0"])
    with pytest.raises(IdsNotFoundError, match="hat"):
        client.design(["u0"], "hat")
    with pytest.raises(InvalidRequestError):
        client.embed_images([b"GIF98 not an image"])
    assert client.recommend(["u0"], k=1)[0].known_user  # the server still answers


def test_a_deadline_ends_a_design(server: LocalServer) -> None:
    check_that_a_deadline_ends_the_work(server, "shirt")


def test_cancelled_designs_end_and_leave_the_queue(server: LocalServer) -> None:
    check_that_cancelled_tasks_leave_the_queue(server, "designer", "shirt")


def logs(folder: Path, name: str) -> list[prediction_log_pb2.PredictLog]:
    records = tf.data.TFRecordDataset(str(folder / EXTRA / name)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log for record in records]


def test_every_signature_is_warmed_up(folders: dict[str, Path]) -> None:
    """The server has answered these already; TensorFlow Serving reads the same file."""
    names = []
    for model, folder in folders.items():
        for log in logs(folder, WARMUP_NAME):
            signature = SIGNATURES[log.request.model_spec.signature_name]
            assert log.request.model_spec.name == signature.model == model
            assert set(log.request.inputs) == set(signature.inputs)
            names.append(log.request.model_spec.signature_name)
    assert sorted(names) == sorted(SIGNATURES)


def by_rest(server: LocalServer, request: predict_pb2.PredictRequest) -> Arrays:
    signature = SIGNATURES[request.model_spec.signature_name]
    inputs: dict[str, Any] = {}
    for name, tensor in request.inputs.items():
        array = tf.make_ndarray(tensor)
        if name.endswith("_bytes"):
            inputs[name] = [{"b64": base64.b64encode(file).decode()} for file in array]
        else:
            inputs[name] = (
                np.vectorize(bytes.decode, otypes=[object])(array).tolist() if array.dtype == object else array.tolist()
            )
    response = httpx.post(
        f"{server.rest_url}/v1/models/{signature.model}/versions/1:predict",
        json={"signature_name": request.model_spec.signature_name, "inputs": inputs},
        timeout=60,
    )
    assert response.status_code == 200, response.text
    outputs = response.json()["outputs"]
    if len(signature.outputs) == 1:
        outputs = {next(iter(signature.outputs)): outputs}
    return {name: _read(name, outputs[name], tensor.dtype) for name, tensor in signature.outputs.items()}


def _read(name: str, value: Any, dtype: str) -> np.ndarray[Any, Any]:
    if dtype != "string":
        return np.array(value, dtype=dtype)
    if name.endswith("_bytes"):
        array = np.array(value, dtype=object)
        return np.vectorize(lambda file: base64.b64decode(file["b64"]), otypes=[object])(array)
    return np.vectorize(str.encode, otypes=[object])(np.array(value, dtype=object))


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        if name.endswith("_bytes"):
            for one, other in zip(found[name].ravel(), array.ravel(), strict=True):
                assert bool(one) == bool(other)
                if other:
                    assert np.abs(pixels(one) - pixels(other)).max() <= 1
        elif array.dtype.kind == "f":
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def pixels(file: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_every_transport_gives_the_recorded_answer(
    server: LocalServer, folders: dict[str, Path], signature: str
) -> None:
    """gRPC and REST; `validate` compares the SavedModel alone with the same answers."""
    recorded = [
        log
        for log in logs(folders[SIGNATURES[signature].model], RECORDED_NAME)
        if log.request.model_spec.signature_name == signature
    ]
    assert recorded
    with grpc.insecure_channel(server.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for log in recorded:
            expected = arrays(log.response.outputs)
            assert_same(arrays(stub.Predict(log.request, timeout=60).outputs), expected)
            assert_same(by_rest(server, log.request), expected)


def arrays(tensors: Any) -> Arrays:
    return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}


def test_the_client_gives_the_recorded_designs(client: Client, designer_folder: Path) -> None:
    log = next(log for log in logs(designer_folder, RECORDED_NAME))
    inputs, expected = arrays(log.request.inputs), arrays(log.response.outputs)
    users, categories = ([value.decode() for value in inputs[name]] for name in ("user_ids", "categories"))
    answer = client.design(users, categories, num_steps=int(inputs["num_steps"][0]))[0]
    assert answer.steps == 2
    for image, file in zip(answer.images, expected["image_bytes"][0], strict=True):
        assert np.abs(image.astype(int) - pixels(file)).max() <= 1
    np.testing.assert_allclose(answer.preferences, expected["preferences"][0], rtol=1e-5, atol=1e-7)
