"""Adam whose moving averages forget their beginning."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


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
