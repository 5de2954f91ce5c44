from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
from tiny_data import encoded, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.evaluation.generative import category_classifier
from tfdvbpr.evaluation.generative import scratch_network as module
from tfdvbpr.evaluation.generative.category_classifier import PhotoSplit
from tfdvbpr.evaluation.generative.photos import RealPhotos
from tfdvbpr.evaluation.generative.scratch_network import (
    FOLDER,
    SCRATCH,
    accuracy_text,
    dominant_colours,
    photo_labels,
    scratch_network,
)

RED, BLUE = (210, 40, 40), (40, 40, 210)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(category_classifier, "MIN_PHOTOS", 10)
    monkeypatch.setattr(category_classifier, "EPOCHS", 1)
    monkeypatch.setattr(module, "EPOCHS", 20)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Shirts have their square above, shoes below; both in red and blue. Further columns: season, brand and note."""
    folder = tmp_path_factory.mktemp("squares")
    items, columns = [], []
    for number in range(48):
        kind, colour = ("shirt", "shoe")[number % 2], (RED, BLUE)[number // 2 % 2]
        image = noisy_picture((250, 250, 250), (32, 24), number)
        first = 2 if kind == "shirt" else 18
        image[first : first + 12, 6:18] = noisy_picture(colour, (12, 12), number)
        items.append((f"i{number}", kind, encoded(image)))
        columns.append({"season": ("summer", "winter")[number % 2], "brand": f"b{number}", "note": "", "one": "same"})
    write_source(folder / "source", items, [("u0", "i0"), ("u0", "i1"), ("u0", "i2")])
    path = folder / "source" / "items.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row | further for row, further in zip(csv.DictReader(file), columns, strict=True)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    options = PrepareOptions(image_size=(32, 24))
    return prepare(read_folder(folder / "source"), folder / "dataset", options=options, source_format="folder")


def test_labels_are_the_category_the_colour_and_columns_that_repeat(dataset: PreparedDataset) -> None:
    labels = photo_labels(dataset)
    assert list(labels) == ["category", module.COLOUR_LABEL, "season"]
    table = dataset.items.table
    np.testing.assert_array_equal(labels["season"], (table["season"] == "winter").to_numpy().astype(int))
    assert set(labels["category"]) == {0, 1}
    assert set(labels[module.COLOUR_LABEL]) == {0, 1}  # of 64 colours, those of many photos


def test_rare_values_are_left_out(dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array(["a"] * 10 + ["b"] * 9 + ["c"] * 12 + [""] * 30)
    assert module._classes(values, missing="").tolist() == [0] * 10 + [-1] * 9 + [1] * 12 + [-1] * 30
    monkeypatch.setattr(module, "_MAX_CLASSES", 1)
    assert list(photo_labels(dataset)) == ["category", module.COLOUR_LABEL]


def test_the_dominant_colour_is_that_of_the_silhouette() -> None:
    image = np.full((1, 10, 10, 3), 255, np.uint8)
    image[0, 2:5, 2:9] = (10, 100, 200)
    image[0, 5:7, 2:9] = (200, 0, 0)
    assert dominant_colours(image).tolist() == [0 * 16 + 1 * 4 + 3]
    assert dominant_colours(np.full((1, 10, 10, 3), 130, np.uint8)).tolist() == [2 * 16 + 2 * 4 + 2]


def test_it_learns_every_label_and_is_cached(
    dataset: PreparedDataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, module.__name__)

    def trainings() -> list[str]:
        return [each.message for each in caplog.records if each.name == module.__name__]

    split, images = PhotoSplit.of(dataset), dataset.images.read(np.arange(48))
    network = scratch_network(dataset, split)
    assert list(network.accuracy) == ["category", module.COLOUR_LABEL, "season"]
    assert min(network.accuracy.values()) >= 0.8
    features = network(images)
    assert features.shape == (48, network.feature_dim((32, 24)))
    assert features.dtype == np.float32
    again = scratch_network(dataset, split)
    assert len(trainings()) == 1  # read, not trained
    assert (again.version, again.accuracy) == (network.version, network.accuracy)
    np.testing.assert_allclose(again(images), features, atol=1e-5)
    (cache,) = (dataset.path / FOLDER).iterdir()
    assert "32x24" in cache.name
    assert dataset.manifest.fingerprint in cache.name
    assert json.loads((cache / "scratch.json").read_text())["classes"]["season"] == 2
    photos = RealPhotos.in_spaces(dataset, [SCRATCH])
    assert [each.space.label for each in photos] == ["scratch", "scratch_blurred"]
    np.testing.assert_allclose(photos[0].features, features, atol=1e-5)
    assert photos[0].space.accuracy == network.accuracy
    (cache / "scratch.weights.h5").write_bytes(b"damaged")
    monkeypatch.setattr(module, "EPOCHS", 1)
    retrained = scratch_network(dataset, split)
    assert len(trainings()) == 2
    assert retrained.version != network.version  # so its features are not read from those of the former


def test_the_accuracy_in_words() -> None:
    assert accuracy_text({"category": 0.9, "gender": 0.875}) == (
        "Its accuracy on held-out photos: category 90.0%, gender 87.5%."
    )
