from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import encoded, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.evaluation.generative.category_classifier import (
    FOLDER,
    ClassifierOptions,
    category_classifier,
    photo_split,
)

OPTIONS = ClassifierOptions(min_photos=10, epochs=12)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Red shirts, blue shoes, and a category of two photos."""
    folder = tmp_path_factory.mktemp("colours")
    of = {"shirt": (200, 40, 40), "shoe": (40, 60, 200), "hat": (20, 200, 20)}
    kinds = ["shirt"] * 20 + ["shoe"] * 20 + ["hat"] * 2
    items = [(f"i{n}", kind, encoded(noisy_picture(of[kind], (16, 16), n))) for n, kind in enumerate(kinds)]
    write_source(folder / "source", items, [("u0", "i0"), ("u0", "i1"), ("u0", "i2")])
    options = PrepareOptions(image_size=(16, 16))
    return prepare(read_folder(folder / "source"), folder / "dataset", options=options, source_format="folder")


def test_it_learns_what_is_there_and_says_how_well(dataset: PreparedDataset) -> None:
    told: list[str] = []
    classifier = category_classifier(dataset, options=OPTIONS, told=told.append)
    assert classifier.categories == ("shirt", "shoe")  # two hats are too few
    assert classifier.accuracy == 1.0
    assert classifier.num_held_out == 8
    assert classifier.category_accuracy == {"shirt": 1.0, "shoe": 1.0}
    assert "2 categories on 32 photos: it names 100.0% of 8 held-out ones" in told[0]
    again = category_classifier(dataset, options=OPTIONS, told=told.append)
    assert len(told) == 1  # read, not trained
    pictures = dataset.images.read(np.arange(42))
    np.testing.assert_allclose(again.logits(pictures), classifier.logits(pictures), atol=1e-6)
    assert again.accuracy == classifier.accuracy
    (kept,) = (dataset.path / FOLDER).iterdir()
    (kept / "classifier.weights.h5").write_bytes(b"damaged")
    anew = category_classifier(dataset, options=OPTIONS, told=told.append)
    assert len(told) == 2
    np.testing.assert_allclose(anew.logits(pictures), classifier.logits(pictures), atol=1e-4)


def test_the_split_keeps_photos_of_every_category_back(dataset: PreparedDataset) -> None:
    split = photo_split(dataset, OPTIONS)
    assert np.bincount(dataset.items.category_ids[split.held_out], minlength=3).max() == 4
    assert len(np.intersect1d(split.train, split.held_out)) == 0
    assert len(split.train) + len(split.held_out) == 40
    other = photo_split(dataset, ClassifierOptions(min_photos=10, seed=1))
    assert other.held_out.tolist() != split.held_out.tolist()


def test_what_cannot_be_trained(dataset: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two categories of at least 30 photos"):
        photo_split(dataset, ClassifierOptions(min_photos=30))
    with pytest.raises(ConfigError, match="`held_out` must be between 0 and 1"):
        ClassifierOptions(held_out=1.0)
    with pytest.raises(ConfigError, match="`min_photos` must be at least 2"):
        ClassifierOptions(min_photos=1)
