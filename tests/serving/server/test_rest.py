"""TensorFlow Serving's REST interface: its two formats, base64, errors, status, metadata and metrics."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from image_files import png, png_with_size
from serving_toy_models import RECOMMENDER_SIGNATURES, design_row
from waiting import wait_until

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictResponse
from tfdvbpr_serving.server.rest_json import dumped, response_body
from tfdvbpr_serving.server.server import LocalServer


@pytest.fixture
def rest(toy_server: LocalServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{toy_server.rest_url}/v1/models", timeout=30) as client:
        yield client


def b64(file: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(file).decode()}


def predict(rest: httpx.Client, path: str = "/recommender:predict", **body: Any) -> Any:
    response = rest.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def error_of(rest: httpx.Client, body: Any, path: str = "/recommender:predict") -> tuple[int, str]:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    response = rest.post(path, content=content)
    return response.status_code, response.json()["error"]


def test_rows_and_columns(rest: httpx.Client) -> None:
    rows = [{"user_ids": "u0", "item_ids": ["i2", "i3"]}, {"user_ids": "u3", "item_ids": ["i0", "?"]}]
    found = predict(rest, signature_name="score", instances=rows)["predictions"]
    assert found[0] == {"scores": [1, 2], "known_users": True, "known_items": [True, True]}
    assert found[1]["scores"] == [-1, -np.inf]
    columns = {"user_ids": ["u0", "u3"], "item_ids": [["i2", "i3"], ["i0", "?"]]}
    outputs = predict(rest, signature_name="score", inputs=columns)["outputs"]
    assert outputs["scores"] == [row["scores"] for row in found]


def test_one_input_and_one_output_stand_without_a_name(rest: httpx.Client) -> None:
    expected = [[10, 20, 30], [4, 20, 30]]
    for files in ([b64(png()), b64(png(4))], [{"image_bytes": b64(png())}, {"image_bytes": b64(png(4))}]):
        assert predict(rest, signature_name="embed_images", instances=files) == {"predictions": expected}
    for inputs in ([b64(png()), b64(png(4))], {"image_bytes": [b64(png()), b64(png(4))]}):
        assert predict(rest, signature_name="embed_images", inputs=inputs) == {"outputs": expected}


def test_files_come_back_as_base64(rest: httpx.Client, toy: Client) -> None:
    outputs = predict(
        rest, "/designer:predict", signature_name="generate", inputs={"categories": ["tops"], "seeds": [3]}
    )
    (image,) = outputs["outputs"]["image_bytes"]
    assert base64.b64decode(image["b64"]) == toy.generate("tops", seeds=3)[0].file


def grpc_outputs(target: str, signature: str, inputs: messages.Arrays) -> messages.Arrays:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(messages.PREDICT, response_deserializer=PredictResponse.FromString)
        request = messages.predict_request(messages.model_spec("recommender", signature=signature), inputs)
        outputs = call(request.SerializeToString(), timeout=30).outputs
    return {name: messages.array_from_tensor(tensor) for name, tensor in outputs.items()}


@pytest.mark.parametrize("name", RECOMMENDER_SIGNATURES)
def test_rest_and_grpc_give_the_same_outputs(rest: httpx.Client, toy_server: LocalServer, name: str) -> None:
    values = {"user_ids": ["u0", "u9"], "query_item_ids": ["i0", "?"], "item_ids": [["i1", "i2"], ["i3", ""]]}
    values |= {"liked_item_ids": [["i1", "i2"], ["i3", ""]], "image_bytes": [png(), png(4)]}  # type: ignore[dict-item]
    signature = SIGNATURES[name]
    given: dict[str, Any] = {key: values.get(key) or signature.neutral(key, 2) for key in signature.inputs}
    arrays = {
        key: np.array(value, dtype=object if signature.inputs[key].dtype == "string" else signature.inputs[key].dtype)
        for key, value in given.items()
    }
    expected = grpc_outputs(toy_server.target, name, arrays)
    body = {key: [b64(v) for v in value] if key == "image_bytes" else value for key, value in given.items()}
    outputs = predict(rest, signature_name=name, inputs=body)["outputs"]
    if len(signature.outputs) == 1:
        outputs = {next(iter(signature.outputs)): outputs}
    for key, array in expected.items():
        texts = array.astype(str) if array.dtype == object else array
        np.testing.assert_array_equal(np.array(outputs[key], dtype=texts.dtype), texts, err_msg=key)


def test_further_keys_are_ignored(rest: httpx.Client) -> None:
    rows = [{"user_ids": "u0", "item_ids": ["i2"]}]
    assert predict(rest, signature_name="score", instances=rows, note=[1]) == predict(
        rest, signature_name="score", instances=rows
    )
    assert "Sent extra: {note}" in error_of(rest, {"signature_name": "score", "instances": [rows[0] | {"note": 1}]})[1]


def test_a_full_server_is_429(model_folders: dict[str, Path]) -> None:
    limits = ServerLimits(max_bytes_in_progress=1)
    models = {"recommender": model_folders["recommender"]}
    with LocalServer(models, rest_port=0, limits=limits) as server:
        response = httpx.post(f"{server.rest_url}/v1/models/recommender:predict", json={"instances": ["u0"]})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert "The server is full" in response.json()["error"]


def test_versions_and_labels(rest: httpx.Client) -> None:
    body = {"signature_name": "score", "instances": [{"user_ids": "u0", "item_ids": ["i2"]}]}
    for where, score in (("", 1), ("/versions/1", 2), ("/versions/2", 1), ("/labels/old", 2), ("/labels/stable", 1)):
        assert predict(rest, f"/recommender{where}:predict", **body)["predictions"][0]["scores"] == [score]
    assert error_of(rest, body, "/recommender/versions/9:predict")[0] == 404
    assert error_of(rest, body, "/recommender/versions/99999999999999999999999:predict")[0] == 400
    assert error_of(rest, body, "/recommender/labels/canary:predict")[0] == 400


def test_status_and_metadata(rest: httpx.Client) -> None:
    ok = {"error_code": "OK", "error_message": ""}
    versions = [{"version": v, "state": "AVAILABLE", "status": ok} for v in ("2", "1")]
    assert rest.get("/recommender").json() == {"model_version_status": versions}
    assert rest.get("/recommender/labels/old").json() == {"model_version_status": versions[1:]}
    assert rest.get("/recommender/versions/7").status_code == 404
    found = rest.get("/recommender/versions/1/metadata").json()
    assert found["model_spec"]["version"] == "1"
    inputs = found["metadata"]["signature_def"]["signature_def"]["score"]["inputs"]
    assert inputs["item_ids"]["dtype"] == "DT_STRING"
    assert [dim["size"] for dim in inputs["item_ids"]["tensor_shape"]["dim"]] == ["-1", "-1"]


DEEP = '{"instances": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xff{", "must be JSON"),
        (DEEP, "must be JSON"),
        ("[1]", "must be a JSON object. Received list"),
        ({}, "Received neither"),
        ({"instances": [1], "inputs": 1}, "Received both"),
        ({"instances": []}, "at least one row"),
        ({"instances": ["u0"]}, "Row 0 must be an object with item_ids, user_ids"),
        ({"instances": [{"user_ids": "u0"}]}, "Missing but required: {item_ids}"),
        ({"instances": [{"user_ids": "u0", "item_ids": []}, {"user_ids": "u1"}]}, "same inputs as row 0"),
        ({"instances": [{"user_ids": 3, "item_ids": ["i0"]}]}, "'user_ids' must hold strings"),
        ({"inputs": {"user_ids": ["u0", "u1"], "item_ids": [["i0"], ["i1", "i2"]]}}, "Received ragged ones"),
        ({"inputs": {"user_ids": ["u0"], "item_ids": ["i0"]}}, "must have shape (None, None)"),
        ({"inputs": {"user_ids": [{"b64": "*"}], "item_ids": [["i0"]]}}, "must have valid base64"),
        ({"inputs": {"user_ids": [[[[[[[[["u0"]]]]]]]]], "item_ids": [["i0"]]}}, "at most 8 dimensions"),
        ({"inputs": ["u0"]}, '"inputs" must be an object with'),
        ({"signature_name": 3, "inputs": ["u0"]}, "`signature_name` must be a string"),
        ({"signature_name": "rank", "inputs": ["u0"]}, '"rank" not found'),
    ],
)
def test_bad_bodies_are_rejected_with_a_sentence(rest: httpx.Client, body: Any, expected: str) -> None:
    if isinstance(body, dict):
        body = {"signature_name": "score"} | body
    status, error = error_of(rest, body)
    assert status == 400
    assert expected in error


@pytest.mark.parametrize("k", [1.5, True, "3", 2**31, None, [1]])
def test_numbers_must_be_of_the_signatures_type(rest: httpx.Client, k: Any) -> None:
    status, message = error_of(rest, {"signature_name": "similar_images", "instances": [
        {"image_bytes": b64(png()), "k": k, "categories": ""}]})  # fmt: skip
    assert status == 400
    assert "'k' must h" in message


def test_other_errors(rest: httpx.Client, toy_server: LocalServer) -> None:
    assert error_of(rest, {"inputs": 1}, "/nope:predict")[0] == 404
    assert error_of(rest, {"inputs": 1}, "/recommender:classify")[0] == 400
    bomb = {"signature_name": "embed_images", "instances": [b64(png_with_size(60_000, 60_000))]}
    assert "at most 50000000 pixels" in error_of(rest, bomb)[1]
    response = httpx.get(f"{toy_server.rest_url}/v2/health")
    assert (response.status_code, "/v1/models/NAME" in response.json()["error"]) == (400, True)
    assert rest.get("/nope").status_code == 404


def test_a_body_beyond_the_limit(rest: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**20

    response = rest.post("/recommender:predict", content=parts())
    assert response.status_code == 413
    assert "at most" in response.json()["error"]


def test_bodies_of_gzip(rest: httpx.Client) -> None:
    body = json.dumps({"signature_name": "score", "instances": [{"user_ids": "u0", "item_ids": ["i2"]}]}).encode()

    def post(content: bytes, encoding: str = "gzip") -> httpx.Response:
        return rest.post("/recommender:predict", content=content, headers={"Content-Encoding": encoding})

    assert post(gzip.compress(body)).json()["predictions"][0]["scores"] == [1]
    for content in (b"no gzip", gzip.compress(body)[:-9], gzip.compress(body)[:20] + b"x" * 30):
        assert (post(content).status_code, "whole gzip data" in post(content).text) == (400, True)
    assert post(body, "br").status_code == 400
    blanks = np.random.default_rng(0).choice(np.frombuffer(b" \t\n\r", np.uint8), 5 * 2**20).tobytes()
    for padding in (blanks, b" " * 3 * 2**20):
        assert post(gzip.compress(body + padding, 1)).status_code == 200
    bomb = post(gzip.compress(body + b" " * 6 * 2**20))  # 6 kB
    assert (bomb.status_code, "at most 64 times" in bomb.json()["error"]) == (413, True)


def test_bodies_of_many_values_are_refused_unparsed(rest: httpx.Client) -> None:
    for values in ("{}," * 500_000 + "{}", "1," * 500_000 + "1", "[" * 500_000):
        status, error = error_of(rest, '{"instances": [' + values + "]}")
        assert (status, "at most 200000 values" in error) == (400, True)
    rows = [{"user_ids": "u0", "item_ids": ["i2"]}] * 65
    assert "at most 64 rows" in error_of(rest, {"signature_name": "score", "instances": rows})[1]


def test_numbers_have_as_few_digits_as_float32_needs(rest: httpx.Client) -> None:
    text = rest.post(
        "/recommender:predict",
        json={"signature_name": "score_images", "instances": [{"user_ids": "u0", "image_bytes": b64(png(11, 0, 0))}]},
    ).text
    assert '"scores":10.0' in text
    for value in (0.1, 1e-8, 3.4e38, 16777217.0, -2.5):
        array = np.array([value], np.float32)
        (number,) = json.loads(dumped(response_body({"x": array}, by_row=False)))["outputs"]
        assert np.float32(number) == array[0]
        assert len(str(number)) <= len(str(array[0])) + 1


def test_metrics(rest: httpx.Client, toy_server: LocalServer) -> None:
    predict(rest, signature_name="embed_images", instances=[b64(png())])
    error_of(rest, {"signature_name": "made-up", "inputs": 1})
    response = httpx.get(f"{toy_server.rest_url}/monitoring/prometheus/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    page = response.text
    for line in (
        'tfdvbpr_serving_requests_total{model="recommender",protocol="rest",signature="embed_images",status="OK"}',
        'tfdvbpr_serving_requests_total{model="",protocol="rest",signature="",status="FAILED_PRECONDITION"}',
        'tfdvbpr_serving_request_seconds_bucket{le="0.001",model="recommender",signature="embed_images"}',
        'tfdvbpr_serving_batch_rows_count{model="recommender",signature="embed_images"}',
        'tfdvbpr_serving_queue_seconds_count{model="recommender",signature="embed_images"}',
        'tfdvbpr_serving_loaded_version{model="recommender",version="1"} 1.0',
        'tfdvbpr_serving_waiting{model="recommender",signature="score",version="2"} 0.0',
        "process_resident_memory_bytes",
    ):
        assert line in page
    assert "made-up" not in page


def test_a_client_that_hangs_up_stops_the_design(rest: httpx.Client, toy_server: LocalServer) -> None:
    body = {"signature_name": "design", "instances": [design_row(num_steps=2_000_000_000)]}
    with pytest.raises(httpx.ReadTimeout):
        rest.post("/designer:predict", json=body, timeout=0.5)
    count = 'tfdvbpr_serving_requests_total{model="designer",protocol="rest",signature="design",status="CANCELLED"} 1.0'
    wait_until(lambda: count in toy_server.metrics.page().decode())


def test_half_a_request_and_no_more(toy_server: LocalServer) -> None:
    host, port = str(toy_server.rest_url).removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        )
    assert httpx.get(f"{toy_server.rest_url}/v1/models/recommender").status_code == 200
