"""Checks, decodes and fits images to a size, and converts uint8 to [-1, 1] and back.

One implementation in TensorFlow ops serves preparation, training and the exported graph, so that a served image has
exactly the pixels that the network was trained on.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tfdvbpr.data import ImageFit

MAX_PIXELS = 50_000_000
_JPEG_QUALITY = 95
_GLANCE = (16, 16)  # pixels
_SAME_COLOUR = 4  # tones of 255, what a JPEG file makes of a plain area
_COMPILING = threading.Lock()


class BrokenImageError(ValueError):
    """An image that cannot be used; the message is the quarantine's reason."""


@dataclass(frozen=True)
class ImageFacts:
    """What an image file says of itself: sides in pixels, and whether it has one colour only."""

    width: int
    height: int
    blank: bool


def checked_jpeg(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Checks an image file and returns it as JPEG bytes.

    An RGB or grey JPEG is kept byte for byte. Anything else (PNG, WebP, palette, CMYK, an EXIF rotation) is decoded,
    turned upright, laid on white where transparent, and stored as a JPEG of quality 95.

    Args:
        max_pixels: the largest width × height; read from the header, before anything is decoded.

    Raises:
        BrokenImageError: if the bytes are empty, not an image, truncated or larger than `max_pixels`.
    """
    return inspected_jpeg(data, max_pixels=max_pixels)[0]


def inspected_jpeg(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[bytes, ImageFacts]:
    """As `checked_jpeg`, and what the image is like."""
    if not data:
        raise BrokenImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; the limit below is ours
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > max_pixels:
                    raise BrokenImageError(
                        f"{image.width}x{image.height} pixels is more than the limit of {max_pixels} (--max-pixels)"
                    )
                plain = image.format == "JPEG" and image.mode in ("RGB", "L")
                upright = image.getexif().get(0x0112, 1) in (0, 1)
                image.load()
                if plain and upright:
                    return data, _facts(image)
                shown = _on_white(ImageOps.exif_transpose(image))
                return _encode_jpeg(shown), _facts(shown)
    except BrokenImageError:
        raise
    except UnidentifiedImageError:
        raise BrokenImageError("not an image in a known format") from None
    except Image.DecompressionBombError as error:
        raise BrokenImageError(f"larger than the limit of {max_pixels} pixels: {error}") from None
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise BrokenImageError(f"cannot be decoded: {error}") from None


def _facts(image: Image.Image) -> ImageFacts:
    # A few pixels first: nearly every image has two colours among them.
    blank = _has_one_colour(image.resize(_GLANCE, Image.Resampling.NEAREST)) and _has_one_colour(image)
    return ImageFacts(image.width, image.height, blank)


def _has_one_colour(image: Image.Image) -> bool:
    extrema: Any = image.getextrema()
    channels = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(high - low <= _SAME_COLOUR for low, high in channels)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit tones at 255, which leaves white
        return Image.fromarray((np.asarray(image) / 257.0).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BrokenImageError("its 32-bit tones have no defined range; store it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, image).convert("RGB")
    return image.convert("RGB")


def _encode_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_and_fit(data: Any, *, image_size: tuple[int, int], fit: ImageFit) -> Any:
    """Decodes a JPEG or PNG and fits it to a size, in graph ops.

    Args:
        data: string scalar tensor, a whole image file.
        image_size: (height, width) in pixels.
        fit: "pad" keeps the whole image on white, "crop" fills the frame from the centre, "squash" ignores the
            aspect.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    import tensorflow as tf

    height, width = image_size
    decoded = tf.io.decode_image(data, channels=3, expand_animations=False)
    decoded.set_shape([None, None, 3])
    fits = tf.reduce_all(tf.equal(tf.shape(decoded)[:2], image_size))
    # Resizing to the same size would change nothing, and takes time.
    fitted = tf.cond(fits, lambda: decoded, lambda: _fitted(decoded, height, width, fit))
    return tf.ensure_shape(fitted, [height, width, 3])


def _fitted(decoded: Any, height: int, width: int, fit: ImageFit) -> Any:
    import tensorflow as tf

    if fit == "squash":
        resized = tf.image.resize(decoded, (height, width), antialias=True)
    else:
        size = tf.cast(tf.shape(decoded)[:2], tf.float32)
        ratios = tf.constant([height, width], tf.float32) / size
        scale = tf.reduce_min(ratios) if fit == "pad" else tf.reduce_max(ratios)
        new_size = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), 1)
        resized = tf.image.resize(decoded, new_size, antialias=True)
        # 255 minus the image, so that the zeros of the padding become white.
        resized = 255.0 - tf.image.resize_with_crop_or_pad(255.0 - resized, height, width)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def decoder(image_size: tuple[int, int], fit: ImageFit) -> Callable[[bytes], Any]:
    """`decode_and_fit` compiled once for a size and a fit; call it with a file's bytes from any thread."""
    with _COMPILING:  # `cache` alone would let each of the first threads trace its own
        return _decoder(image_size, fit)


@cache
def _decoder(image_size: tuple[int, int], fit: ImageFit) -> Callable[[bytes], Any]:
    import tensorflow as tf

    signature = [tf.TensorSpec([], tf.string)]
    function = tf.function(partial(decode_and_fit, image_size=image_size, fit=fit), input_signature=signature)
    traced = function.get_concrete_function()
    return lambda data: traced(tf.constant(data))


def to_float(images_uint8: Any) -> Any:
    """uint8 [..., 3] in 0..255 to float32 in [-1, 1]."""
    import tensorflow as tf

    return tf.cast(images_uint8, tf.float32) / 127.5 - 1.0


def to_uint8(images: Any) -> Any:
    """float32 [..., 3] in [-1, 1] to uint8 in 0..255, rounded."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)
