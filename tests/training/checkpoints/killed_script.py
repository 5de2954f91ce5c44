"""Trains once for each line on stdin, "MODEL OUTPUT", in a process that is forked off: the start is paid once.

Run by the tests that kill these processes. For each it prints the process's number, and its exit status once it ended.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.evaluation.ranking.evaluate import validation_metrics
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.gan.train import train_gan
from tfdvbpr.training.recommender.train import train_recommender


def train(dataset: PreparedDataset, model: str, output: Path, epochs: int) -> None:
    """A checkpoint after each step, dropout and validations; of DVBPR and a GAN two steps an epoch."""
    run: dict[str, Any] = {"checkpoint_steps": 1, "global_batch_size": 8}
    if model == "gan":
        gan = GanConfig(epochs=epochs, latent_dim=4, base_channels=4, discriminator_channels=4, **run)
        train_gan(dataset, gan, output)
        return
    run |= {"dropout": 0.3} if model == "dvbpr" else {"global_batch_size": 24}
    config = recommender_config(model, epochs=epochs, embedding_dim=4, **run)
    train_recommender(dataset, config, output, validate=validation_metrics)


def main(dataset: PreparedDataset, epochs: int) -> None:
    for line in sys.stdin:
        model, output = line.split()
        child = os.fork()
        if child == 0:
            try:
                train(dataset, model, Path(output), epochs)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


main(PreparedDataset.open(Path(sys.argv[1])), int(sys.argv[2]))
