"""What training changes, as named arrays and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.errors import RunError
from tfdvbpr.training.checkpoints.file import Arrays


def variables(trackables: Mapping[str, Any]) -> dict[str, Any]:
    """Every variable once, by the name of what holds it and its number there.

    Args:
        trackables: models and optimizers that are built, lists of variables, or variables.
    """
    found: dict[str, Any] = {}
    met: set[int] = set()
    for name, holder in trackables.items():
        for number, variable in enumerate(_held(holder)):
            variable = getattr(variable, "value", variable) if hasattr(variable, "path") else variable
            if id(variable) not in met:
                met.add(id(variable))
                found[f"{name}/{number}"] = variable
    return found


def _held(holder: Any) -> Iterator[Any]:
    if isinstance(holder, list | tuple):
        for each in holder:
            yield from _held(each)
    elif hasattr(holder, "variables"):
        yield from holder.variables
    else:
        yield holder


def values(named: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The variables' values now.

    Raises:
        FloatingPointError: if one is not finite.
    """
    arrays = {name: np.asarray(variable.numpy()) for name, variable in named.items()}
    for name, array in arrays.items():
        if array.dtype.kind in "fV" and not np.isfinite(array).all():
            raise FloatingPointError(
                f"Every weight must stay finite. {named[name].name} is not. Lower the learning rate, or set clip_norm."
            )
    return arrays


def assign(named: Mapping[str, Any], arrays: Arrays) -> None:
    """Puts values back into the variables they were taken from.

    Raises:
        RunError: if they are another model's.
    """
    for name, variable in named.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise RunError(
                f"A checkpoint must fit the model. It has no {name} of shape {tuple(variable.shape)}: another version "
                "of the library wrote it. Train anew with --restart."
            )
        array = arrays[name]
        # NumPy's files know bfloat16 by its size alone.
        variable.assign(array.view(variable.dtype.as_numpy_dtype) if array.dtype.kind == "V" else array)
