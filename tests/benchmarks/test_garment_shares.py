"""Shares of colours, patterns and cuts of the demo's GAN beside the garments', read by readers that are right.

With -s the table is printed; with TFDVBPR_KEEP=FOLDER in the environment dataset and run are kept there, and a later
call uses them. `garment_shares_script.py` prints the table of any GAN of garments.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.synthetic.garments import random_garment, render_garment
from tfdvbpr.demo.walk import gan_settings
from tfdvbpr.evaluation.designs.attribute_reader import ATTRIBUTES, AttributeReader
from tfdvbpr.evaluation.designs.attribute_shares import attribute_shares, markdown
from tfdvbpr.evaluation.generative.features import blurred
from tfdvbpr.run import GanRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("TFDVBPR_KEEP")
    return Path(kept) if kept else tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def garments(folder: Path) -> PreparedDataset:
    if not (folder / "dataset").exists():
        options = PrepareOptions(image_size=(64, 64))
        api.prepare(None, folder / "dataset", source_format="synthetic", options=options)
    return PreparedDataset.open(folder / "dataset")


@pytest.fixture(scope="module")
def reader(garments: PreparedDataset) -> AttributeReader:
    return AttributeReader.of(garments)


@pytest.mark.parametrize("blur_stddev", [0.0, 0.8, 1.2])
def test_new_garments_are_read(reader: AttributeReader, blur_stddev: float) -> None:
    generator = np.random.default_rng(11)
    garments = [random_garment(generator) for _ in range(1500)]
    images = np.stack([np.asarray(render_garment(garment, 64)) for garment in garments])
    read = reader.read(blurred(images, blur_stddev), [each.category for each in garments])
    for name in ATTRIBUTES:
        right = np.mean([got == getattr(garment, name) for got, garment in zip(read[name], garments, strict=True)])
        print(f"{name}, blurred by {blur_stddev} px: {right:.3f}")
        assert right >= 0.97


def test_the_demos_gan_has_the_garments_shares(
    folder: Path, garments: PreparedDataset, reader: AttributeReader
) -> None:
    if not (folder / "gan").exists():
        api.train_gan(garments, folder / "gan", config=gan_settings(seed=0))
    found = attribute_shares(GanRun.open(folder / "gan"), dataset=garments, reader=reader)
    print("\n" + markdown(found))
    assert found.means["colour"] <= 0.10
    assert found.means["cut"] <= 0.10
    assert found.means["pattern"] <= 0.15
