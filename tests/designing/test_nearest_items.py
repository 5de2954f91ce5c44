from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.nearest_items import RealItems
from tfdvbpr.run import Run


@pytest.mark.parametrize("item", [0, 2, 5, 15])
def test_a_copy_finds_its_original_at_distance_zero(checkerboard_dataset: PreparedDataset, item: int) -> None:
    dataset = checkerboard_dataset
    found = RealItems(dataset, dataset.items.table["category"][item]).nearest(
        dataset.images.read(np.array([item])), k=3
    )
    assert found.item_ids[0][0] == f"i{item}"
    assert found.items[0, 0] == item
    assert found.distances[0, 0] == pytest.approx(0.0, abs=1e-3)
    assert found.novelties[0] == pytest.approx(0.0, abs=1e-2)
    assert (found.distances[0, 1:] > 0.01).all()
    assert (np.diff(found.distances[0]) >= 0).all()


def test_only_the_category_is_searched(checkerboard_dataset: PreparedDataset) -> None:
    dataset = checkerboard_dataset
    images = dataset.images.read(np.arange(4))
    for category_id, category in enumerate(dataset.items.categories):
        found = RealItems(dataset, category).nearest(images, k=4)
        assert (dataset.items.category_ids[found.items] == category_id).all()
        assert found.item_ids == [[f"i{item}" for item in row] for row in found.items]
    assert RealItems(dataset, "hat").nearest(images, k=100).items.shape == (4, 16)


def test_a_red_image_finds_red_items(checkerboard_dataset: PreparedDataset) -> None:
    red = np.full((1, 64, 64, 3), (200, 40, 40), np.uint8)  # of another size than the dataset's
    found = RealItems(checkerboard_dataset, "shirt").nearest(red, k=4)
    assert (found.items % 2 == 0).all()


def test_a_small_category_gives_all_it_has(checkerboard_dataset: PreparedDataset) -> None:
    images = checkerboard_dataset.images.read(np.arange(2))
    found = RealItems(checkerboard_dataset, "shirt").nearest(images, k=100)
    assert found.items.shape == found.distances.shape == (2, 8)
    assert sorted(found.items[0]) == np.flatnonzero(checkerboard_dataset.items.category_ids == 0).tolist()


def test_the_recommenders_space_is_that_of_its_item_embeddings(
    checkerboard_dataset: PreparedDataset, tiny_run: Run
) -> None:
    real = RealItems(checkerboard_dataset, "shoe", run=tiny_run)
    found = real.nearest(checkerboard_dataset.images.read(np.array([3])), k=1)
    assert found.item_ids == [["i3"]]
    assert found.distances[0, 0] == pytest.approx(0.0, abs=1e-3)
