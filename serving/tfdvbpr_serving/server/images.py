"""Checks image files of a request by their headers, before anything decodes them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.server.requests import invalid_argument

IMAGE_INPUT_SUFFIX = "_bytes"  # by `tfdvbpr.signatures`

_FORMATS = ("JPEG", "PNG")
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_START_OF_SCAN = b"\xff\xda"
_SCANS_AS_LONG_AS_DECODING = 10


class ImageSizes(NamedTuple):
    """Pixels of the largest image of an input, and of all."""

    largest: int
    total: int


def declared_pixels(file: bytes) -> float | None:
    """Width × height by a JPEG or PNG file's header: inf for more than Pillow opens, None if Pillow cannot read it."""
    try:
        with Image.open(io.BytesIO(file), formats=_FORMATS) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return math.inf
    except Exception:  # Pillow raises almost anything for a broken header
        return None


def decoding_passes(file: bytes) -> int:
    """How often a decoder goes through all pixels of a file: 1, and once more for every ten scans of a JPEG.

    A progressive JPEG is decoded in scans, each of which may take a few bytes and goes through the whole image. Ten
    scans take about as long as all the rest.
    """
    is_jpeg = file.startswith(_FIRST_BYTES[0])
    return 1 + (file.count(_START_OF_SCAN) // _SCANS_AS_LONG_AS_DECODING if is_jpeg else 0)


def check_images(name: str, values: Iterable[bytes], limits: ServerLimits) -> ImageSizes:
    """The pixels of the images among the strings of an input.

    A string of another input than images is an image if it begins like one.

    Raises:
        RequestError: INVALID_ARGUMENT for a file that is no JPEG or PNG, a broken header, or too many pixels.
    """
    total, cost, largest = 0.0, 0.0, 0.0
    for value in values:
        if not value.startswith(_FIRST_BYTES):
            if name.endswith(IMAGE_INPUT_SUFFIX):
                raise invalid_argument(
                    f"{name!r} must hold whole JPEG or PNG files. Received {len(value)} bytes of something else."
                )
            continue
        pixels = declared_pixels(value)
        if pixels is None:
            if name.endswith(IMAGE_INPUT_SUFFIX):
                raise invalid_argument(f"{name!r} must hold whole image files. Received one with a broken header.")
            continue
        if pixels > limits.max_image_pixels:
            raise invalid_argument(
                f"An image in {name!r} must have at most {limits.max_image_pixels} pixels. "
                f"Received one of {pixels:.0f} by its header. Scale it down."
            )
        total += pixels
        cost += pixels * decoding_passes(value)
        largest = max(largest, pixels)
    if cost > limits.max_request_pixels:
        raise invalid_argument(
            f"The images in {name!r} must take at most {limits.max_request_pixels} pixels together, where every ten "
            f"scans of a JPEG count as its pixels once more. Received {cost:.0f}. Send fewer in a request, or "
            "images that are not progressive."
        )
    return ImageSizes(int(largest), int(total))
