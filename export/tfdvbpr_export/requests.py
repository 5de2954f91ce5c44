"""Parts of a served graph that deal with a request: checks, defaults, image files, masked answers. Imports TensorFlow.

`filled` and `example_image` make the example requests that warm a server up and validate a version.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import decode_and_fit, to_float
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.options import MAX_PIXELS

Request = Mapping[str, Any]
UNKNOWN_ID = "no-such-id-\u2603"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_SIZES = (16, 8)  # width and height are in the first chunk, four bytes each
_EMPTY: Mapping[Any, Any] = {tf.string: "", tf.int32: 0, tf.float32: float("nan")}


def require(condition: Any, sentence: str, *values: Any, then: Callable[[], Any]) -> Any:
    """`then()` if the condition, bool [], holds; else the graph fails with INVALID_ARGUMENT and the sentence.

    The sentence has {} for each of the values. `then` builds what must not run before the condition is known to hold.
    """
    message = tf.strings.format(sentence, tuple(values), summarize=16)
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return then()


def counts_or(name: str, values: Any, default: int, most: int) -> Any:
    """int32 [B]: the default where a request has 0, and at most `most`; below 0 is refused."""
    sentence = f"`{name}` must be 0 (for the default) or more in every row. Received {{}}."
    checked = require(tf.reduce_all(values >= 0), sentence, values, then=lambda: tf.identity(values))
    return tf.minimum(tf.where(tf.equal(checked, 0), default, checked), most)


def weights_or(name: str, values: Any, default: float) -> Any:
    """float32 [B]: the default where a request is below 0; NaN and infinity are refused."""
    finite = tf.reduce_all(tf.math.is_finite(values))
    sentence = f"`{name}` must be finite in every row. Received {{}}."
    return require(finite, sentence, values, then=lambda: tf.where(values < 0, default, values))


def masked(answer: Mapping[str, Any], mask: Any) -> dict[str, Any]:
    """The outputs with "", NaN or 0 where the mask, bool [B] or [B, M], is False.

    Tensors of fewer dimensions than the mask stay as they are.
    """

    def cut(values: Any) -> Any:
        more = values.shape.rank - mask.shape.rank
        if more < 0:
            return values
        own = tf.reshape(mask, tf.concat([tf.shape(mask), tf.ones([more], tf.int32)], 0))
        return tf.where(own, values, _EMPTY[values.dtype])

    return {name: cut(values) for name, values in answer.items()}


def of_rows(
    wanted: Any,
    compute: Callable[[dict[str, Any]], dict[str, Any]],
    inputs: Mapping[str, Any],
    empty: Mapping[str, Any],
) -> dict[str, Any]:
    """`compute` of the rows of a request where `wanted`, bool [B], holds; it does not run if there is none.

    Args:
        wanted: bool [B].
        compute: from inputs to outputs, each with a row for a row.
        inputs: tensors [B, ...] by name.
        empty: the outputs if no row is wanted, [B, ...].

    Returns:
        The outputs, [B, ...]; rows that are not wanted hold those of others, and are to be masked.
    """

    def computed() -> dict[str, Any]:
        chosen = tf.where(wanted)[:, 0]
        outputs = compute({name: tf.gather(values, chosen) for name, values in inputs.items()})
        places = tf.maximum(tf.cumsum(tf.cast(wanted, tf.int32)) - 1, 0)
        return {name: tf.gather(values, places) for name, values in outputs.items()}

    outputs: dict[str, Any] = tf.cond(tf.reduce_any(wanted), computed, lambda: dict(empty))
    return outputs


def png_files(images_uint8: Any) -> Any:
    """string [N] of uint8 [N, H, W, 3]."""
    return tf.map_fn(tf.io.encode_png, images_uint8, fn_output_signature=tf.TensorSpec([], tf.string))


class ImageFiles(tf.Module):
    """Decodes JPEG and PNG files of a request as training does.

    A file's own header has its size, so that a few bytes which unfold to gigabytes are refused undecoded.
    """

    def __init__(self, image_size: tuple[int, int], fit: ImageFit) -> None:
        super().__init__()
        self.image_size = image_size
        self._fitted = partial(decode_and_fit, image_size=image_size, fit=fit)

    def __call__(self, files: Any) -> Any:
        """float32 [B, H, W, 3] in [-1, 1] of string [B]."""
        pixels = tf.map_fn(self._decode, files, fn_output_signature=tf.TensorSpec([*self.image_size, 3], tf.uint8))
        return to_float(pixels)

    def _decode(self, file: Any) -> Any:
        is_jpeg = tf.equal(tf.strings.substr(file, 0, len(_JPEG)), _JPEG)
        is_png = tf.equal(tf.strings.substr(file, 0, len(_PNG)), _PNG)
        length = tf.strings.length(file)
        pixels = require(
            (is_jpeg | is_png) & (length > sum(_PNG_SIZES)),
            "`image_bytes` must be whole JPEG or PNG files. Received {} bytes of something else.",
            length,
            then=lambda: tf.cond(is_jpeg, lambda: _jpeg_pixels(file), lambda: _png_pixels(file)),
        )
        sentence = f"`image_bytes` must be images of at most {MAX_PIXELS} pixels. Received {{}}."
        small = (pixels > 0) & (pixels <= MAX_PIXELS)
        return require(small, sentence, pixels, then=lambda: self._fitted(tf.identity(file)))


def _jpeg_pixels(file: Any) -> Any:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(file)[:2], tf.int64))


def _png_pixels(file: Any) -> Any:
    sizes = tf.io.decode_raw(tf.strings.substr(file, *_PNG_SIZES), tf.int32, little_endian=False)
    return tf.reduce_prod(tf.cast(sizes, tf.int64))


def filled(signature: str, **given: Any) -> dict[str, Any]:
    """A request with neutral values for every input that is not given."""
    num_rows = len(next(iter(given.values())))
    inputs = SIGNATURES[signature].inputs
    return {name: given[name] if name in given else SIGNATURES[signature].neutral(name, num_rows) for name in inputs}


def example_ids(ids: Sequence[str], most: int = 4) -> list[str]:
    """Up to `most` of the ids, evenly spaced, the first and the last among them."""
    return [ids[row] for row in sorted({round(place) for place in np.linspace(0, len(ids) - 1, min(most, len(ids)))})]


def example_image(image_size: tuple[int, int], kind: str) -> bytes:
    """An image file with colour gradients; the same at each call."""
    height, width = image_size
    rows, columns = np.linspace(0, 255, height)[:, None], np.linspace(255, 0, width)[None, :]
    pixels = np.stack(np.broadcast_arrays(rows, columns, (rows + columns) / 2), axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
