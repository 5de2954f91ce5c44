from __future__ import annotations

import logging

import numpy as np
import pytest
from tiny_data import encoded, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import DatasetError
from tfdvbpr.evaluation.generative import category_classifier as module
from tfdvbpr.evaluation.generative.category_classifier import FOLDER, PhotoSplit, category_classifier


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_PHOTOS", 10)
    monkeypatch.setattr(module, "EPOCHS", 6)


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


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("tfdvbpr")]


def test_it_learns_the_categories_and_knows_its_accuracy(
    dataset: PreparedDataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    split = PhotoSplit.of(dataset)
    classifier = category_classifier(dataset, split)
    assert classifier.categories == ("shirt", "shoe")  # two hats are too few
    assert classifier.accuracy == 1.0
    assert classifier.category_accuracy == {"shirt": 1.0, "shoe": 1.0}
    assert "2 categories on 32 photos. Its accuracy is 100.0 % on 8 held-out ones" in _lines(caplog)[0]
    again = category_classifier(dataset, split)
    assert len(_lines(caplog)) == 1  # read, not trained
    images = dataset.images.read(np.arange(42))
    np.testing.assert_allclose(again.logits(images), classifier.logits(images), atol=1e-6)
    assert again.accuracy == classifier.accuracy
    (cache,) = (dataset.path / FOLDER).iterdir()
    (cache / "classifier.weights.h5").write_bytes(b"damaged")
    monkeypatch.setattr(module, "_trained", lambda *given: classifier)
    retrained = category_classifier(dataset, split)
    assert len(_lines(caplog)) == 2
    np.testing.assert_allclose(retrained.logits(images), classifier.logits(images), atol=1e-4)


def test_the_split_holds_out_photos_of_every_category(dataset: PreparedDataset) -> None:
    split = PhotoSplit.of(dataset)
    assert np.bincount(dataset.items.category_ids[split.held_out], minlength=3).max() == 4
    assert len(np.intersect1d(split.train, split.held_out)) == 0
    assert len(split.train) + len(split.held_out) == 40


def test_a_dataset_with_one_large_category_is_refused(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_PHOTOS", 30)
    with pytest.raises(DatasetError, match="two categories of at least 30 photos"):
        PhotoSplit.of(dataset)
