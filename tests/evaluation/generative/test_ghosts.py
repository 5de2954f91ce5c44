from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.images.ghosts import colourfulness, visibility
from tfdvbpr.evaluation.generative.ghosts import ghostliness

SHIRT, SHOE = np.array(["shirt"]), np.array(["shoe"])


def _item(colour: tuple[int, int, int], background: int = 255) -> np.ndarray:
    """uint8 [1, 8, 8, 3]: a square of 16 of the 64 pixels."""
    image = np.full((1, 8, 8, 3), background, np.uint8)
    image[0, 2:6, 2:6] = colour
    return image


def test_colourfulness_by_hand() -> None:
    assert colourfulness(_item((200, 100, 50)))[0] == pytest.approx(0.25 * 150 / 255)
    assert colourfulness(_item((90, 90, 90)))[0] == 0.0


def test_visibility_by_hand() -> None:
    assert visibility(_item((200, 100, 50)))[0] == pytest.approx(0.25 * 205 / 255)
    assert visibility(_item((10, 10, 10), background=10))[0] == 0.0


def _photos() -> np.ndarray:
    """Twenty shirts, from pale red to red."""
    return np.concatenate([_item((255, 255 - 8 * number, 255 - 8 * number)) for number in range(1, 21)])


@pytest.mark.parametrize(
    ("image", "is_ghost"),
    [
        (_item((255, 150, 150)), False),
        (_item((0, 0, 0)), False),
        (_item((255, 0, 0)), True),  # brighter than any photo
        (_item((254, 254, 254)), True),  # hardly to be seen
        (np.full((1, 8, 8, 3), (255, 255, 0), np.uint8), True),  # a glow without a silhouette
    ],
)
def test_what_glows_or_fades_beyond_the_photos_is_a_ghost(image: np.ndarray, is_ghost: bool) -> None:
    photos = _photos()
    found = ghostliness(image, SHIRT, photos, SHIRT.repeat(len(photos)))
    assert (found[0] > 1.0) == is_ghost


def test_of_the_photos_themselves_one_in_a_hundred_is_a_ghost_at_most() -> None:
    shades = np.random.default_rng(0).integers(0, 256, (1000, 3))
    photos = np.concatenate([_item((int(r), int(g), int(b))) for r, g, b in shades])
    names = SHIRT.repeat(len(photos))
    assert (ghostliness(photos, names, photos, names) > 1.0).mean() == pytest.approx(0.01, abs=0.002)


def test_each_category_has_its_own_bounds() -> None:
    photos = np.concatenate([_photos(), np.full((2, 8, 8, 3), (255, 255, 0), np.uint8)])
    names = np.concatenate([SHIRT.repeat(20), SHOE.repeat(2)])
    glow = np.full((2, 8, 8, 3), (255, 255, 0), np.uint8)
    found = ghostliness(glow, np.concatenate([SHIRT, SHOE]), photos, names)
    assert found[0] > 1.0
    assert found[1] == pytest.approx(1.0)
