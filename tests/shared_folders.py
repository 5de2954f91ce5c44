"""Folders that take long to make, made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tfdvbpr.data.dataset import PreparedDataset


def own_copy(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """This worker's own copy of a folder, which the first worker that needs it has made.

    Args:
        factory: of this worker.
        name: of the folder, and of the copy.
        make: makes the folder; the others wait meanwhile.
    """
    own = factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)
    folder, whole = shared / name, shared / f"{name}.whole"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return Path(shutil.copytree(folder, factory.mktemp("copies") / name))


def own_run(
    factory: pytest.TempPathFactory, name: str, dataset: PreparedDataset, train: Callable[[Path], object]
) -> Path:
    """`own_copy` of a run, which says that it was trained on this worker's dataset."""
    folder = own_copy(factory, name, train)
    manifest = folder / "manifest.json"
    values = {**json.loads(manifest.read_text(encoding="utf-8")), "dataset_path": str(dataset.path.resolve())}
    manifest.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return folder
