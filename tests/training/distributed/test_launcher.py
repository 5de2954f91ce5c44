from __future__ import annotations

import json

import pytest

from tfdvbpr.errors import ConfigError, LostWorkerError
from tfdvbpr.training.distributed.launcher import _environment, launch


def test_another_command_is_refused() -> None:
    with pytest.raises(ConfigError, match="Received evaluate"):
        launch(["evaluate", "run"], workers=2)


def test_each_worker_has_its_place_and_its_share_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    first, second = (_environment(["localhost:1", "localhost:2"], number) for number in (0, 1))
    assert json.loads(second["TF_CONFIG"]) == {
        "cluster": {"worker": ["localhost:1", "localhost:2"]},
        "task": {"type": "worker", "index": 1},
    }
    assert (first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]) == ("0,1", "2,3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert _environment(["localhost:1", "localhost:2"], 1)["CUDA_VISIBLE_DEVICES"] == "7"


def test_what_the_user_has_to_correct_is_not_started_again() -> None:
    """An option that `train` does not have: refused before TensorFlow is loaded."""
    lines: list[str] = []
    with pytest.raises(LostWorkerError, match=r"Worker \d ended with exit code 2\. The others were ended too\.$"):
        launch(["train", "dataset", "--no-such-option"], workers=2, restarts=5, emit=lines.append)
    assert any(line.startswith("[worker ") and "no-such-option" in line for line in lines)
    assert not any("restarts" in line for line in lines)
