"""Picture files inside the graph: looked at before they are decoded, then fitted as in training. Imports TensorFlow."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf

from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import decode_and_fit, to_float
from tfdvbpr_export.refusing import provided

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_SIZES = (16, 8)  # width and height stand in the first chunk, four bytes each


class Pictures(tf.Module):
    """JPEG and PNG files to floats.

    A file's own header says its size, so that a few bytes which unfold to gigabytes are refused unopened.

    Args:
        image_size: (height, width) in pixels.
        fit: as in training.
        max_pixels: larger pictures are refused.
    """

    def __init__(self, image_size: tuple[int, int], fit: ImageFit, *, max_pixels: int) -> None:
        super().__init__()
        self.image_size, self.max_pixels = image_size, max_pixels
        self._fitted = partial(decode_and_fit, image_size=image_size, fit=fit)

    def __call__(self, files: Any) -> Any:
        """float32 [B, H, W, 3] in [-1, 1] of string [B]."""
        pixels = tf.map_fn(self._decode, files, fn_output_signature=tf.TensorSpec([*self.image_size, 3], tf.uint8))
        return to_float(pixels)

    def _decode(self, file: Any) -> Any:
        is_jpeg = tf.equal(tf.strings.substr(file, 0, len(_JPEG)), _JPEG)
        is_png = tf.equal(tf.strings.substr(file, 0, len(_PNG)), _PNG)
        length = tf.strings.length(file)
        sentence = "`image_bytes` must be whole JPEG or PNG files. Received {} bytes of something else."
        pixels = provided(
            (is_jpeg | is_png) & (length > sum(_PNG_SIZES)),
            sentence,
            length,
            then=lambda: tf.cond(is_jpeg, lambda: _jpeg_pixels(file), lambda: _png_pixels(file)),
        )
        sentence = f"A picture must have at most {self.max_pixels} pixels. Received {{}}."
        return provided(
            (pixels > 0) & (pixels <= self.max_pixels), sentence, pixels, then=lambda: self._fitted(tf.identity(file))
        )


def _jpeg_pixels(file: Any) -> Any:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(file)[:2], tf.int64))


def _png_pixels(file: Any) -> Any:
    sizes = tf.io.decode_raw(tf.strings.substr(file, *_PNG_SIZES), tf.int32, little_endian=False)
    return tf.reduce_prod(tf.cast(sizes, tf.int64))
