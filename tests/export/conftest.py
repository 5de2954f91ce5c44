from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from export_helpers import OPTIONS, TAILORING, Exported, loaded
from shared_folders import own_copy

from tfdvbpr.designing.designer import Designer
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME
from tfdvbpr_export import export_designer, export_recommender
from tfdvbpr_export.options import HIGHEST_MAX_STEPS


@pytest.fixture(scope="session")
def recommender_folder(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_copy(tmp_path_factory, "recommender", lambda folder: export_recommender(tiny_run.path, folder)) / "1"


@pytest.fixture(scope="session")
def recommender(recommender_folder: Path) -> Exported:
    return loaded(recommender_folder)


@pytest.fixture(scope="session")
def lively_gan_run(tiny_gan_run: GanRun, tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    """The tiny GAN with larger weights, so that images and logits differ from latent to latent."""
    folder = tmp_path_factory.mktemp("runs") / "lively-gan"
    shutil.copytree(tiny_gan_run.path, folder)
    gan_run = GanRun.open(folder)
    # Small enough for the images to stay clear of tanh's ends, where no gradient is left.
    for name, network, factor in (
        (GENERATOR_NAME, gan_run.generator, 1.5),
        (DISCRIMINATOR_NAME, gan_run.discriminator, 4.0),
    ):
        network.set_weights([weight * factor if weight.ndim > 1 else weight for weight in network.get_weights()])
        network.save_weights(folder / name)
    return GanRun.open(folder)


@pytest.fixture(scope="session")
def designer(tiny_run: Run, lively_gan_run: GanRun) -> Designer:
    return Designer(tiny_run, lively_gan_run, options=OPTIONS)


@pytest.fixture(scope="session")
def designer_folder(tiny_run: Run, lively_gan_run: GanRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With steps enough for a design that only a cancellation ends."""

    def export(folder: Path) -> None:
        options = {"options": OPTIONS, "tailor_options": TAILORING, "max_steps": HIGHEST_MAX_STEPS}
        export_designer(tiny_run.path, lively_gan_run.path, folder, **options)  # type: ignore[arg-type]

    return own_copy(tmp_path_factory, "designer", export) / "1"


@pytest.fixture(scope="session")
def served_designer(designer_folder: Path) -> Exported:
    return loaded(designer_folder)
