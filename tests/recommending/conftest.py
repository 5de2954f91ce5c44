from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tfdvbpr.config import recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import Run
from tfdvbpr.training.recommender_trainer import train_recommender

RunOf = Callable[[str], Run]


@pytest.fixture(scope="session")
def run_of(checkerboard_dataset: PreparedDataset, tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """A small run of each model by name, trained when it is first asked for; "free" is DVBPR whose θ counts as free."""
    folder: Path = tmp_path_factory.mktemp("models")
    runs = {"dvbpr": tiny_run}

    def run(name: str) -> Run:
        if name not in runs and name == "free":
            copy = shutil.copytree(tiny_run.path, folder / name)
            settled = (copy / "config.yaml").read_text().replace("tastes: leave-one-out", "tastes: free")
            (copy / "config.yaml").write_text(settled)
            runs[name] = Run.open(copy)
        elif name not in runs:
            beside = {"factor_dim": 3} if name in ("hybrid-dvbpr", "vbpr") else {}
            epochs = 1 if name in ("hybrid-dvbpr", "siamese") else 4
            config = recommender_config(name, epochs=epochs, embedding_dim=4, global_batch_size=16, **beside)
            runs[name] = train_recommender(checkerboard_dataset, config, folder / name)
        return runs[name]

    return run
