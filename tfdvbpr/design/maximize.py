"""Preference maximisation: gradient ascent on the generator's latents, from several starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images import to_uint8
from tfdvbpr.design.objective import DesignObjective
from tfdvbpr.errors import ConfigError

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


@dataclass(frozen=True)
class DesignOptions:
    """How far and from where to climb. Defaults follow the authors' code, but for the number of steps (theirs: 10).

    Attributes:
        num_starts: latents a request begins from; every one is returned, best first.
        num_steps: steps of Adam.
        learning_rate: of Adam, on z alone; its state is fresh for every request, which the authors' is not.
        initial_stddev: z₀ ~ N(0, σ²).
        realism_weight: η.
    """

    num_starts: int = 16
    num_steps: int = 40
    learning_rate: float = 0.05
    initial_stddev: float = 0.5
    realism_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("num_starts", "num_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1. Received {getattr(self, name)}.")
        for name in ("learning_rate", "initial_stddev"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` must be above 0. Received {getattr(self, name)}.")
        if self.realism_weight < 0:
            raise ConfigError(f"`realism_weight` must not be negative. Received {self.realism_weight}.")


def initial_latents(seeds: Any, *, num_rows: int, latent_dim: int, stddev: float) -> Any:
    """z₀ ~ N(0, σ²) from each seed alone, so that a request's answer does not depend on its neighbours in a batch.

    Args:
        seeds: int64 [B].
        num_rows: latents a seed, S.
        latent_dim: L.
        stddev: σ.

    Returns:
        float32 [B, S, L].
    """
    return tf.map_fn(
        lambda seed: stddev * tf.random.stateless_normal([num_rows, latent_dim], tf.stack([seed, 0])),
        seeds,
        fn_output_signature=tf.TensorSpec([num_rows, latent_dim], tf.float32),
    )


def maximize(
    objective: DesignObjective,
    user_embeddings: Any,
    category_ids: Any,
    seeds: Any,
    *,
    options: DesignOptions,
    latent_dim: int,
    num_frames: int = 0,
) -> dict[str, Any]:
    """Designs for users, in graph ops: the same function runs in-process and in the exported model.

    Rows are independent of each other: batch normalisation is in inference mode, Adam works coordinate by coordinate,
    and each request's starts come from its own seed.

    Args:
        objective: preference and realism.
        user_embeddings: float32 [B, D].
        category_ids: int32 [B].
        seeds: int64 [B].
        options: starts, steps, step size.
        latent_dim: L.
        num_frames: if above 0, that many pictures from the start to the end are kept.

    Returns:
        `images` uint8 [B, S, H, W, 3] by falling objective, `preferences`, `realism_logits`, `initial_preferences`
        float32 [B, S] in the same order, and `frames` uint8 [F, B, S, H, W, 3] if asked for.
    """
    starts = options.num_starts
    users = tf.repeat(user_embeddings, starts, axis=0)  # [B·S, D]
    categories = tf.repeat(category_ids, starts, axis=0)  # [B·S]
    first = initial_latents(seeds, num_rows=starts, latent_dim=latent_dim, stddev=options.initial_stddev)
    first = tf.reshape(first, [-1, latent_dim])
    path = _ascend(objective, first, users, categories, options)
    initial = objective.preferences(objective.images(first, categories), users)
    images = objective.images(path[-1], categories)
    preferences = objective.preferences(images, users)
    logits = objective.realism_logits(images, categories)
    order = tf.argsort(_rows(objective.values(preferences, logits), starts), direction="DESCENDING", stable=True)

    def ranked(flat: Any) -> Any:
        return tf.gather(_rows(flat, starts), order, batch_dims=1)

    answer = {
        "images": ranked(to_uint8(images)),
        "preferences": ranked(preferences),
        "realism_logits": ranked(logits),
        "initial_preferences": ranked(initial),
    }
    if num_frames > 0:
        answer["frames"] = tf.map_fn(
            lambda latents: ranked(to_uint8(objective.images(latents, categories))),
            tf.gather(path, frame_steps(options.num_steps, num_frames)),
            fn_output_signature=tf.uint8,
        )
    return answer


def frame_steps(num_steps: int, num_frames: int) -> list[int]:
    """The steps after which frames are taken: evenly from 0 to the last; a single one after the last."""
    return [num_steps - round(num_steps * back / max(num_frames - 1, 1)) for back in reversed(range(num_frames))]


def _ascend(objective: DesignObjective, first: Any, users: Any, categories: Any, options: DesignOptions) -> Any:
    """Adam (Kingma & Ba 2015) on flat rows of latents: float32 [num_steps + 1, R, L], where it came by."""

    def step(number: Any, latents: Any, mean: Any, square: Any, path: Any) -> tuple[Any, ...]:
        with tf.GradientTape() as tape:
            tape.watch(latents)
            images = objective.images(latents, categories)
            values = objective.values(
                objective.preferences(images, users), objective.realism_logits(images, categories)
            )
        gradient = tape.gradient(values, latents)
        mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
        square = _BETA_2 * square + (1.0 - _BETA_2) * tf.square(gradient)
        count = tf.cast(number + 1, tf.float32)
        corrected = tf.sqrt(square / (1.0 - tf.pow(_BETA_2, count))) + _EPSILON
        latents += options.learning_rate * mean / (1.0 - tf.pow(_BETA_1, count)) / corrected
        return number + 1, latents, mean, square, path.write(number + 1, latents)

    path = tf.TensorArray(tf.float32, size=options.num_steps + 1).write(0, first)
    state = (tf.constant(0), first, tf.zeros_like(first), tf.zeros_like(first), path)
    *_, path = tf.while_loop(lambda number, *_: number < options.num_steps, step, state)
    return path.stack()


def _rows(flat: Any, starts: int) -> Any:
    """[B·S, ...] to [B, S, ...]."""
    return tf.reshape(flat, tf.concat([[-1, starts], tf.shape(flat)[1:]], axis=0))
