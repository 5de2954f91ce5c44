"""A full disk at each write of a run folder: one error, no run, and the same command goes on from the checkpoint."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from full_disk import room_for_files_of, sizes_that_fail

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DiskFullError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME
from tfdvbpr.training.gan.train import train_gan
from tfdvbpr.training.recommender.train import train_recommender


def test_a_full_disk_at_each_write_of_a_recommender(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("bpr-mf", epochs=1, embedding_dim=4, global_batch_size=24, checkpoint_steps=1)
    whole = train_recommender(checkerboard_dataset, config, tmp_path / "whole")
    output = tmp_path / "run"
    for size in sizes_that_fail(whole.path):
        with room_for_files_of(size), pytest.raises(DiskFullError, match="Make room and repeat the command"):
            train_recommender(checkerboard_dataset, config, output)
        assert not output.exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".run.training", "whole"]
    run = train_recommender(checkerboard_dataset, config, output)
    np.testing.assert_array_equal(run.factors.item_embeddings, whole.factors.item_embeddings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]


def test_a_full_disk_while_the_weights_of_a_gan_are_written(
    checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    """No segmentation fault; the training is not lost."""
    config = GanConfig(epochs=1, latent_dim=4, base_channels=4, discriminator_channels=4, global_batch_size=16)
    output = tmp_path / "gan"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfdvbpr.training.checkpoints.manager._SECONDS", 0.0)  # a checkpoint a step, also the last
        with room_for_files_of(1 << 30):
            _fill_when_written(patch)
            with pytest.raises(DiskFullError, match="the last good checkpoint is step"):
                train_gan(checkerboard_dataset, config, output)
    assert not output.exists()
    run = train_gan(checkerboard_dataset, config, output)
    assert (run.path / GENERATOR_NAME).stat().st_size > 1000
    assert (run.path / DISCRIMINATOR_NAME).stat().st_size > 1000


def _fill_when_written(patch: pytest.MonkeyPatch) -> None:
    """From the moment when the run folder is begun, no file may be longer than a kilobyte."""
    from tfdvbpr.training.gan import train

    begin = train.whole_directory

    def full(*arguments: object, **options: object) -> object:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return begin(*arguments, **options)  # type: ignore[arg-type]

    patch.setattr(train, "whole_directory", full)
