"""Every recorded request of every signature: the SavedModel alone, gRPC and REST give one answer."""

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

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.saving import EXTRA, WARMUP_NAME
from tfdvbpr_serving.server import LocalServer

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def exported(recommender: Exported, served_designer: Exported) -> dict[str, Exported]:
    return {"recommender": recommender, "designer": served_designer}


@pytest.fixture(scope="module")
def server(exported: dict[str, Exported]) -> Iterator[LocalServer]:
    with LocalServer({name: model.folder.parent for name, model in exported.items()}, rest_port=0) as server:
        yield server


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
def test_one_answer_by_every_way(server: LocalServer, exported: dict[str, Exported], signature: str) -> None:
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
