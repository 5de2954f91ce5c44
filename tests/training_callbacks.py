"""Callbacks that tests give to trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class BeforeStep(keras.callbacks.Callback):
    """Calls `act` before a step, counted over all epochs."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        super().__init__()
        self._step, self._act = step, act

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.params["progress"].total_steps == self._step:
            self._act()


class PulledPlugError(Exception):
    pass


def pull_the_plug_before(step: int) -> keras.callbacks.Callback:
    def pull() -> None:
        raise PulledPlugError

    return BeforeStep(step, pull)
