from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.evaluate import validation_metrics
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import Run
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.recommender.train import train_recommender

HERE = Path(__file__).parent
SECONDS = 240
WAYS = ["dvbpr,shared-item", "dvbpr,triplet", "bpr-mf,triplet", "gan,convolutional"]


def _start(script: str, *arguments: Path, **environment: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE.parents[1]), *(path for path in sys.path if path)])
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**inherited, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    try:
        answers = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, answers, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [output for output, _ in answers]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replicas")
    _finish([_start("replica_script.py", folder)])
    return folder


@pytest.fixture(scope="module")
def trained(replicas: Path) -> dict[str, np.ndarray]:
    with np.load(replicas / "weights.npz") as arrays:
        return dict(arrays)


def test_keras_callbacks_work_under_two_replicas(replicas: Path) -> None:
    """As under one: tests/training/engine/test_callbacks.py."""
    seen = json.loads((replicas / "callbacks.json").read_text())
    assert seen["stopped_epoch"] == 2
    assert seen["epochs"] == len(seen["logs"]) == 3
    assert all({"loss", "images_per_second", "validation_auc"} <= set(logs) for logs in seen["logs"])
    lines = (replicas / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + 3
    assert list((replicas / "board" / "train").iterdir())


@pytest.mark.parametrize("way", WAYS)
def test_one_and_two_replicas_give_the_same_weights(way: str, trained: dict[str, np.ndarray]) -> None:
    """Within a tenth of one step of Adam (1e-3), whose division makes much of the last bits of a small gradient."""
    assert trained[f"{way},one-device,replicas"] == 1
    assert trained[f"{way},mirrored,replicas"] == 2
    np.testing.assert_allclose(trained[f"{way},mirrored,losses"], trained[f"{way},one-device,losses"], rtol=1e-3)
    for name, mirrored, expected in _pairs(trained, way, "weight"):
        if "seed" not in name:
            np.testing.assert_allclose(mirrored, expected, atol=1e-4, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_one_and_two_replicas_see_the_same_gradients(way: str, trained: dict[str, np.ndarray]) -> None:
    """Adam's step forgives a gradient of the wrong scale; its first moment, a mean of gradients, does not."""
    largest = max(np.abs(expected).max() for _, _, expected in _pairs(trained, way, "moment"))
    for name, mirrored, expected in _pairs(trained, way, "moment"):
        np.testing.assert_allclose(mirrored, expected, atol=2e-3 * largest, rtol=0, err_msg=name)


def _pairs(trained: dict[str, np.ndarray], way: str, kind: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, mirrored, one-device) of each weight or moment."""
    names = [name for name in trained if name.startswith(f"{way},one-device,{kind}")]
    assert names
    return [(name, trained[name.replace("one-device", "mirrored")], trained[name]) for name in names]


@pytest.mark.parametrize("way", WAYS)
def test_replicas_stay_bit_identical(way: str, trained: dict[str, np.ndarray]) -> None:
    names = [name for name in trained if name.startswith(f"{way},mirrored,weight") and name.endswith(",0")]
    assert names
    for name in names:
        np.testing.assert_array_equal(trained[name], trained[f"{name[:-1]}1"], err_msg=name)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.usefixtures("tiny_backbone")
def test_two_workers_train_one_run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    """DVBPR with a disk each, BPR-MF with one that they share."""
    workers = [f"localhost:{port}" for port in _free_ports(2)]
    outputs = [tmp_path / str(number) / "run" for number in (0, 1)]
    shared = tmp_path / "shared" / "run"
    processes = []
    for number, output in enumerate(outputs):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}}
        arguments = checkerboard_dataset.path, output, shared
        processes.append(_start("worker_script.py", *arguments, TF_CONFIG=json.dumps(cluster)))
    assert [answer.splitlines()[-1] for answer in _finish(processes)] == [
        "replicas 2 chief True wrote own True shared True",
        "replicas 2 chief False wrote own True shared False",
    ]
    for output in (*outputs, shared):
        assert [path.name for path in output.parent.iterdir()] == ["run"]
        assert len((output / "history.csv").read_text().splitlines()) == 1 + 2
    assert Run.open(shared).manifest.model == "bpr-mf"
    chiefs, others = (Run.open(output).recommender.get_weights() for output in outputs)
    for chiefs_weight, others_weight in zip(chiefs, others, strict=True):
        np.testing.assert_array_equal(chiefs_weight, others_weight)
    for weight, expected in zip(chiefs, _trained_alone(checkerboard_dataset.path, tmp_path / "alone"), strict=True):
        np.testing.assert_allclose(weight, expected, atol=2e-3, rtol=1e-3)


def _trained_alone(dataset_path: Path, output: Path) -> list[np.ndarray]:
    """The same training as worker_script.py's, by one process."""
    dataset = PreparedDataset.open(dataset_path)
    config = recommender_config(
        "dvbpr", epochs=2, embedding_dim=4, global_batch_size=8, dropout=0.0, backbone_l2=0.0, evaluate_every=1
    )
    run = train_recommender(
        dataset,
        config,
        output,
        strategy=make_strategy("one-device"),
        validate=validation_metrics,
    )
    weights: list[np.ndarray] = run.recommender.get_weights()
    return weights


def test_strategy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="must be one of auto"):
        make_strategy("many")
    with pytest.raises(ConfigError, match="TF_CONFIG must name a cluster"):
        make_strategy("multi-worker")
    assert make_strategy().num_replicas_in_sync == 1
