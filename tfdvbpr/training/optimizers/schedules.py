"""Step sizes over time, and moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from tfdvbpr.config import RecommenderConfig


def make_adam(config: RecommenderConfig, kind: Any, rate: float, *, steps_per_epoch: int) -> Any:
    """Adam, or a class like it, with a step size that falls from `rate` by a cosine (Loshchilov and Hutter 2017).

    Args:
        config: `epochs`, `final_learning_rate`, `adam_epsilon` and `average_decay`.
        kind: the class.
        rate: the first and largest step size.
        steps_per_epoch: steps of an epoch.
    """
    steps = config.epochs * steps_per_epoch
    average = config.average_decay
    return kind(
        keras.optimizers.schedules.CosineDecay(rate, steps, alpha=config.final_learning_rate),
        epsilon=config.adam_epsilon,
        use_ema=average > 0,
        ema_momentum=average or None,
    )


@keras.saving.register_keras_serializable(package="tfdvbpr")
class AveragingAdam(keras.optimizers.Adam):
    """Keras's Adam with a decay of its moving averages that rises with the steps t: min(decay, (1 + t)/(10 + t)).

    A constant decay would keep half of the random first weights for ln 2/(1 - decay) steps, most of a short training.
    """

    @property
    def ema_momentum(self) -> Any:
        """The decay at this step, which Keras reads once a step."""
        if self._decay is None:
            return None
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._decay, (1.0 + step) / (10.0 + step))

    @ema_momentum.setter
    def ema_momentum(self, decay: float | None) -> None:
        self._decay = decay

    def get_config(self) -> dict[str, Any]:
        """Arguments to make it again."""
        return {**super().get_config(), "ema_momentum": self._decay}


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
