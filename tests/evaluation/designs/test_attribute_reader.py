"""Attributes are read from rendered garments, sharp and soft."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.synthetic.source import SyntheticImporter, write_synthetic
from tfdvbpr.errors import DatasetError, UnknownIdError
from tfdvbpr.evaluation.designs import attribute_reader
from tfdvbpr.evaluation.designs.attribute_reader import ATTRIBUTES, AttributeReader


@pytest.fixture(scope="module")
def garments(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("garments")
    write_synthetic(folder / "source", SyntheticImporter(num_items=240, num_users=4, image_size=32))
    options = PrepareOptions(image_size=(32, 32))
    return prepare(read_folder(folder / "source"), folder / "data", options=options, source_format="synthetic")


@pytest.fixture(scope="module")
def reader(garments: PreparedDataset) -> AttributeReader:
    return AttributeReader.of(garments)


def test_held_out_garments_are_read(reader: AttributeReader) -> None:
    """A few steps on a few small images: tests/benchmarks/test_garment_shares.py has the demo's size and bounds."""
    for accuracy in (reader.accuracy, reader.blurred_accuracy):
        assert list(accuracy) == list(ATTRIBUTES)
        assert accuracy["colour"] > 0.9
        assert accuracy["cut"] > 0.5  # three of each category
    assert reader.accuracy["pattern"] > 0.35  # four patterns, in five pixels a period


def test_names_are_of_the_category_or_unclear(garments: PreparedDataset, reader: AttributeReader) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype(np.uint8)
    noise = gaussian_filter(noise, (0, 2, 2, 0))
    table = garments.items.table
    for category in ("shoe", "hat"):
        cuts = {*table["cut"].to_numpy()[(table["category"] == category).to_numpy()], ""}
        assert set(reader.read(noise, [category] * 30)["cut"]) <= cuts
    with pytest.raises(UnknownIdError, match="sock"):
        reader.read(noise[:1], ["sock"])


def test_an_empty_image_has_no_colour(reader: AttributeReader) -> None:
    assert reader.read(np.full((1, 32, 32, 3), 245, np.uint8), ["hat"])["colour"].tolist() == [""]


def test_the_reader_is_kept_with_the_dataset(garments: PreparedDataset, reader: AttributeReader) -> None:
    steps: list[int] = []
    again = AttributeReader.of(PreparedDataset.open(garments.path), progress=lambda done, _: steps.append(done))
    assert steps == []
    assert again.accuracy == reader.accuracy
    assert again.blurred_accuracy == reader.blurred_accuracy
    images = garments.images.read(np.arange(40))
    categories = garments.items.table["category"].to_list()[:40]
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(again.read(images, categories)[name], reader.read(images, categories)[name])


def test_a_damaged_reader_is_trained_again(
    garments: PreparedDataset, reader: AttributeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute_reader, "_EPOCHS", 0)
    monkeypatch.setattr(attribute_reader, "_MIN_STEPS", 3)
    (kept,) = (garments.path / "attribute_reader").iterdir()
    (kept / "reader.json").write_text("{", encoding="utf-8")
    steps: list[tuple[int, int]] = []
    AttributeReader.of(garments, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_other_datasets_are_refused(checkerboard_dataset: PreparedDataset) -> None:
    with pytest.raises(DatasetError, match=r"must be a synthetic one.*lacks colour, pattern, cut"):
        AttributeReader.of(checkerboard_dataset)
