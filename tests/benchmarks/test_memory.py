"""What 300,000 pictures add to the resident memory of a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from generated_dataset import generated

COMMAND = "python -m pytest tests/benchmarks/test_memory.py -s"
FEW, MANY, USERS, ACTIONS = 1_024, 300_000, 20_000, 30
BAR_GIB = 2.0


def _most_resident(dataset: Path, output: Path, *overrides: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).parent / "memory_script.py"), str(dataset), str(output), *overrides]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:]
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """With few pictures and with many, and the same users."""
    folders = [tmp_path_factory.mktemp("memory") / str(count) for count in (FEW, MANY)]
    for folder in folders:
        count = int(folder.name)
        generated(folder, num_items=count, num_users=USERS, actions_per_user=ACTIONS, size=(64, 64), cached=False)
    return folders


@pytest.mark.parametrize(("cache", "user_embeddings"), [("none", "free"), ("auto", "leave-one-out")])
def test_a_large_catalogue_fits(datasets: list[Path], tmp_path: Path, cache: str, user_embeddings: str) -> None:
    """A training of an epoch and a look at the whole catalogue, less the same on 1,024 items: the model's own.

    Both have the same network, users and batch. `auto` keeps the 300,000 decoded on the disk, `none` decodes each time.
    """
    values = ["epochs=1", "evaluate_every=1", f"image_cache={cache}", f"user_embeddings={user_embeddings}"]
    own, whole = (_most_resident(folder, tmp_path / f"run-{folder.name}", *values) for folder in datasets)
    print(
        f"\n{COMMAND}\nimage_cache {cache}, {MANY:,} pictures of 64x64: resident {whole['VmRSS']:.2f} GiB (anonymous "
        f"{whole['RssAnon']:.2f}, of files {whole['RssFile']:.2f}) against {own['VmRSS']:.2f} with {FEW:,} pictures: "
        f"{whole['VmRSS'] - own['VmRSS']:.2f} more (bar {BAR_GIB})"
    )
    assert whole["VmRSS"] - own["VmRSS"] <= BAR_GIB
