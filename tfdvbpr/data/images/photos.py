"""Product photos for people: fitted as models see them, from the pixels of the stored file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from tfdvbpr.data import ImageFit
from tfdvbpr.data.dataset import PreparedDataset

LEAST_HEIGHT, MOST_HEIGHT = 128, 256
_PAGE = (400, 400)  # pixels, two for each of a page's
_MOST_PAGE_BYTES = 60_000
_WHITE = (255, 255, 255)

Rows = npt.NDArray[np.integer[Any]]


def photo_height(dataset: PreparedDataset, items: Rows) -> int:
    """A height in pixels at which photos of items are sharp: the greatest that one needs, in [128, 256]."""
    height, width = dataset.manifest.image_size
    needed = [LEAST_HEIGHT]
    for item in items:
        with Image.open(io.BytesIO(dataset.images.jpeg(int(item)))) as image:
            needed.append(max(image.height, round(image.width * height / width)))
    return min(max(needed), MOST_HEIGHT)


def sharp_photos(dataset: PreparedDataset, items: Rows, *, height: int) -> npt.NDArray[np.uint8]:
    """Photos of items as models see them, padded, cropped or squashed, but of another height and with its detail.

    Args:
        dataset: whose stored files are read; a JPEG of the source is stored as it was, at its full size.
        items: rows, int [N].
        height: of the images in pixels; the width follows from the dataset's aspect.

    Returns:
        uint8 [N, height, width, 3].
    """
    own_height, own_width = dataset.manifest.image_size
    size = (max(1, round(own_width * height / own_height)), height)
    images = [fitted_photo(dataset.images.jpeg(int(item)), size, dataset.manifest.fit) for item in items]
    return np.stack(images) if images else np.zeros((0, size[1], size[0], 3), np.uint8)


def fitted_photo(jpeg: bytes, size: tuple[int, int], fit: ImageFit) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, 3] of a JPEG file; `size` is (width, height) in pixels."""
    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("RGB", (2 * size[0], 2 * size[1]))  # decodes a part of a large file's pixels
        photo = image.convert("RGB")
    if fit == "squash":
        return np.asarray(photo.resize(size, Image.Resampling.LANCZOS))
    if fit == "crop":
        return np.asarray(ImageOps.fit(photo, size, Image.Resampling.LANCZOS))
    return np.asarray(ImageOps.pad(photo, size, Image.Resampling.LANCZOS, color=_WHITE))


def photo_for_page(jpeg: bytes) -> bytes:
    """A JPEG file as it is, or reduced to 400 pixels a side where it is large: a page holds many."""
    if len(jpeg) <= _MOST_PAGE_BYTES:
        return jpeg
    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("RGB", _PAGE)
        photo = image.convert("RGB")
    photo.thumbnail(_PAGE, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photo.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
