"""From a prepared dataset to runs.

Validation during training is put together here, so that training itself never imports evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.data import opened_dataset
from tfdvbpr.config import GanConfig, RecommenderConfig, gan_config
from tfdvbpr.config.upscaler import UpscalerConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders.default import default_config
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    import keras

    from tfdvbpr.config.base import TrainingIfExists
    from tfdvbpr.training.engine.tensorboard import StepProfile

_log = logging.getLogger(__name__)


def opened_run(run: Run | Path | str) -> Run:
    """The run, opened if it is a folder."""
    return run if isinstance(run, Run) else Run.open(run)


def opened_gan(run: GanRun | Path | str) -> GanRun:
    """The GAN run, opened if it is a folder."""
    return run if isinstance(run, GanRun) else GanRun.open(run)


def _verified(dataset: PreparedDataset | Path | str) -> PreparedDataset:
    """The dataset, whose files are those that were prepared; some of them may have been changed in place."""
    opened = opened_dataset(dataset)
    opened.verify()
    return opened


def train(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: RecommenderConfig | None = None,
    start_from: Run | Path | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
    tensorboard: Path | str | None = None,
    profile: Callable[[StepProfile], None] | None = None,
) -> Run:
    """Trains a recommender, keeps the epoch with the best validation metric, and writes a run folder.

    The same call continues an interrupted training of the same output, and ends with the same weights. A warning is
    logged where popularity has the better validation recall@10 or `stop_metric`.

    Args:
        dataset: a prepared dataset or its folder.
        output: the run folder to make.
        config: left out, chosen by the size and density of the dataset, see
            `tfdvbpr.models.recommenders.default.default_config`; with `start_from`, that run's.
        start_from: a run on an earlier dataset. Its weights are carried over by id, new users are folded in, and
            0.06 of the epochs are trained; see `tfdvbpr.training.recommender.warm_start`.
        callbacks: Keras callbacks. The logs of `on_epoch_end` hold the mean of each loss (`loss`, `penalty`),
            `images_per_second`, and after a validation its metrics (`validation_auc`). `model.stop_training` ends
            training after the epoch; `model.optimizer` is None. Their own state is not kept in checkpoints.
        strategy: a tf.distribute strategy; left out, chosen from TF_CONFIG and the GPUs.
        if_exists: what to do where `output` is a run, or an interrupted training of it is there. "error" refuses a run
            and continues an interrupted training; "overwrite" replaces a run and continues an interrupted training;
            "restart" forgets an interrupted training and begins anew; "resume" refuses to begin a new training.
        tensorboard: a folder for TensorBoard's files.
        profile: takes the time of each part of a step, before training; the run folder then holds a profile for
            TensorBoard.

    Raises:
        ConfigError: if a name in the configuration is unknown.
        DatasetError: if a file of the dataset has another hash than when it was prepared.
        OutputExistsError: if `output` holds something already.
        RunError: if a different training was interrupted at the same output, or none where one is to be resumed.
        FloatingPointError: if a loss is no longer finite; the message names the batch.
        DiskFullError: if there is no room to write; the last checkpoint is good.

    Example:
        >>> stop = keras.callbacks.EarlyStopping(monitor="validation_auc", mode="max", patience=3)  # doctest: +SKIP
        >>> config = tfdvbpr.recommender_config("dvbpr")
        >>> run = tfdvbpr.train("shop.dataset", "runs/dvbpr", config=config, callbacks=[stop])  # doctest: +SKIP
    """
    from tfdvbpr.evaluation.ranking.evaluate import check_stop_metric, validation_metrics
    from tfdvbpr.training.recommender.train import train_recommender

    opened = _verified(dataset)
    if start_from is not None:
        from tfdvbpr.training.recommender.warm_start import retraining_config

        before = opened_run(start_from)
        where = str(before.path.resolve())
        config = config.model_copy(update={"start_from": where}) if config else retraining_config(before)
    config = config or default_config(opened.manifest)
    check_stop_metric(config.stop_metric)
    run = train_recommender(
        opened,
        config,
        Path(output),
        validate=partial(validation_metrics, stop_metric=config.stop_metric),
        callbacks=callbacks,
        strategy=strategy,
        if_exists=if_exists,
        tensorboard=None if tensorboard is None else Path(tensorboard),
        profile=profile,
    )
    _compare_with_popularity(run)
    return run


def _compare_with_popularity(run: Run) -> None:
    """Warn where counting actions is better on the validation actions than what was trained."""
    from tfdvbpr.data.interactions import Split
    from tfdvbpr.evaluation.ranking.metrics import DEFAULT_K
    from tfdvbpr.evaluation.ranking.popularity_bar import popularity_bar

    if run.manifest.model == "popularity" or not len(run.interactions.of(Split.VALIDATION)[0]):
        return
    for metric in dict.fromkeys((f"recall@{DEFAULT_K}", run.config.stop_metric)):
        bar = popularity_bar(run.factors, run.interactions, Split.VALIDATION, metric)
        if bar is not None and bar.gain.mean < 0:
            _log.warning(
                "Popularity has the better validation %s: %.4f, this run %.4f (95 %% interval of the difference %+.4f "
                "to %+.4f). Compare it with ease, visual-ease and hybrid-dvbpr before you ship it.",
                *(metric, bar.popularity, bar.value, bar.gain.low, bar.gain.high),
            )


def train_gan(
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: GanConfig | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
    tensorboard: Path | str | None = None,
    minutes: float | None = None,
) -> GanRun:
    """Trains a category-conditional GAN on a dataset's images and writes a run folder.

    Takes and raises what `train` does; the callbacks' model is the generator. `config` left out is the preset
    `default`, see `gan_config`. It also raises ConfigError if that preset's pretrained network is not installed, or if
    `minutes` are too few for a step. They set the configuration's `steps` to as many as take so long on this machine,
    and everything that depends on the steps; an interrupted training keeps the steps that it began with.
    """
    from tfdvbpr.data.images.grids import image_grid
    from tfdvbpr.designing.sample import write_sample_grid
    from tfdvbpr.training.gan.train import train_gan as train_gan_run

    run = train_gan_run(
        _verified(dataset),
        config or gan_config(),
        Path(output),
        callbacks=callbacks,
        strategy=strategy,
        if_exists=if_exists,
        tensorboard=None if tensorboard is None else Path(tensorboard),
        draw_grid=lambda rows, titles: image_grid(rows, row_titles=titles, cell_height=64),
        minutes=minutes,
    )
    write_sample_grid(run)
    return run


def train_upscaler(
    gan_run: GanRun | Path | str,
    dataset: PreparedDataset | Path | str,
    output: Path | str,
    *,
    config: UpscalerConfig | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
) -> GanRun:
    """Trains a network that doubles the height and width of a GAN's images, and writes the GAN's folder anew with it.

    What the new run makes is shown, written and served at twice the size; its generator and discriminator, and so
    preferences and realism, are those of `gan_run`. The same call continues an interrupted training.

    Args:
        gan_run: a GAN run or its folder.
        dataset: the GAN's source, prepared at twice its size.
        output: the run folder to make.
        config: left out, the defaults.
        callbacks: Keras callbacks; their model is the upscaler.
        strategy: see `train`.
        if_exists: see `train`.

    Raises:
        ConfigError: if the dataset has another size or other categories, or the pretrained network is not installed.
        DatasetError, OutputExistsError, RunError, FloatingPointError, DiskFullError: as `train`.

    Example:
        >>> large = tfdvbpr.train_upscaler("runs/gan", "shop-128.dataset", "runs/gan-large")  # doctest: +SKIP
        >>> large.shown_size  # doctest: +SKIP
        (128, 96)
    """
    from tfdvbpr.data.images.grids import image_grid
    from tfdvbpr.designing.sample import write_sample_grid
    from tfdvbpr.training.gan.train_upscaler import train_upscaler as train_upscaler_run

    run = train_upscaler_run(
        opened_gan(gan_run),
        _verified(dataset),
        config or UpscalerConfig(),
        Path(output),
        callbacks=callbacks,
        strategy=strategy,
        if_exists=if_exists,
        draw_grid=lambda rows, titles: image_grid(rows, row_titles=titles, cell_height=128),
    )
    write_sample_grid(run)
    return run
