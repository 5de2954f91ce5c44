"""What requests for pictures ask, checked, and what answers with pictures hold. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdvbpr_export.refusing import provided

NAN = float("nan")


def numbers_or(name: str, values: Any, default: int, most: int) -> Any:
    """int32 [B]: the default where 0 is asked for, and at most so many."""
    sentence = f"`{name}` must be 0 (for the default) or more in every row. Received {{}}."
    asked = provided(tf.reduce_all(values >= 0), sentence, values, then=lambda: tf.identity(values))
    return tf.minimum(tf.where(tf.equal(asked, 0), default, asked), most)


def weights_or(name: str, values: Any, default: float) -> Any:
    """float32 [B]: the default where below 0."""
    finite = tf.reduce_all(tf.math.is_finite(values))
    sentence = f"`{name}` must be finite in every row. Received {{}}."
    return provided(finite, sentence, values, then=lambda: tf.where(values < 0, default, values))


def png_files(images_uint8: Any) -> Any:
    """string [N] of uint8 [N, H, W, 3]."""
    return tf.map_fn(tf.io.encode_png, images_uint8, fn_output_signature=tf.TensorSpec([], tf.string))


def up_to(counts: Any, answer: dict[str, Any], *, rows_only: bool = False) -> dict[str, Any]:
    """The outputs with "" and NaN (0 of whole numbers) from each row's own count of columns on.

    Args:
        counts: int32 [B].
        answer: tensors of [B, M, ...], and of [B], which stay.
        rows_only: all tensors are of [B, ...], and a row is kept where its count is not 0.
    """

    def cut(values: Any) -> Any:
        if rows_only:
            own = tf.reshape(counts > 0, tf.concat([tf.shape(counts), tf.ones([values.shape.rank - 1], tf.int32)], 0))
        elif values.shape.rank < 2:
            return values
        else:
            own = tf.range(tf.shape(values)[1]) < counts[:, None]
            own = tf.reshape(own, tf.concat([tf.shape(own), tf.ones([values.shape.rank - 2], tf.int32)], 0))
        empty = {tf.string: "", tf.int32: 0}.get(values.dtype, NAN)
        return tf.where(own, values, empty)

    return {name: cut(values) for name, values in answer.items()}
