from __future__ import annotations

from pathlib import Path

import pytest
from tiny_data import Command, checkerboard

from tfdvbpr import cli
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import GanRun, Run


@pytest.fixture(scope="session")
def checkerboard_dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """8 users, 16 items of two colours and two categories, 32x32; see `tiny_data.checkerboard`."""
    return checkerboard(tmp_path_factory.mktemp("checkerboard"))


@pytest.fixture(scope="session")
def tiny_run(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A DVBPR run of a few steps on the checkerboard, its epoch chosen by validation."""
    from tfdvbpr import api
    from tfdvbpr.config import recommender_config

    config = recommender_config("dvbpr", epochs=2, embedding_dim=4, global_batch_size=16)
    output = tmp_path_factory.mktemp("runs") / "dvbpr"
    return api.train(checkerboard_dataset, output, config=config)


@pytest.fixture(scope="session")
def tiny_gan_run(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    """A conditional GAN run of a few steps on the checkerboard."""
    from tfdvbpr.config import GanConfig
    from tfdvbpr.training.gan_trainer import train_gan

    config = GanConfig(
        epochs=2, latent_dim=6, base_channels=4, discriminator_channels=4, global_batch_size=8, average_decay=0.5
    )
    output: Path = tmp_path_factory.mktemp("runs") / "gan"
    return train_gan(checkerboard_dataset, config, output)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `tfdvbpr ARGUMENTS...` in this process; exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tfdvbpr", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
