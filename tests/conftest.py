from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from shared_folders import own_run
from tiny_cnn import tiny_cnn
from tiny_data import Command, RunOf, checkerboard

from tfdvbpr import cli
from tfdvbpr.cli import options
from tfdvbpr.data.dataset import Items, PreparedDataset
from tfdvbpr.run import GanRun, Run

# They train or trace for long. Begun first, none of them is left for one worker alone at the end.
_LONG = (
    "training/gan/test_train_gan.py",
    "docs/test_readme.py",
    "docs/test_notebooks.py",
    "training/distributed/test_strategy.py",
    "training/engine/test_session.py",
    "export/test_export_served.py",
    "export/test_export_validation.py",
    "contracts/test_recommenders.py",
    "training/engine/test_tensorboard.py",
    "serving/test_serving_cli.py",
    "demo/test_report.py",
    "training/checkpoints/test_manager.py",
    "evaluation/generative/test_category_classifier.py",
    "cli/test_cli.py",
    "plugins/test_plugin_distribution.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first; the order within a file stays."""
    places = {name: place for place, name in enumerate(_LONG)}
    root = Path(__file__).parent
    items.sort(key=lambda item: places.get(item.path.relative_to(root).as_posix(), len(_LONG)))


@pytest.fixture(scope="session")
def checkerboard_dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """8 users, 16 items of two colours and two categories, 32x32; see `tiny_data.checkerboard`."""
    return checkerboard(tmp_path_factory.mktemp("checkerboard"))


@pytest.fixture(scope="session")
def attributed_checkerboard(
    checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    """A copy of the checkerboard whose items have a colour, a pattern and a cut: all shirts are long, all shoes low.

    The reader of its attributes is trained in few steps: it reads a category's one cut whatever it has learned.
    """
    from tfdvbpr.evaluation.designs import attribute_reader

    folder = tmp_path_factory.mktemp("attributed") / "dataset"
    dataset = PreparedDataset.open(shutil.copytree(checkerboard_dataset.path, folder))
    number = np.arange(16)
    table = dataset.items.table.with_columns(
        colour=pl.Series(np.where(number % 2 == 0, "red", "blue")),
        pattern=pl.Series(np.where(number % 4 == 0, "striped", "plain")),
        cut=pl.Series(np.where(number // 2 % 2 == 0, "long", "low")),
    )
    dataset.items = Items(table, dataset.manifest.categories)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_reader, "_MIN_STEPS", 3)
        patch.setattr(attribute_reader, "_EPOCHS", 0)
        attribute_reader.AttributeReader.of(dataset)
    return dataset


@pytest.fixture(scope="session")
def tiny_run(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A DVBPR run of a few steps on the checkerboard, its epoch chosen by validation."""
    from tfdvbpr import api
    from tfdvbpr.models.recommenders import recommender_config

    config = recommender_config("dvbpr", epochs=2, embedding_dim=4, global_batch_size=16)
    train = partial(api.train, checkerboard_dataset, config=config)
    return Run.open(own_run(tmp_path_factory, "dvbpr", checkerboard_dataset, train))


@pytest.fixture(scope="session")
def tiny_gan_run(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    """A conditional GAN run of a few steps on the checkerboard."""
    from tfdvbpr.config import GanConfig
    from tfdvbpr.training.gan.train import train_gan

    config = GanConfig(
        epochs=2, latent_dim=6, base_channels=4, discriminator_channels=4, global_batch_size=8, average_decay=0.5
    )
    train = partial(train_gan, checkerboard_dataset, config)
    return GanRun.open(own_run(tmp_path_factory, "gan", checkerboard_dataset, train))


@pytest.fixture(scope="session")
def run_of(checkerboard_dataset: PreparedDataset, tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """A small run of each model by name, trained when it is first needed; "free" is DVBPR whose θ counts as free."""
    from tfdvbpr.models.recommenders import recommender_config
    from tfdvbpr.training.recommender.train import train_recommender

    runs = {"dvbpr": tiny_run}

    def trained(name: str) -> Path:
        beside = {"factor_dim": 3} if name in ("hybrid-dvbpr", "vbpr") else {}
        epochs = 1 if name in ("hybrid-dvbpr", "siamese") else 4
        config = recommender_config(name, epochs=epochs, embedding_dim=4, global_batch_size=16, **beside)
        train = partial(train_recommender, checkerboard_dataset, config)
        return own_run(tmp_path_factory, name, checkerboard_dataset, train)

    def freed() -> Path:
        copy = Path(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("copies") / "free"))
        settled = (copy / "config.yaml").read_text().replace("user_embeddings: leave-one-out", "user_embeddings: free")
        (copy / "config.yaml").write_text(settled)
        return copy

    def run(name: str) -> Run:
        if name not in runs:
            runs[name] = Run.open(freed() if name == "free" else trained(name))
        return runs[name]

    return run


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`small_cnn` is a network that is traced in less time."""
    monkeypatch.setattr("tfdvbpr.models.backbones.BACKBONES", {"small_cnn": tiny_cnn})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `tfdvbpr ARGUMENTS...` in this process; exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(options.out, "width", 200)  # made before, of what a worker's environment says

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tfdvbpr", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
