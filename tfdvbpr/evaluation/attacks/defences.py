"""What a shop may do with a photo before it is embedded. DEFENCES maps names to functions."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

Images = npt.NDArray[np.uint8]

_QUALITY = 75


def jpeg(images_uint8: Images) -> Images:
    """Photos saved as JPEG of quality 75 and opened again (Dziugaite, Ghahramani and Roy 2016): uint8 [N, H, W, 3]."""

    def saved(pixels: Images) -> Images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
        return np.array(Image.open(buffer))

    return np.stack([saved(image) for image in images_uint8])


def resize(images_uint8: Images) -> Images:
    """Photos made half as large and as large as before, both times bicubic: uint8 [N, H, W, 3]."""
    height, width = images_uint8.shape[1:3]

    def resized(pixels: Images) -> Images:
        small = Image.fromarray(pixels).resize((max(width // 2, 1), max(height // 2, 1)), Image.Resampling.BICUBIC)
        return np.array(small.resize((width, height), Image.Resampling.BICUBIC))

    return np.stack([resized(image) for image in images_uint8])


DEFENCES: Mapping[str, Callable[[Images], Images]] = MappingProxyType({"jpeg": jpeg, "resize": resize})
