"""What recommenders' optimizers are made of: step sizes over time, clipping, moving averages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.config import RecommenderConfig


@keras.saving.register_keras_serializable("tfdvbpr")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line to what another schedule says, then follows it from its beginning.

    Args:
        after: the other schedule, or a number.
        steps: over which it rises; the first step is made with 1/steps of the rate.
    """

    def __init__(self, after: Any, steps: int) -> None:
        super().__init__()
        self.after = after
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        later = self.after(tf.maximum(step - self.steps, 0.0)) if callable(self.after) else self.after
        return tf.cast(later, tf.float32) * tf.minimum((step + 1.0) / self.steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make it again."""
        return {"after": keras.saving.serialize_keras_object(self.after), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> WarmUp:
        """Made again."""
        return cls(keras.saving.deserialize_keras_object(config["after"]), config["steps"])


def learning_rate(config: RecommenderConfig, rate: float, *, steps_per_epoch: int) -> Any:
    """The step size over time: a Keras schedule, or a number where it stays.

    Args:
        config: `schedule` and its fields, `epochs`, `warmup_steps`.
        rate: the largest.
        steps_per_epoch: to turn epochs into steps.
    """
    schedules = keras.optimizers.schedules
    steps = max(config.epochs * steps_per_epoch - config.warmup_steps, 1)
    falls = config.decay_epochs * steps_per_epoch
    chosen: Any = rate
    if config.schedule == "cosine":
        chosen = schedules.CosineDecay(rate, steps, alpha=config.final_learning_rate)
    elif config.schedule != "constant":
        chosen = schedules.ExponentialDecay(rate, falls, config.decay_rate, staircase=config.schedule == "step")
    return WarmUp(chosen, config.warmup_steps) if config.warmup_steps else chosen


def make_adam(config: RecommenderConfig, kind: Any, rate: float, *, steps_per_epoch: int) -> Any:
    """Adam, or a class like it, with the configuration's schedule, ε and moving averages; see `learning_rate`."""
    average = config.average_decay
    return kind(
        learning_rate(config, rate, steps_per_epoch=steps_per_epoch),
        epsilon=config.adam_epsilon,
        use_ema=average > 0,
        ema_momentum=average or None,
    )


def clip_gradients(gradients: Sequence[Any], clip_norm: Any) -> list[Any]:
    """Shares of the gradient, scaled so that their sum over the replicas has at most a norm of `clip_norm`.

    Keras's `global_clipnorm` looks at each replica's share by itself, which depends on how many replicas there are.

    Args:
        gradients: this replica's, of every weight, dense or `tf.IndexedSlices`.
        clip_norm: the largest norm, a number or a scalar.
    """
    context = tf.distribute.get_replica_context()
    whole = [tf.convert_to_tensor(gradient) for gradient in gradients]
    if context.num_replicas_in_sync > 1:
        whole = context.all_reduce(tf.distribute.ReduceOp.SUM, whole)
    scale = clip_norm / tf.maximum(tf.linalg.global_norm(whole), clip_norm)
    return [_scaled(gradient, scale) for gradient in gradients]


def _scaled(gradient: Any, scale: Any) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


@contextmanager
def averages_in_place(pairs: Sequence[tuple[Any, Sequence[Any]]]) -> Iterator[None]:
    """Puts moving averages in the weights' place for the length of the block, as far as an optimizer has them.

    Args:
        pairs: optimizers and the variables they were built with.
    """
    kept = [(variable, variable.value.numpy()) for optimizer, those in pairs if optimizer.use_ema for variable in those]
    for optimizer, those in pairs:
        if optimizer.use_ema:
            optimizer.finalize_variable_values(those)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)
