"""Sheets of samples while a GAN is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.gan_networks import GanTrainer
from tfdvbpr.training.loop import StepReport

DrawSheet = Callable[[Sequence[Sequence[npt.NDArray[np.uint8]]], Sequence[str]], Any]


def sample_sheets(
    trainer: GanTrainer, config: GanConfig, folder: Path, draw_sheet: DrawSheet | None
) -> Callable[[StepReport], bool]:
    """An action of the loop: samples of the averaged generator, `samples/epoch-001.png` and so on."""

    def act(report: StepReport) -> bool:
        done = report.epoch + 1
        if draw_sheet is not None and config.sample_every and done % config.sample_every == 0:
            with trainer.averaged():
                rows = trainer.samples()
            plan = trainer.batches.categories
            path = folder / SAMPLES_FOLDER / f"epoch-{done:03}.png"
            path.parent.mkdir(exist_ok=True)
            draw_sheet([list(row) for row in rows], [plan.names[number] for number in plan.trained]).save(path)
        return False

    return act
