"""What a graph refuses: INVALID_ARGUMENT with a sentence. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def provided(condition: Any, sentence: str, *values: Any, then: Callable[[], Any]) -> Any:
    """`then()`, if the condition holds.

    Args:
        condition: bool [].
        sentence: what must hold and what came, with {} for each value.
        *values: tensors or numbers.
        then: builds what must not run before the condition is known to hold.
    """
    told = tf.strings.format(sentence, tuple(values), summarize=16)
    with tf.control_dependencies([tf.debugging.Assert(condition, [told])]):
        return then()
