"""Run, export, server, gRPC and REST, client: the answers are those of the run and of the SavedModel."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from export_helpers import Exported
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.images.decoding import decoder, to_float
from tfdvbpr.designing.designer import Designer
from tfdvbpr.run import Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.saved_model import EXTRA, WARMUP_NAME
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.errors import InvalidRequestError, UnknownIdError
from tfdvbpr_serving.server.server import LocalServer

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def exported(recommender: Exported, served_designer: Exported) -> dict[str, Exported]:
    return {"recommender": recommender, "designer": served_designer}


@pytest.fixture(scope="module")
def server(exported: dict[str, Exported]) -> Iterator[LocalServer]:
    with LocalServer({name: model.folder.parent for name, model in exported.items()}, rest_port=0) as server:
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


def test_design(client: Client, designer: Designer) -> None:
    users, categories, seeds = ["u0", "u3", "u4"], ["shoe", "shirt", "shoe"], [11, 12, -3]
    expected = designer.design(users, categories, seeds=seeds)
    for row, answer in enumerate(client.design(users, categories, seeds=seeds)):
        assert np.abs(answer.images.astype(int) - expected.images[row].astype(int)).max() <= 1
        for name in ("preferences", "realism_logits", "initial_preferences"):
            np.testing.assert_allclose(getattr(answer, name), getattr(expected, name)[row], rtol=1e-5, atol=1e-7)


def test_generate(client: Client, designer: Designer) -> None:
    expected = designer.generate(["shoe", "shirt"], seeds=[5, 6])
    answers = client.generate(["shoe", "shirt"], seeds=[5, 6])
    for answer, image in zip(answers, expected, strict=True):
        assert np.abs(answer.image.astype(int) - image.astype(int)).max() <= 1


def test_wrong_requests(client: Client) -> None:
    with pytest.raises(UnknownIdError, match="nobody"):
        client.score(["nobody"], ["i0"])
    with pytest.raises(UnknownIdError, match="hat"):
        client.design(["u0"], "hat")
    with pytest.raises(InvalidRequestError):
        client.embed_images([b"GIF98 not an image"])
    assert client.recommend(["u0"], k=1)[0].known_user  # the server still answers


def test_every_signature_is_warmed_up(recommender: Exported, served_designer: Exported) -> None:
    """The server has answered these already; TensorFlow Serving reads the same file."""
    names = []
    for exported in (recommender, served_designer):
        for record in tf.data.TFRecordDataset(str(exported.folder / EXTRA / WARMUP_NAME)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            signature = SIGNATURES[request.model_spec.signature_name]
            assert request.model_spec.name == signature.model == exported.folder.parent.name
            assert set(request.inputs) == set(signature.inputs)
            names.append(request.model_spec.signature_name)
    assert sorted(names) == sorted(SIGNATURES)


def recorded(model: Exported, signature: str) -> list[predict_pb2.PredictRequest]:
    records = tf.data.TFRecordDataset(str(model.folder / EXTRA / WARMUP_NAME)).as_numpy_iterator()
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    return [request for request in requests if request.model_spec.signature_name == signature]


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
def test_every_transport_gives_the_same_answer(
    server: LocalServer, exported: dict[str, Exported], signature: str
) -> None:
    """Every recorded request of every signature: the SavedModel alone, gRPC and REST."""
    model = exported[SIGNATURES[signature].model]
    function = model.model.signatures[signature]
    requests = recorded(model, signature)
    assert requests
    with grpc.insecure_channel(server.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for request in requests:
            tensors = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
            expected = {name: value.numpy() for name, value in function(**tensors).items()}
            answer = stub.Predict(request, timeout=60).outputs
            assert_same({name: tf.make_ndarray(tensor) for name, tensor in answer.items()}, expected)
            assert_same(by_rest(server, request), expected)
