"""Moves a generator's latents to where they are wanted, at no cost when it draws."""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt


def fold_latents(generator: keras.Model, mean: npt.NDArray[Any], factor: npt.NDArray[Any]) -> None:
    """Makes G(z, c) draw what G(mean + factor z, c) drew, by changing the dense layers that z enters.

    With kernel K and bias b there, (mean + F z) K + b = z (Fᵀ K) + (b + mean K), for rows z and K's rows that z meets.

    Args:
        generator: one of GENERATORS whose latents are not bounded: z stands first in what its dense layers see.
        mean: float [latent_dim].
        factor: float [latent_dim, latent_dim].

    Raises:
        ValueError: if no dense layer sees z as it comes.
    """
    latents = generator.input["latents"]
    joined = [layer for layer in generator.layers if isinstance(layer, keras.layers.Concatenate)]
    doors = [layer.output for layer in joined if layer.input[0] is latents]
    entered = [
        layer
        for layer in generator.layers
        if isinstance(layer, keras.layers.Dense) and any(layer.input is door for door in doors)
    ]
    if not entered:
        raise ValueError(f"A dense layer of `generator` must see z as it comes. None of {generator.name}'s does.")
    for layer in entered:
        kernel = layer.kernel.numpy()
        rows = kernel[: len(mean)].astype("float64")
        kernel[: len(mean)] = factor.T @ rows
        layer.bias.assign(layer.bias.numpy() + mean @ rows)
        layer.kernel.assign(kernel)
