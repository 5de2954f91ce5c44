"""Photos for people: framed as models see them, with more detail."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tiny_data import encoded

from tfdvbpr.data import ImageFit
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder
from tfdvbpr.data.images.photos import (
    LEAST_HEIGHT,
    MOST_HEIGHT,
    fitted_photo,
    photo_for_page,
    photo_height,
    sharp_photos,
)


def _shape(height: int, width: int) -> bytes:
    """A dark disc off the middle of a light ground."""
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(y - 0.6 * height, x - 0.3 * width) < 0.25 * min(height, width)
    return encoded(np.where(disc[..., None], (40, 60, 90), (230, 220, 210)).astype(np.uint8))


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
@pytest.mark.parametrize("shape", [(120, 80), (60, 150)])
def test_a_photo_is_framed_as_models_see_it(fit: ImageFit, shape: tuple[int, int]) -> None:
    """Reduced to the models' size, the sharp photo is the models' image, up to the filters and half a pixel."""
    jpeg = _shape(*shape)
    seen = decoder((32, 48), fit)(jpeg).numpy().astype(float)
    sharp = Image.fromarray(fitted_photo(jpeg, (4 * 48, 4 * 32), fit)).resize((48, 32), Image.Resampling.BOX)
    assert np.abs(np.asarray(sharp) - seen).mean() < 4.0


def test_sharp_photos_of_a_dataset(checkerboard_dataset: PreparedDataset) -> None:
    items = np.array([3, 0], np.int32)
    shown = sharp_photos(checkerboard_dataset, items, height=64)
    assert shown.shape == (2, 64, 64, 3)
    colours = shown.mean(axis=(1, 2))
    np.testing.assert_allclose(colours, checkerboard_dataset.images.read(items).mean(axis=(1, 2)), atol=3.0)
    assert sharp_photos(checkerboard_dataset, items[:0], height=64).shape == (0, 64, 64, 3)


@pytest.mark.parametrize(
    ("shape", "height"), [((32, 32), LEAST_HEIGHT), ((200, 100), 200), ((90, 180), 180), ((3000, 10), MOST_HEIGHT)]
)
def test_the_height_is_that_of_the_stored_photo_within_limits(
    checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], height: int
) -> None:
    monkeypatch.setattr(checkerboard_dataset.images, "jpeg", lambda item: _shape(*shape))
    assert photo_height(checkerboard_dataset, np.array([0])) == height


def test_a_page_gets_small_files_as_they_are_and_large_ones_reduced() -> None:
    small = _shape(128, 96)
    assert photo_for_page(small) == small
    noise = np.random.default_rng(0).integers(0, 256, (900, 600, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(photo_for_page(encoded(noise)))) as reduced:
        assert reduced.format == "JPEG"
        assert max(reduced.size) == 400
        assert reduced.height / reduced.width == pytest.approx(1.5, abs=0.01)
