"""Exact metrics do not depend on the processor: every OpenBLAS kernel that runs here, with one and two threads.

pytest tests/benchmarks/test_kernels_agree.py -s -o addopts=
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("kernels_script.py")
KERNELS = ("", "Haswell", "SkylakeX", "Zen", "Sandybridge")


def _measured(kernel: str, threads: int) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environment |= {"OPENBLAS_CORETYPE": kernel} if kernel else {}
    environment |= {"OPENBLAS_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        pytest.skip(f"This processor cannot run OpenBLAS's {kernel}.")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def first() -> dict[str, Any]:
    return _measured("", 1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_gives_the_same_metrics(kernel: str, threads: int, first: dict[str, Any]) -> None:
    found = _measured(kernel, threads)
    print(kernel or "unset", found["kernel"], threads, found["whole"], found["normal"], sep="\t")
    assert found["whole"] == first["whole"]  # to the bit
    assert found["normal"]["ties"] == first["normal"]["ties"]
    for name in ("auc", "recall@10", "ndcg@10"):  # scores differ in their last bits, and with them a rank in many
        mine, others = (float.fromhex(each["normal"][name]) for each in (found, first))
        assert mine == pytest.approx(others, abs=1e-6), name
