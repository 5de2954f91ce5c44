"""From a prepared dataset to runs.

Validation during training is put together here, so that training itself never imports evaluation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfdvbpr.api.opening import Told, opened_dataset, quiet
from tfdvbpr.config import GanConfig, RecommenderConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run


def train(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: RecommenderConfig | None = None,
    observer: Any = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    resume: bool = False,
    tensorboard: Path | str | None = None,
    profiled: Any = None,
    told: Told = quiet,
) -> Run:
    """Trains a recommender, choosing its epoch by validation AUC, and writes a run folder.

    Args:
        dataset: a prepared dataset or its folder.
        output: the run folder to make.
        config: left out, DVBPR's defaults.
        observer: told how training stands about twice a second.
        strategy: a tf.distribute strategy; left out, chosen from TF_CONFIG and the GPUs.
        overwrite: replace a run that is already there.
        restart: forget an interrupted training of the same output.
        resume: refuse to begin where no training was interrupted; one that was is taken up with or without it.
        tensorboard: a folder for TensorBoard's files.
        profiled: takes a `training.profile.StepProfile`, where the time of a step goes, before training; the run folder
            then holds a profile for TensorBoard.
        told: takes lines for people.

    Raises:
        ConfigError: if a name in the configuration is unknown.
        OutputExistsError: if `output` holds something already.
        RunError: if a different training was interrupted at the same output, or none where one is to be resumed.
        FloatingPointError: if a loss is no longer finite; the message names the batch.
        DiskFullError: if there is no room to write; the last checkpoint is whole.
    """
    from tfdvbpr.evaluation.ranking.evaluate import validation_figures
    from tfdvbpr.training.recommender.train import train_recommender

    opened = opened_dataset(dataset)
    validate = None
    if opened.manifest.num_validation:

        def validate(factors: Any) -> dict[str, float]:
            return validation_figures(factors, opened.interactions)

    return train_recommender(
        opened,
        config or recommender_config("dvbpr"),
        Path(output),
        validate=validate,
        observer=observer,
        strategy=strategy,
        overwrite=overwrite,
        restart=restart,
        resume=resume,
        tensorboard=None if tensorboard is None else Path(tensorboard),
        profiled=profiled,
        told=told,
    )


def train_gan(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: GanConfig | None = None,
    observer: Any = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    resume: bool = False,
    tensorboard: Path | str | None = None,
    told: Told = quiet,
) -> GanRun:
    """Trains a category-conditional GAN on a dataset's pictures and writes a run folder.

    Takes and raises what `train` does; `config` left out is the preset `default`, see `gan_config`. It also raises
    ConfigError if that preset's pretrained network is not installed.
    """
    from tfdvbpr.designing.output.grid import picture_grid
    from tfdvbpr.designing.sample import write_sample_sheet
    from tfdvbpr.training.gan.train import train_gan as train_gan_run

    run = train_gan_run(
        opened_dataset(dataset),
        config or gan_config(),
        Path(output),
        observer=observer,
        strategy=strategy,
        overwrite=overwrite,
        restart=restart,
        resume=resume,
        tensorboard=None if tensorboard is None else Path(tensorboard),
        told=told,
        draw_sheet=lambda rows, titles: picture_grid(rows, row_titles=titles, cell_height=64),
    )
    write_sample_sheet(run)
    return run
