from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.output.nearest_items import nearest_items


@pytest.mark.parametrize("item", [0, 2, 5, 15])
def test_a_copy_finds_its_original_at_distance_zero(checkerboard_dataset: PreparedDataset, item: int) -> None:
    dataset = checkerboard_dataset
    category_id = int(dataset.items.category_ids[item])
    found = nearest_items(dataset.images.read(np.array([item])), dataset, category_id, k=3)
    assert found.item_ids[0][0] == f"i{item}"
    assert found.items[0, 0] == item
    assert found.distances[0, 0] == pytest.approx(0.0, abs=1e-3)
    assert (found.distances[0, 1:] > 0.01).all()
    assert (np.diff(found.distances[0]) >= 0).all()


def test_only_the_asked_for_category_is_searched(checkerboard_dataset: PreparedDataset) -> None:
    dataset = checkerboard_dataset
    images = dataset.images.read(np.arange(4))
    for category_id in (0, 1):
        found = nearest_items(images, dataset, category_id, k=4)
        assert (dataset.items.category_ids[found.items] == category_id).all()
        assert found.item_ids == [[f"i{item}" for item in row] for row in found.items]


def test_a_red_picture_finds_red_items(checkerboard_dataset: PreparedDataset) -> None:
    red = np.full((1, 32, 32, 3), (200, 40, 40), np.uint8)
    found = nearest_items(red, checkerboard_dataset, 0, k=4)
    assert (found.items % 2 == 0).all()


def test_a_small_category_gives_all_it_has(checkerboard_dataset: PreparedDataset) -> None:
    images = checkerboard_dataset.images.read(np.arange(2))
    found = nearest_items(images, checkerboard_dataset, 0, k=100)
    assert found.items.shape == found.distances.shape == (2, 8)
    assert sorted(found.items[0]) == np.flatnonzero(checkerboard_dataset.items.category_ids == 0).tolist()
