"""The local server over tensorflow-serving-api's own stubs: as any client of TensorFlow Serving sees it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hostile_requests import good_request
from serving_toy_models import RECOMMENDER_SIGNATURES, Counter, save, save_recommender, save_version
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2
from waiting import wait_until

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import BatchingOptions, ServerLimits
from tfdvbpr_serving.errors import ModelLoadError, ServerStartError
from tfdvbpr_serving.models.loading import ServingOptions, load_model
from tfdvbpr_serving.server.batching import Work
from tfdvbpr_serving.server.requests import RequestContext, readable_message
from tfdvbpr_serving.server.server import LocalServer

Stub = prediction_service_pb2_grpc.PredictionServiceStub


@pytest.fixture
def channel(toy_server: LocalServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(toy_server.target) as channel:
        yield channel


def score_request(**inputs: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "recommender", "score"
    values = {"user_ids": ["u0"], "item_ids": [["i2", "i3"]]} | inputs
    for name, value in values.items():
        if value is not None:
            tensor = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
            request.inputs[name].CopyFrom(tensor)
    return request


def error_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_predict(channel: grpc.Channel) -> None:
    response = Stub(channel).Predict(score_request())
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["scores"]), [[1, 2]])
    assert set(response.outputs) == {"scores", "known_users", "known_items"}
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("recommender", 2, "score")


def test_output_filter(channel: grpc.Channel) -> None:
    request = score_request()
    request.output_filter.append("known_items")
    assert list(Stub(channel).Predict(request).outputs) == ["known_items"]
    request.output_filter.append("known_items")
    assert error_of(lambda: Stub(channel).Predict(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "duplicate output tensor alias in output_filter: known_items, known_items.",
    )
    request.output_filter[:] = ["ranks"]
    code, message = error_of(lambda: Stub(channel).Predict(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "ranks" in message
    assert "known_items,known_users,scores" in message


BROKEN = tensor_pb2.TensorProto(dtype=7, tensor_shape=tf.TensorShape([1, 2]).as_proto(), string_val=[b"a", b"b", b"c"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"item_ids": None}, "Missing but required: {item_ids}"),
        ({"items": [["i0"]]}, "Sent extra: {items}"),
        ({"item_ids": [[1, 2]]}, "Input 'item_ids' must be DT_STRING. Received DT_INT32."),
        ({"item_ids": ["i0"]}, "Input 'item_ids' must have shape (None, None). Received (1,)."),
        ({"item_ids": [["i0"], ["i1"]]}, "same number of rows. Received {'user_ids': 1, 'item_ids': 2}"),
        ({"item_ids": BROKEN}, "Input 'item_ids' must be readable: A tensor must hold at most 2 values"),
    ],
)
def test_bad_inputs_are_rejected_with_a_sentence(
    channel: grpc.Channel, inputs: dict[str, object], message: str
) -> None:
    code, details = error_of(lambda: Stub(channel).Predict(score_request(**inputs)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    if "rows" in message:  # a map has no order
        message = "Inputs must have the same number of rows."
    assert message in details
    assert Stub(channel).Predict(score_request())


def test_models_versions_and_signatures_that_are_not_served(channel: grpc.Channel) -> None:
    request = score_request()
    request.model_spec.signature_name = "rank"
    code, message = error_of(lambda: Stub(channel).Predict(request))
    assert code == grpc.StatusCode.FAILED_PRECONDITION  # as tensorflow_model_server
    assert 'Serving signature key "rank" not found' in message
    request.model_spec.signature_name = "score"
    request.model_spec.version.value = 9
    code, message = error_of(lambda: Stub(channel).Predict(request))
    assert (code, "Loaded versions: 1, 2" in message) == (grpc.StatusCode.NOT_FOUND, True)
    request.model_spec.version_label = "stable"
    assert Stub(channel).Predict(request).model_spec.version.value == 2
    request.model_spec.version_label = "canary"
    code, message = error_of(lambda: Stub(channel).Predict(request))
    assert (code, "label: canary" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    request.model_spec.name = "nope"
    assert error_of(lambda: Stub(channel).Predict(request))[0] == grpc.StatusCode.NOT_FOUND
    request.ClearField("model_spec")
    code, message = error_of(lambda: Stub(channel).Predict(request))
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec. Name the model.")


def test_metadata_and_status(channel: grpc.Channel) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "recommender"
    response = Stub(channel).GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {*RECOMMENDER_SIGNATURES, "serving_default"}
    assert signatures.signature_def["score"].method_name == "tensorflow/serving/predict"
    assert response.model_spec.version.value == 2
    request.metadata_field.append("signature_def")  # twice is once
    assert Stub(channel).GetModelMetadata(request) == response
    request.metadata_field[:] = ["graph"]
    assert error_of(lambda: Stub(channel).GetModelMetadata(request))[0] == grpc.StatusCode.INVALID_ARGUMENT

    models = model_service_pb2_grpc.ModelServiceStub(channel)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "recommender"
    status.model_spec.version.value = 2
    (version,) = models.GetModelStatus(status).model_version_status
    assert (version.version, version.state) == (2, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    status.model_spec.version.value = 99
    assert error_of(lambda: models.GetModelStatus(status))[0] == grpc.StatusCode.NOT_FOUND


def test_other_methods_are_unimplemented(channel: grpc.Channel) -> None:
    classify = classification_pb2.ClassificationRequest()
    assert error_of(lambda: Stub(channel).Classify(classify))[0] == grpc.StatusCode.UNIMPLEMENTED


def write_warmup(folder: Path, requests: list[predict_pb2.PredictRequest]) -> None:
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def count_request(value: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "counter"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_warmup_requests_run_before_the_first_request(tmp_path: Path) -> None:
    save(Counter(), tmp_path / "counter" / "1", serving_default="count")
    write_warmup(tmp_path / "counter" / "1", [count_request([0.5])] * 3)
    with (
        LocalServer({"counter": tmp_path / "counter"}) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        calls = Stub(channel).Predict(count_request([1.0, 2.0])).outputs["calls"]
        assert tf.make_ndarray(calls).tolist() == [4, 4]

    shutil.rmtree(tmp_path / "counter" / "1" / "assets.extra")
    write_warmup(tmp_path / "counter" / "1", [count_request([0.5]), count_request(["text"])])
    with pytest.raises(ModelLoadError, match=r"Number 2: Input 'x' must be DT_FLOAT"):
        LocalServer({"counter": tmp_path / "counter"}).start()


def test_warmup_of_a_new_version_neither_delays_designs_nor_waits_for_them(
    tmp_path: Path, model_folders: dict[str, Path]
) -> None:
    folder = Path(shutil.copytree(model_folders["designer"] / "1", tmp_path / "1"))
    write_warmup(folder, [good_request(np.random.default_rng(0), "design", rows=1)])
    options = ServingOptions(BatchingOptions(num_batch_threads=1), ServerLimits())
    started, released = threading.Event(), threading.Event()

    def design(*_: object) -> dict[str, Any]:
        started.set()
        released.wait(60)
        return {}

    running = threading.Thread(
        target=partial(options.designs.predict, rows=1, kind=(), context=RequestContext()),
        args=(Work(design, lambda *_: None), {}),
    )
    running.start()
    started.wait()
    assert load_model("designer", 1, folder, options=options).waiting["design"] == 0
    assert running.is_alive()  # the only thread of designs is still taken
    released.set()
    running.join()


def test_a_newer_version_takes_over_and_a_broken_one_does_not(tmp_path: Path, model_folders: dict[str, Path]) -> None:
    base = tmp_path / "recommender"
    shutil.copytree(model_folders["recommender"] / "1", base / "1")
    (base / "notes").mkdir()
    with LocalServer({"recommender": base}, poll_seconds=0.05) as server, Client(server.target) as client:
        assert client.score(["u0"], ["i2"]).scores.item() == 2

        def wait_for(versions: dict[int, str]) -> None:
            def reached() -> bool:
                assert client.score(["u0"], ["i2"]).scores.item() in (1, 2)
                return {v.version: v.state for v in client.model_status()} == versions

            wait_until(reached)

        save_recommender(tmp_path / "staging")
        (tmp_path / "staging").rename(base / "10")
        wait_for({10: "AVAILABLE", 1: "END"})
        assert client.score(["u0"], ["i2"]).scores.item() == 1

        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "saved_model.pb").write_bytes(b"not a model")
        (tmp_path / "broken").rename(base / "11")
        wait_for({11: "END", 10: "AVAILABLE", 1: "END"})
        assert client.model_status()[0].error == "Version 11 cannot be loaded. See the server's log."
        assert client.score(["u0"], ["i2"]).scores.item() == 1


def test_folders_that_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="Received no such folder"):
        LocalServer({"recommender": tmp_path / "missing"})
    (tmp_path / "empty" / "1").mkdir(parents=True)
    with pytest.raises(ModelLoadError, match=r"Received none\. Run tfdvbpr-export"):
        LocalServer({"recommender": tmp_path / "empty"})
    with pytest.raises(ModelLoadError, match="There must be a model"):
        LocalServer({})
    with pytest.raises(ValueError, match="`poll_seconds` must be > 0"):
        LocalServer({}, poll_seconds=0)
    with pytest.raises(ValueError, match="`max_image_pixels` must be > 0"):
        ServerLimits(max_image_pixels=0)
    with pytest.raises(ValueError, match="`max_batch_size` must be 1 or more"):
        BatchingOptions(max_batch_size=0)


def test_a_taken_port(toy_server: LocalServer, model_folders: dict[str, Path]) -> None:
    with pytest.raises(ServerStartError, match=rf"127\.0\.0\.1:{toy_server.port} must be free"):
        LocalServer(model_folders, port=toy_server.port).start()
    rest_port = int(str(toy_server.rest_url).rsplit(":", 1)[1])
    with pytest.raises(ServerStartError, match=rf"127\.0\.0\.1:{rest_port} must be free .* another REST port"):
        LocalServer(model_folders, rest_port=rest_port).start()


def test_stop_and_wait(model_folders: dict[str, Path]) -> None:
    server = LocalServer({"designer": model_folders["designer"]}).start()
    assert server.wait(0.01) is False
    server.stop()
    server.stop()
    assert server.wait(5) is True


def versions_config(base: Path, policy: str, labels: dict[str, int]) -> model_management_pb2.ReloadConfigRequest:
    listed = "".join(f'version_labels {{ key: "{label}" value: {version} }} ' for label, version in labels.items())
    text = f"""model_config_list {{ config {{
        name: "versioned" base_path: "{base}" model_platform: "tensorflow"
        model_version_policy {{ {policy} }} {listed} }} }}"""
    return model_management_pb2.ReloadConfigRequest(
        config=text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    )


def served_version(channel: grpc.Channel, **choice: object) -> float:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "versioned"
    if "label" in choice:
        request.model_spec.version_label = str(choice["label"])
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([0.5]))
    return float(tf.make_ndarray(Stub(channel).Predict(request).outputs["version"])[0])


def test_canary_and_roll_back_by_label_while_it_runs(tmp_path: Path) -> None:
    base = tmp_path / "versioned"
    save_version(base / "1", 1)
    save_version(base / "2", 2)
    server = LocalServer({"versioned": base}, allow_reload=[tmp_path])
    with server, grpc.insecure_channel(server.target) as channel:
        assert served_version(channel) == 2
        reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        both = "specific { versions: 1 versions: 2 }"
        reload(versions_config(base, both, {"stable": 1, "canary": 2}))
        assert [served_version(channel, label=label) for label in ("stable", "canary")] == [1, 2]
        reload(versions_config(base, both, {"stable": 2, "canary": 2}))
        assert served_version(channel, label="stable") == 2
        for request in (
            versions_config(base, "specific { versions: 1 }", {"stable": 2}),
            versions_config(tmp_path / "none", "all {}", {}),
        ):
            code, details = error_of(lambda request=request: reload(request))
            assert (code, "Nothing is changed" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        code, details = error_of(lambda: reload(model_management_pb2.ReloadConfigRequest()))
        assert (code, "`model_config_list`" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert served_version(channel, label="canary") == 2  # a rejected configuration changes nothing
        reload(versions_config(base, "specific { versions: 1 }", {"stable": 1}))
        assert (served_version(channel), served_version(channel, label="stable")) == (1, 1)
        with Client(server.target, recommender_name="versioned") as client:
            assert {v.version: v.state for v in client.model_status()} == {2: "END", 1: "AVAILABLE"}


def test_reload_is_refused_unless_it_is_allowed_and_below_a_root(tmp_path: Path) -> None:
    base, other = tmp_path / "served" / "versioned", tmp_path / "other" / "versioned"
    save_version(base / "1", 1)
    save_version(other / "9", 9)
    for roots in ([], [tmp_path / "served"]):
        server = LocalServer({"versioned": base}, allow_reload=roots)
        with server, grpc.insecure_channel(server.target) as channel:
            reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
            elsewhere = (other, tmp_path / "missing", base / ".." / ".." / "other" / "versioned", Path("a\0b"))

            def error_for(folder: Path, reload: Any = reload) -> tuple[grpc.StatusCode, str]:
                return error_of(lambda: reload(versions_config(folder, "all {}", {})))

            ((code, details),) = {error_for(folder) for folder in elsewhere}  # also for one that does not exist
            assert code == grpc.StatusCode.PERMISSION_DENIED
            assert "--allow-reload" in details
            assert served_version(channel) == 1
            if roots:
                ((_, inside),) = {error_for(folder) for folder in (base / "1", base / "7")}
                assert str(tmp_path) not in details + inside


def test_health_and_reflection(toy_server: LocalServer, channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "versions"):
        response = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    assert error_of(lambda: health.Check(health_pb2.HealthCheckRequest(service="x")))[0] == grpc.StatusCode.NOT_FOUND
    reflected = ProtoReflectionDescriptorDatabase(channel)
    assert "tensorflow.serving.PredictionService" in reflected.get_services()
    pool = DescriptorPool(reflected)
    service = pool.FindServiceByName("tensorflow.serving.ModelService")
    assert [m.name for m in service.methods] == ["GetModelStatus", "HandleReloadConfigRequest"]
    inputs = pool.FindMessageTypeByName("tensorflow.serving.PredictRequest").fields_by_name["inputs"].message_type
    assert inputs.fields_by_name["value"].message_type.full_name == "tensorflow.TensorProto"
    assert pool.FindServiceByName("grpc.health.v1.Health")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Graph execution error:\n\nDetected at node x\n<stack>\nToo small.\n\t [[{{node x}}]] [Op:__f_1]",
            "Too small.",
        ),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  Bad file.\n\t [[{{node a}}]]\n  (1) OUT_OF_RANGE: b",
            "Bad file.",
        ),
        ("{{function_node __inference_f}} assertion failed: [k]", "assertion failed: [k]"),
        ("", "The model rejected the request."),
    ],
)
def test_tensorflows_messages_are_made_readable(message: str, expected: str) -> None:
    assert readable_message(message) == expected
