"""Grids of samples while a GAN is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.engine.callbacks import TrainingCallback
from tfdvbpr.training.engine.tensorboard import TensorBoard
from tfdvbpr.training.gan.step import GanTrainer

DrawSheet = Callable[[Sequence[Sequence[npt.NDArray[np.uint8]]], Sequence[str]], Any]


class SampleGrids(TrainingCallback):
    """Writes samples of the averaged generator every `sample_every` epochs: `samples/epoch-001.png` and so on.

    Args:
        trainer: the GAN's.
        config: `sample_every`.
        folder: where the folder `samples` is made; None for no files.
        draw_sheet: makes an image of rows of images and their titles; None for no files.
        tensorboard: also gets the samples.
    """

    def __init__(
        self,
        trainer: GanTrainer,
        config: GanConfig,
        folder: Path | None,
        draw_sheet: DrawSheet | None,
        tensorboard: TensorBoard | None = None,
    ) -> None:
        super().__init__()
        self._trainer, self._every, self._tensorboard = trainer, config.sample_every, tensorboard
        self._folder = None if folder is None else folder / SAMPLES_FOLDER
        self._draw_sheet = None if folder is None else draw_sheet

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the samples if they are due."""
        if (self._draw_sheet is None and self._tensorboard is None) or not self._every or (epoch + 1) % self._every:
            return
        with self._trainer.averaged():
            rows = self._trainer.samples()
        if self._tensorboard is not None:
            self._tensorboard.images("samples", rows, step=self.progress.total_steps)
        if self._draw_sheet is not None and self._folder is not None:
            plan = self._trainer.batches.categories
            titles = [plan.names[number] for number in plan.trained]
            self._folder.mkdir(exist_ok=True)
            self._draw_sheet([list(row) for row in rows], titles).save(self._folder / f"epoch-{epoch + 1:03}.png")
