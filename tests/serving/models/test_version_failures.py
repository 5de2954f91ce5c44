"""Versions that cannot be loaded, now or ever: the ones before stay, looking goes on, and readiness tells."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_toy_models import save_version
from waiting import wait_until

from tfdvbpr_serving.config import ModelSource, version_folders
from tfdvbpr_serving.models import store
from tfdvbpr_serving.models.loading import WARMUP_FILE, LoadedModel
from tfdvbpr_serving.models.store import ModelStore
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import predict_request
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictResponse
from tfdvbpr_serving.server.server import LocalServer

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_FIRST_RETRY_SECONDS", 0.05)


def version_of(channel: grpc.Channel) -> int:
    call = channel.unary_unary(messages.PREDICT, response_deserializer=PredictResponse.FromString)
    request = predict_request(messages.model_spec("versioned"), {"x": np.zeros(1, np.float32)})
    return int(call(request.SerializeToString(), timeout=30).model_spec.version.value)


def health_of(channel: grpc.Channel, service: str) -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=30).status


def test_a_warm_up_file_that_is_no_protobuf_does_not_end_the_polling(tmp_path: Path) -> None:
    import tensorflow as tf

    base = tmp_path / "versioned"
    save_version(base / "1", 1)
    save_version(tmp_path / "next" / "2", 2)
    (tmp_path / "next" / "2" / WARMUP_FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "next" / "2" / WARMUP_FILE)) as writer:
        writer.write(b"\xff no protobuf")
    with LocalServer({"versioned": base}, poll_seconds=0.05) as server, grpc.insecure_channel(server.target) as channel:
        assert health_of(channel, "versions") == SERVING
        (tmp_path / "next" / "2").rename(base / "2")
        wait_until(lambda: health_of(channel, "versions") == NOT_SERVING)
        assert (version_of(channel), health_of(channel, "")) == (1, SERVING)
        wait_until(lambda: 'tfdvbpr_serving_version_failures_total{model="versioned"} 2.0' in page(server))
        save_version(base / "3", 3)
        wait_until(lambda: version_of(channel) == 3)
        wait_until(lambda: health_of(channel, "versions") == SERVING)


def page(server: LocalServer) -> str:
    return server.metrics.page().decode()


def test_a_copy_in_progress_is_tried_again(tmp_path: Path) -> None:
    base = tmp_path / "versioned"
    save_version(base / "1", 1)
    save_version(tmp_path / "next" / "2", 2)
    with LocalServer({"versioned": base}, poll_seconds=0.05) as server, grpc.insecure_channel(server.target) as channel:
        (base / "2").mkdir()
        shutil.copy2(tmp_path / "next" / "2" / "saved_model.pb", base / "2")
        wait_until(lambda: health_of(channel, "versions") == NOT_SERVING)
        assert version_of(channel) == 1
        shutil.copytree(tmp_path / "next" / "2" / "variables", base / "2" / "variables")
        wait_until(lambda: version_of(channel) == 2)


@pytest.mark.parametrize("name", [str(2**63), "9" * 200])
def test_a_number_above_int64_is_no_version(tmp_path: Path, name: str) -> None:
    for folder in ("1", name):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "saved_model.pb").touch()
    assert list(version_folders(tmp_path)) == [1]


def test_any_exception_is_counted_and_tried_again_later_and_later(tmp_path: Path) -> None:
    """Other models are looked at all the same."""
    attempts: list[str] = []
    ends: list[Exception] = [MemoryError("none left"), KeyError("x"), OSError("no such device")]

    class Loaded(LoadedModel):
        def __init__(self, name: str, version: int) -> None:
            self.name, self.version = name, version

    def load(name: str, version: int, folder: Path) -> LoadedModel:
        attempts.append(f"{name}/{version}")
        if version == 2 and name == "a" and ends:
            raise ends.pop(0)
        return Loaded(name, version)

    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "saved_model.pb").touch()
    models = ModelStore([ModelSource(name, tmp_path / name) for name in ("a", "b")], load=load)
    models.load_all()
    assert (models.complete, models.current) == (True, True)
    for name in ("a", "b"):
        (tmp_path / name / "2").mkdir()
        (tmp_path / name / "2" / "saved_model.pb").touch()

    def polled() -> bool:
        models.poll()
        return models.failures["a"] == 3

    polls = 0
    while not polled():
        polls += 1
        assert (models.complete, models.current) == (True, False)
        assert models.states("a")[2] == ("END", "Version 2 cannot be loaded. See the server's log.")
    assert attempts[:4] == ["a/1", "b/1", "a/2", "b/2"]
    wait_until(lambda: models.poll() is None and models.current)
    assert attempts.count("a/2") == 4
    assert polls > 10  # it is not tried at each poll
