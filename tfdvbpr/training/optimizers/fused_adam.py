"""Adam for large weights: one pass over each, where Keras makes a dozen."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, computed by TensorFlow's own kernel.

    The formula is the same to the last bits. An update of weights is bound by memory: CNN-F has 80 million, and Keras'
    form reads and writes temporaries of their size where the kernel reads w, m, v and the gradient once and writes
    three of them. Takes the arguments of Keras' Adam; `amsgrad` is not among them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.amsgrad:
            raise ValueError("`amsgrad` must be false: there is no kernel for it. Take Keras' own Adam.")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step; called by Keras for each copy of it."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
