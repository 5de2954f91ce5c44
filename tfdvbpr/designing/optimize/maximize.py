"""Preference maximisation: gradient ascent on the generator's latents, from several starts.

Pure functions of tensors: the same ones run in-process and in the exported model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import Tastes
from tfdvbpr.designing.optimize.gradient_ascent import climb, in_chunks
from tfdvbpr.designing.optimize.objective import DesignObjective, norm_priors
from tfdvbpr.designing.optimize.selection import chosen, looks
from tfdvbpr.designing.optimize.smoothing import smoothed
from tfdvbpr.designing.options import SMOOTHINGS, DesignOptions

__all__ = ["Ascent", "DesignOptions", "ascend", "frame_steps", "initial_latents", "maximize", "pictures_of"]


class Ascent(NamedTuple):
    """Where rows of latents came to.

    Attributes:
        latents: float32 [R, L], z, as G takes it.
        images: float32 [R, H, W, 3] in [-1, 1].
        figures: float32 [num_steps + 1, 3, R]: preferences, realism logits and objectives after each step, the start
            first.
        path: float32 [num_steps + 1, R, L], z, or None.
    """

    latents: Any
    images: Any
    figures: Any
    path: Any


def initial_latents(seeds: Any, *, num_rows: Any, latent_dim: int, stddev: float) -> Any:
    """z₀ ~ N(0, σ²) from each seed alone, so that a request's answer does not depend on its neighbours in a batch.

    Args:
        seeds: int64 [B].
        num_rows: latents a seed, S; an int or int32 [].
        latent_dim: L.
        stddev: σ.

    Returns:
        float32 [B, S, L].
    """
    static = num_rows if isinstance(num_rows, int) else None
    return tf.map_fn(
        lambda seed: stddev * tf.random.stateless_normal([num_rows, latent_dim], tf.stack([seed, 0])),
        seeds,
        fn_output_signature=tf.TensorSpec([static, latent_dim], tf.float32),
    )


def ascend(
    objective: DesignObjective,
    free: Any,
    tastes: Tastes,
    category_ids: Any,
    *,
    num_steps: Any,
    realism_weight: Any,
    options: DesignOptions,
    keep_path: bool = False,
) -> Ascent:
    """Climbs preference − η · penalty − prior from rows of latents, each by itself.

    Batch normalisation is in inference mode, Adam works coordinate by coordinate, and smoothing changes all rows alike.

    Args:
        objective: G, D, Φ and the realism penalty.
        free: float32 [R, L], where to begin; z, or what tanh is taken of.
        tastes: of matching rows.
        category_ids: int32 [R].
        num_steps: int32 [], or [R].
        realism_weight: η, float32 [], or [R].
        options: step size, smoothing, prior.
        keep_path: whether the latents are kept step by step.
    """
    smoothing = SMOOTHINGS[options.smoothing]

    def worth(rows: Any, images: Any, step: Any = None) -> tuple[Any, tuple[Any, ...]]:
        """What is climbed, which smoothing changes, and the figures of the pictures as they are."""
        logits = objective.realism_logits(images, category_ids)
        priors = options.norm_prior_weight * norm_priors(rows) if options.norm_prior_weight else 0.0

        def value(preferences: Any) -> Any:
            return objective.values(preferences, logits, realism_weight) - priors

        preferences = objective.preferences(images, tastes)
        told = (preferences, logits, value(preferences))
        if step is None or options.smoothing == "none":
            return told[-1], told
        return value(objective.preferences(smoothed(images, step, smoothing), tastes)), told

    def values(rows: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
        return worth(rows, objective.images(objective.latents(rows), category_ids), step)

    last, figures, path = climb(
        values,
        free,
        num_steps=num_steps,
        learning_rate=options.learning_rate,
        num_figures=3,
        keep_path=keep_path,
    )
    images = objective.images(objective.latents(last), category_ids)
    end = tf.stack(worth(last, images)[1])
    figures = tf.concat([figures, end[None]], axis=0)
    return Ascent(objective.latents(last), images, figures, None if path is None else objective.latents(path))


def maximize(
    objective: DesignObjective,
    tastes: Any,
    category_ids: Any,
    seeds: Any,
    *,
    options: DesignOptions,
    latent_dim: int,
    num_steps: Any = None,
    realism_weight: Any = None,
    num_starts: Any = None,
    num_designs: Any = None,
    snapshot_steps: Any = None,
    details: bool = False,
) -> dict[str, Any]:
    """Designs for requests: many starts each, ascended in chunks of `options.chunk_rows`, the best kept.

    Rows are independent of each other, and each request's starts come from its own seed.

    Args:
        objective: G, D, Φ and the realism penalty.
        tastes: of B requests: float32 [B, D], one person each, or a `Tastes`.
        category_ids: int32 [B].
        seeds: int64 [B].
        options: what is not given here.
        latent_dim: L.
        num_steps: int32 [], or [B], each request's own; left out, the options'. T is the largest.
        realism_weight: η, float32 [], or [B]; left out, the options'.
        num_starts: S, int32 []; left out, the options'.
        num_designs: M ≤ S, int32 [], or [B], M being the largest; left out, the options', or all S.
        snapshot_steps: int32 [F], in [0, T]: after which steps pictures are taken.
        details: whether latents, objectives and the history are told too.

    Returns:
        `images` uint8 [B, M, H, W, 3] by falling objective; `preferences`, `realism_logits` and `initial_preferences`
        float32 [B, M] in the same order. With `snapshot_steps`, `frames` uint8 [F, B, M, H, W, 3]. With `details`,
        `latents` float32 [B, M, L], `objectives`, `initial_realism_logits` float32 [B, M], `starts` int32 [B, M],
        `history_preferences`, `history_realism_logits`, `history_objectives` float32 [B, M, T + 1], and with
        `snapshot_steps` too `frame_latents` float32 [F, B, M, L].
    """
    tastes = tastes if isinstance(tastes, Tastes) else Tastes.of(tastes)
    starts = options.num_starts if num_starts is None else num_starts
    kept = next((number for number in (num_designs, options.num_designs) if number is not None), starts)
    steps = tf.convert_to_tensor(options.num_steps if num_steps is None else num_steps, tf.int32)
    eta = tf.convert_to_tensor(options.realism_weight if realism_weight is None else realism_weight, tf.float32)
    first = initial_latents(seeds, num_rows=starts, latent_dim=latent_dim, stddev=options.initial_stddev)
    first = tf.reshape(first, [-1, latent_dim])  # [B·S, L]

    def ascended(rows: Any) -> dict[str, Any]:
        requests = rows // starts
        ascent = ascend(
            objective,
            tf.gather(first, rows),
            tastes.rows(requests),
            tf.gather(category_ids, requests),
            num_steps=_rows_of(steps, requests),
            realism_weight=_rows_of(eta, requests),
            options=options,
            keep_path=snapshot_steps is not None,
        )
        answer = {
            "latents": ascent.latents,
            "images": to_uint8(ascent.images),
            "looks": looks(ascent.images),
            "history": tf.transpose(ascent.figures, [2, 1, 0]),  # [C, 3, num_steps + 1]
        }
        if snapshot_steps is not None:
            answer["frame_latents"] = tf.transpose(tf.gather(ascent.path, snapshot_steps), [1, 0, 2])  # [C, F, L]
        return answer

    picture = objective.generator.output_shape[1:]
    signature = {
        "latents": tf.TensorSpec([None, latent_dim], tf.float32),
        "images": tf.TensorSpec([None, *picture], tf.uint8),
        "looks": tf.TensorSpec([None, None], tf.float32),
        "history": tf.TensorSpec([None, 3, None], tf.float32),
    }
    if snapshot_steps is not None:
        signature["frame_latents"] = tf.TensorSpec([None, None, latent_dim], tf.float32)
    flat = in_chunks(ascended, tf.shape(first)[0], chunk_rows=options.chunk_rows, signature=signature)
    found = {name: _requests(values, starts) for name, values in flat.items()}
    order = chosen(found["history"][:, :, 2, -1], found.pop("looks"), kept, diversity=options.diversity)
    best = {name: tf.gather(values, order, batch_dims=1) for name, values in found.items()}
    return _answer(objective, best, order, category_ids, options=options, details=details)


def _answer(
    objective: DesignObjective, best: dict[str, Any], order: Any, category_ids: Any, *, options: Any, details: bool
) -> dict[str, Any]:
    history = best["history"]
    answer = {
        "images": best["images"],
        "preferences": history[:, :, 0, -1],
        "realism_logits": history[:, :, 1, -1],
        "initial_preferences": history[:, :, 0, 0],
    }
    latents = best.get("frame_latents")  # [B, M, F, L]
    if latents is not None:
        shape = tf.shape(latents)
        rows = tf.reshape(latents, [-1, latents.shape[-1]])
        frames = pictures_of(objective, rows, tf.repeat(category_ids, shape[1] * shape[2]), options.chunk_rows)
        frames = tf.reshape(frames, tf.concat([shape[:3], tf.shape(frames)[1:]], axis=0))
        answer["frames"] = tf.transpose(frames, [2, 0, 1, 3, 4, 5])
    if not details:
        return answer
    if latents is not None:
        answer["frame_latents"] = tf.transpose(latents, [2, 0, 1, 3])
    return {
        **answer,
        "latents": best["latents"],
        "objectives": history[:, :, 2, -1],
        "initial_realism_logits": history[:, :, 1, 0],
        "starts": order,
        "history_preferences": history[:, :, 0],
        "history_realism_logits": history[:, :, 1],
        "history_objectives": history[:, :, 2],
    }


def pictures_of(objective: DesignObjective, latents: Any, category_ids: Any, chunk_rows: int) -> Any:
    """uint8 [R, H, W, 3]: G(z, c) of any number of rows, in chunks."""
    return in_chunks(
        lambda rows: to_uint8(objective.images(tf.gather(latents, rows), tf.gather(category_ids, rows))),
        tf.shape(latents)[0],
        chunk_rows=chunk_rows,
        signature=tf.TensorSpec([None, *objective.generator.output_shape[1:]], tf.uint8),
    )


def frame_steps(num_steps: int, num_frames: int) -> list[int]:
    """The steps after which frames are taken: evenly from 0 to the last; a single one after the last."""
    return [num_steps - round(num_steps * back / max(num_frames - 1, 1)) for back in reversed(range(num_frames))]


def _rows_of(values: Any, requests: Any) -> Any:
    """A scalar as it is, and the rows' own of one value a request."""
    return values if values.shape.rank == 0 else tf.gather(values, requests)


def _requests(flat: Any, starts: Any) -> Any:
    """[B·S, ...] to [B, S, ...]."""
    shape = tf.concat([[-1, starts], tf.shape(flat)[1:]], axis=0)
    rows = tf.reshape(flat, shape)
    static = starts if isinstance(starts, int) else None
    return tf.ensure_shape(rows, [None, static, *flat.shape[1:]])
