"""An existing item back to its latent, and from there toward a taste without ceasing to be that item.

Pure functions of tensors: the same ones run in-process and in the exported model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import Tastes
from tfdvbpr.designing.optimize.gradient_ascent import climb, in_chunks
from tfdvbpr.designing.optimize.maximize import initial_latents
from tfdvbpr.designing.optimize.objective import DesignObjective, norm_priors
from tfdvbpr.designing.optimize.perceptual_features import Perception, distances, pixel_distances
from tfdvbpr.designing.optimize.smoothing import smoothed
from tfdvbpr.designing.options import SMOOTHINGS, TailorOptions

_LAST_RATE = 0.1


def unlikeness(perception: Perception, images: Any, *, pixel_weight: float) -> Callable[[Any], Any]:
    """A function of pictures: how unlike they are to `images`, row by row; float32 [R] ≥ 0.

    Args:
        perception: whose maps are compared.
        images: float32 [R, H, W, 3] in [-1, 1].
        pixel_weight: of the mean squared difference of pixels beside the maps'.
    """
    maps = perception(images)

    def of(others: Any) -> Any:
        return distances(maps, perception(others)) + pixel_weight * pixel_distances(images, others)

    return of


def invert(
    objective: DesignObjective,
    perception: Perception,
    images: Any,
    category_ids: Any,
    seeds: Any,
    *,
    options: TailorOptions,
    latent_dim: int,
    num_steps: Any = None,
) -> dict[str, Any]:
    """The latents whose pictures look most like the given ones.

    Random latents are looked at first; Adam then descends, with a step that falls along a cosine, from the nearest few
    of each picture, and the best end is kept.

    Args:
        objective: holds G.
        perception: what likeness is measured by.
        images: float32 [N, H, W, 3] in [-1, 1], of G's size.
        category_ids: int32 [N].
        seeds: int64 [N], of the candidates.
        options: candidates, starts, steps, weights.
        latent_dim: L.
        num_steps: int32 []; left out, the options'.

    Returns:
        `free` float32 [N, L], what the ascent moves; `latents` float32 [N, L], z; `images` float32 [N, H, W, 3];
        `losses` float32 [N], how unlike they are to the given ones; and `typical` float32 [N], how unlike random
        pictures of the category are on average.
    """
    options_steps = options.invert_steps if num_steps is None else num_steps
    steps = tf.convert_to_tensor(options_steps, tf.int32)
    candidates, starts = options.num_candidates, options.num_starts
    drawn = initial_latents(seeds, num_rows=candidates, latent_dim=latent_dim, stddev=1.0)
    flat = tf.reshape(drawn, [-1, latent_dim])

    def compared(rows: Any) -> Any:
        items = rows // candidates
        fake = objective.images(objective.latents(tf.gather(flat, rows)), tf.gather(category_ids, items))
        return unlikeness(perception, tf.gather(images, items), pixel_weight=options.pixel_weight)(fake)

    losses = _chunked(compared, flat, options, tf.TensorSpec([None], tf.float32))
    losses = tf.reshape(losses, [-1, candidates])
    nearest = tf.math.top_k(-losses, starts).indices
    first = tf.reshape(tf.gather(drawn, nearest, batch_dims=1), [-1, latent_dim])  # [N·starts, L]

    def rate(step: Any) -> Any:
        part = tf.cast(step, tf.float32) / tf.cast(steps, tf.float32)
        fall = _LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + tf.cos(math.pi * part))
        return options.invert_learning_rate * fall

    def descended(rows: Any) -> dict[str, Any]:
        items = rows // starts
        categories = tf.gather(category_ids, items)
        unlike = unlikeness(perception, tf.gather(images, items), pixel_weight=options.pixel_weight)

        def values(free: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
            loss = unlike(objective.images(objective.latents(free), categories))
            return -loss - options.latent_weight * norm_priors(free), (loss,)

        begun = tf.gather(first, rows)
        free, _, _ = climb(values, begun, num_steps=steps, learning_rate=rate, num_figures=1, keep_path=False)
        return {"free": free, "losses": unlike(objective.images(objective.latents(free), categories))}

    signature = {"free": tf.TensorSpec([None, latent_dim], tf.float32), "losses": tf.TensorSpec([None], tf.float32)}
    ends = _chunked(descended, first, options, signature)
    end_losses = tf.reshape(ends["losses"], [-1, starts])
    best = tf.argmin(end_losses, axis=1, output_type=tf.int32)
    free = tf.gather(tf.reshape(ends["free"], [-1, starts, latent_dim]), best, batch_dims=1)
    return {
        "free": free,
        "latents": objective.latents(free),
        "images": objective.images(objective.latents(free), category_ids),
        "losses": tf.reduce_min(end_losses, axis=1),
        "typical": tf.reduce_mean(losses, axis=1),
    }


def tailor(
    objective: DesignObjective,
    perception: Perception,
    free: Any,
    typical: Any,
    tastes: Any,
    category_ids: Any,
    strengths: Any,
    *,
    options: TailorOptions,
    num_steps: Any = None,
    realism_weight: Any = None,
    snapshot_steps: Any = None,
) -> dict[str, Any]:
    """Moves inverted items toward tastes: ascends strength · preference − η · penalty − weight · distance.

    The distance is how unlike the picture is to the item's reconstruction, over how unlike random pictures of the
    category are to the item: at 1 it is another item.

    Args:
        objective: G, D, Φ and the realism penalty.
        perception: what the distance is measured by.
        free: float32 [R, L], from `invert`.
        typical: float32 [R], from `invert`.
        tastes: float32 [R, D] or a `Tastes`; with preferences in standard deviations over the category's real items a
            strength means the same for everybody.
        category_ids: int32 [R].
        strengths: float32 [R] ≥ 0.
        options: steps, weights.
        num_steps: int32 [], or [R]; left out, the options'.
        realism_weight: η, float32 [], or [R]; left out, the options'.
        snapshot_steps: int32 [F]: after which steps pictures are taken.

    Returns:
        `images` uint8 [R, H, W, 3]; `latents` float32 [R, L]; `preferences`, `realism_logits`, `distances`,
        `initial_preferences` and `initial_realism_logits` float32 [R]; `history_preferences` and `history_distances`
        float32 [R, T + 1]; and with `snapshot_steps`, `frames` uint8 [F, R, H, W, 3].
    """
    tastes = tastes if isinstance(tastes, Tastes) else Tastes.of(tastes)
    steps = tf.convert_to_tensor(options.num_steps if num_steps is None else num_steps, tf.int32)
    eta = tf.convert_to_tensor(options.realism_weight if realism_weight is None else realism_weight, tf.float32)
    smoothing = SMOOTHINGS[options.smoothing]

    def moved(rows: Any) -> dict[str, Any]:
        begun, categories, strength = (tf.gather(values, rows) for values in (free, category_ids, strengths))
        own_eta, own_steps = (value if value.shape.rank == 0 else tf.gather(value, rows) for value in (eta, steps))
        own_tastes, usual = tastes.rows(rows), tf.gather(typical, rows)
        item = objective.images(objective.latents(begun), categories)
        unlike = unlikeness(perception, item, pixel_weight=options.pixel_weight)

        def figures(images: Any) -> tuple[Any, Any, Any]:
            logits = objective.realism_logits(images, categories)
            return objective.preferences(images, own_tastes), logits, unlike(images) / usual

        def values(rows_free: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
            images = objective.images(objective.latents(rows_free), categories)
            told = figures(images)
            liked = told[0]
            if options.smoothing != "none":
                liked = objective.preferences(smoothed(images, step, smoothing), own_tastes)
            worth = objective.values(strength * liked, told[1], own_eta) - options.distance_weight * told[2]
            return worth, told

        last, told, path = climb(
            values,
            begun,
            num_steps=own_steps,
            learning_rate=options.learning_rate,
            num_figures=3,
            keep_path=snapshot_steps is not None,
        )
        images = objective.images(objective.latents(last), categories)
        told = tf.concat([told, tf.stack(figures(images))[None]], axis=0)
        answer = {
            "images": to_uint8(images),
            "latents": objective.latents(last),
            "history": tf.transpose(told, [2, 1, 0]),
        }
        if snapshot_steps is not None:
            taken = objective.latents(tf.gather(path, snapshot_steps))
            frames = tf.map_fn(
                lambda latents: to_uint8(objective.images(latents, categories)),
                taken,
                fn_output_signature=tf.TensorSpec([None, *objective.generator.output_shape[1:]], tf.uint8),
            )
            answer["frames"] = tf.transpose(frames, [1, 0, 2, 3, 4])
        return answer

    picture = objective.generator.output_shape[1:]
    signature = {
        "images": tf.TensorSpec([None, *picture], tf.uint8),
        "latents": tf.TensorSpec([None, free.shape[1]], tf.float32),
        "history": tf.TensorSpec([None, 3, None], tf.float32),
    }
    if snapshot_steps is not None:
        signature["frames"] = tf.TensorSpec([None, None, *picture], tf.uint8)
    found = _chunked(moved, free, options, signature)
    history = found.pop("history")
    if snapshot_steps is not None:
        found["frames"] = tf.transpose(found["frames"], [1, 0, 2, 3, 4])
    return {
        **found,
        "preferences": history[:, 0, -1],
        "realism_logits": history[:, 1, -1],
        "distances": history[:, 2, -1],
        "initial_preferences": history[:, 0, 0],
        "initial_realism_logits": history[:, 1, 0],
        "history_preferences": history[:, 0],
        "history_distances": history[:, 2],
    }


def _chunked(function: Any, rows: Any, options: TailorOptions, signature: Any) -> Any:
    return in_chunks(function, tf.shape(rows)[0], chunk_rows=options.chunk_rows, signature=signature)
