"""Sheets of samples while a GAN is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.engine.loop import StepReport
from tfdvbpr.training.engine.tensorboard import TensorBoard
from tfdvbpr.training.gan.step import GanTrainer

DrawSheet = Callable[[Sequence[Sequence[npt.NDArray[np.uint8]]], Sequence[str]], Any]


def sample_sheets(
    trainer: GanTrainer,
    config: GanConfig,
    folder: Path | None,
    draw_sheet: DrawSheet | None,
    tensorboard: TensorBoard | None = None,
) -> Callable[[StepReport], bool]:
    """An action of the loop: samples of the averaged generator, `samples/epoch-001.png` and so on.

    Args:
        trainer: whose generator draws.
        config: `sample_every`.
        folder: where the folder `samples` is made; None for no sheets.
        draw_sheet: makes a sheet of rows of pictures and their titles; None for no sheets.
        tensorboard: also gets the pictures.
    """

    def act(report: StepReport) -> bool:
        done = report.epoch + 1
        sheet = draw_sheet if folder is not None else None
        wanted = sheet is not None or tensorboard is not None
        if wanted and config.sample_every and done % config.sample_every == 0:
            with trainer.averaged():
                rows = trainer.samples()
            if tensorboard is not None:
                tensorboard.pictures("samples", rows, step=report.step)
            if sheet is not None and folder is not None:
                plan = trainer.batches.categories
                path = folder / SAMPLES_FOLDER / f"epoch-{done:03}.png"
                path.parent.mkdir(exist_ok=True)
                sheet([list(row) for row in rows], [plan.names[number] for number in plan.trained]).save(path)
        return False

    return act
