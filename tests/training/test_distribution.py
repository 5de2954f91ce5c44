from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.config import recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.run import Run
from tfdvbpr.training.recommender_trainer import train_recommender
from tfdvbpr.training.strategy import make_strategy

HERE = Path(__file__).parent
SECONDS = 240
WAYS = ["dvbpr,shared-item", "dvbpr,triplet", "bpr-mf,triplet"]


def _start(script: str, *arguments: Path, **environment: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE.parent), *(path for path in sys.path if path)])
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
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("replicas")
    _finish([_start("replica_script.py", folder)])
    with np.load(folder / "weights.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("way", WAYS)
def test_one_and_two_replicas_give_the_same_weights(way: str, trained: dict[str, np.ndarray]) -> None:
    assert trained[f"{way},one-device,replicas"] == 1
    assert trained[f"{way},mirrored,replicas"] == 2
    np.testing.assert_allclose(trained[f"{way},mirrored,losses"], trained[f"{way},one-device,losses"], rtol=1e-4)
    prefix = f"{way},one-device,weight"
    names = [name for name in trained if name.startswith(prefix) and "seed" not in name]
    assert names
    for name in names:
        np.testing.assert_allclose(
            trained[name.replace("one-device", "mirrored")], trained[name], atol=1e-5, rtol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("way", WAYS)
def test_replicas_stay_bit_identical(way: str, trained: dict[str, np.ndarray]) -> None:
    names = [name for name in trained if name.startswith(f"{way},mirrored,weight") and name.endswith(",0")]
    assert names
    for name in names:
        np.testing.assert_array_equal(trained[name], trained[f"{name[:-1]}1"], err_msg=name)


def test_the_gan_trains_on_two_replicas(trained: dict[str, np.ndarray]) -> None:
    assert trained["gan,finite"]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.parametrize("shared_disk", [True, False])
def test_two_workers_train_one_run(
    shared_disk: bool, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    workers = [f"localhost:{port}" for port in _free_ports(2)]
    outputs = [tmp_path / "shared" / "run"] * 2 if shared_disk else [tmp_path / str(number) / "run" for number in (0, 1)]
    processes = []
    for number, output in enumerate(outputs):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}}
        processes.append(
            _start("worker_script.py", checkerboard_dataset.path, output, TF_CONFIG=json.dumps(cluster))
        )
    answers = _finish(processes)
    assert [answer.splitlines()[-1] for answer in answers] == [
        "replicas 2 chief True opened run",
        "replicas 2 chief False opened run",
    ]
    for output in outputs:
        assert [path.name for path in output.parent.iterdir()] == ["run"]
    config = recommender_config(
        "dvbpr", epochs=2, embedding_dim=4, global_batch_size=8, dropout=0.0, backbone_l2=0.0, evaluate_every=1
    )
    alone = train_recommender(
        PreparedDataset.open(checkerboard_dataset.path), config, tmp_path / "alone", strategy=make_strategy("one-device")
    )
    for output in outputs:
        run = Run.open(output)
        assert len((output / "history.csv").read_text().splitlines()) == 1 + 2
        assert np.isfinite(run.factors.item_embeddings).all()
        weights = zip(run.recommender.get_weights(), alone.recommender.get_weights(), strict=True)
        assert max(np.abs(mine - expected).max() for mine, expected in weights) < 0.05


def test_strategy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="must be one of auto"):
        make_strategy("many")
    with pytest.raises(ConfigError, match="TF_CONFIG must name a cluster"):
        make_strategy("multi-worker")
    assert make_strategy().num_replicas_in_sync == 1
