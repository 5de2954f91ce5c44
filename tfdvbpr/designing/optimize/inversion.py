"""GAN inversion by perceptual features, and gradient ascent from an item's latents toward a preference.

Pure functions of tensors: the same ones run in-process and in the exported model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.optimize.adam import adam_ascent
from tfdvbpr.designing.optimize.gradient_ascent import CHUNK_ROWS, in_chunks, initial_latents
from tfdvbpr.designing.optimize.kept import distances_kept
from tfdvbpr.designing.optimize.objective import DesignObjective, as_audience
from tfdvbpr.designing.options import TailorOptions
from tfdvbpr.models.backbones.base import without_head

_INVERT_RATE, _LAST_RATE = 0.1, 0.1  # Adam's step size, and the part of it that a cosine leaves at the end
_LATENT_WEIGHT = 0.01  # of ½‖z‖²/L while an item's latents are sought
_TAILOR_RATE = 0.05
_DISTANCE_WEIGHT = 4.0
_KEPT_WEIGHT = 20.0
_PIXEL_WEIGHT = 1.0
_EPSILON = 1e-8
_LEAST_CELLS = 2


class PerceptualFeatures:
    """Feature maps of a convolutional network, one of each size, the channels of each cell normalised to length 1.

    Their mean squared distance agrees with perceived similarity better than that of pixels does (LPIPS, Zhang et
    al. 2018, here without its trained weights: every map counts the same).

    Args:
        network: a functional Keras model of images, float32 [B, H, W, 3] in [-1, 1]; the last map of each size
            between 2 cells and half the image is taken.
    """

    def __init__(self, network: keras.Model) -> None:
        found = feature_layers(network)
        self._size = tuple(network.input_shape[1:3])
        self._network = keras.Model(network.inputs, [layer.output for layer in found])
        self.weights = [weight.value for weight in self._network.weights]

    @classmethod
    def of_backbone(cls, backbone: keras.Model) -> PerceptualFeatures:
        """The features of a recommender's own backbone."""
        return cls(without_head(backbone))

    def __call__(self, images: Any) -> list[Any]:
        """float32 [B, h, w, C] maps, from large to small, of images float32 [B, H, W, 3], resized bilinearly."""
        if tuple(images.shape[1:3]) != self._size:
            images = tf.image.resize(images, self._size, antialias=True)
        maps = self._network(images, training=False)
        return [part * tf.math.rsqrt(tf.reduce_sum(part**2, axis=3, keepdims=True) + _EPSILON) for part in maps]

    def distance_to(self, images: Any) -> Callable[[Any], Any]:
        """A function of images, float32 [R, H, W, 3]: their distances to `images`, row by row, float32 [R] ≥ 0.

        The distance is that of the feature maps plus the mean squared difference of the pixels.
        """
        maps = self(images)
        return lambda others: feature_distances(maps, self(others)) + _PIXEL_WEIGHT * pixel_distances(images, others)


def feature_distances(first: list[Any], second: list[Any]) -> Any:
    """float32 [B]: mean over maps of the mean over cells of squared distances; 0 for equal maps, 2 for orthogonal."""
    apart = [
        tf.reduce_mean(tf.reduce_sum(tf.square(one - other), axis=3), axis=(1, 2))
        for one, other in zip(first, second, strict=True)
    ]
    return tf.add_n(apart) / len(apart)


def pixel_distances(first: Any, second: Any) -> Any:
    """float32 [B]: mean squared differences of images in [-1, 1]."""
    return tf.reduce_mean(tf.square(first - second), axis=(1, 2, 3))


def feature_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The last layer of each map size after the first convolution, from large to small; below 2 cells left out."""
    height, _ = network.input_shape[1:3]
    last: dict[tuple[int, int], keras.layers.Layer] = {}
    convolved = False
    for layer in network.layers:
        convolved = convolved or isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
        shape: tuple[int, ...] = tuple(getattr(layer.output, "shape", ()))
        if convolved and len(shape) == 4 and min(shape[1:3]) >= _LEAST_CELLS and shape[1] <= height // 2:
            last[(shape[1], shape[2])] = layer
    return [last[size] for size in sorted(last, reverse=True)]


def invert(
    objective: DesignObjective,
    features: PerceptualFeatures,
    images: Any,
    category_ids: Any,
    seeds: Any,
    *,
    options: TailorOptions,
    latent_dim: int,
) -> dict[str, Any]:
    """The latents whose generated images are nearest to the given ones.

    Optimisation-based inversion (Zhu et al. 2016): among random latents the nearest few of each image are chosen; from
    them Adam descends the perceptual distance, with a step size that falls along a cosine, and the best end is kept.

    Args:
        objective: holds G.
        features: of the perceptual distance.
        images: float32 [N, H, W, 3] in [-1, 1], of G's size.
        category_ids: int32 [N].
        seeds: int64 [N], of the candidates.
        options: candidates, starts, steps.
        latent_dim: L.

    Returns:
        `latents` float32 [N, L]; `images` float32 [N, H, W, 3]; `losses` float32 [N], the distances to the given
        images; and `typical` float32 [N], the mean distance of random images of the category.
    """
    steps, candidates, starts = options.invert_steps, options.num_candidates, options.num_starts
    sampled = initial_latents(seeds, num_rows=candidates, latent_dim=latent_dim)
    flat = tf.reshape(sampled, [-1, latent_dim])

    def candidate_distances(rows: Any) -> Any:
        items = rows // candidates
        fake = objective.images(tf.gather(flat, rows), tf.gather(category_ids, items))
        return features.distance_to(tf.gather(images, items))(fake)

    distances = _chunked(candidate_distances, flat, tf.TensorSpec([None], tf.float32))
    distances = tf.reshape(distances, [-1, candidates])
    nearest = tf.math.top_k(-distances, starts).indices
    first = tf.reshape(tf.gather(sampled, nearest, batch_dims=1), [-1, latent_dim])  # [N·starts, L]

    def rate(step: Any) -> Any:
        part = tf.cast(step, tf.float32) / tf.cast(steps, tf.float32)
        return _INVERT_RATE * (_LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + tf.cos(math.pi * part)))

    def descended(rows: Any) -> dict[str, Any]:
        items = rows // starts
        categories = tf.gather(category_ids, items)
        distance = features.distance_to(tf.gather(images, items))

        def values(latents: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
            loss = distance(objective.images(latents, categories))
            norms = 0.5 * tf.reduce_mean(tf.square(latents), axis=1)
            return -loss - _LATENT_WEIGHT * norms, (loss,)

        last, figures, _ = adam_ascent(
            values, tf.gather(first, rows), num_steps=steps, learning_rate=rate, num_figures=1, keep_path=False
        )
        return {"latents": last, "losses": figures[-1, 0]}

    signature = {"latents": tf.TensorSpec([None, latent_dim], tf.float32), "losses": tf.TensorSpec([None], tf.float32)}
    ends = _chunked(descended, first, signature)
    losses = tf.reshape(ends["losses"], [-1, starts])
    best = tf.argmin(losses, axis=1, output_type=tf.int32)
    latents = tf.gather(tf.reshape(ends["latents"], [-1, starts, latent_dim]), best, batch_dims=1)
    return {
        "latents": latents,
        "images": objective.images(latents, category_ids),
        "losses": tf.reduce_min(losses, axis=1),
        "typical": tf.reduce_mean(distances, axis=1),
    }


def tailor(
    objective: DesignObjective,
    features: PerceptualFeatures,
    latents: Any,
    typical: Any,
    users: Any,
    category_ids: Any,
    strengths: Any,
    keep: Any,
    *,
    options: TailorOptions,
    num_steps: Any = None,
    realism_weight: Any = None,
    snapshot_steps: Any = None,
) -> dict[str, Any]:
    """Moves inverted items toward preferences: ascends strength · preference − η · penalty − weight · distance.

    The distance is the perceptual one from the image to the item's reconstruction, over that of random images of the
    category to the item: at 1 it is another item. Colours or the cut are kept by a further, larger weight on
    `distances_kept`.

    Args:
        objective: G, D, Φ and the realism penalty.
        features: of the perceptual distance.
        latents: float32 [R, L], from `invert`.
        typical: float32 [R], from `invert`.
        users: float32 [R, D] or `AudienceEmbeddings`; with preferences in standard deviations over the category's real
            items a strength means the same for every user.
        category_ids: int32 [R].
        strengths: float32 [R] ≥ 0.
        keep: float32 [R, 2], 1 for what is kept, columns as in `KEPT`; else 0.
        options: steps, η.
        num_steps: int32 [], or [R]; left out, the options'.
        realism_weight: η, float32 [], or [R]; left out, the options'.
        snapshot_steps: int32 [F]: after which steps images are taken.

    Returns:
        `images` uint8 [R, H, W, 3]; `latents` float32 [R, L]; `preferences`, `realism_logits`, `distances`,
        `initial_preferences` and `initial_realism_logits` float32 [R]; `history_preferences` and `history_distances`
        float32 [R, T + 1]; and with `snapshot_steps`, `frames` uint8 [F, R, H, W, 3].
    """
    users = as_audience(users)
    steps = tf.convert_to_tensor(options.num_steps if num_steps is None else num_steps, tf.int32)
    eta = tf.convert_to_tensor(options.realism_weight if realism_weight is None else realism_weight, tf.float32)
    image_shape = objective.generator.output_shape[1:]

    def moved(rows: Any) -> dict[str, Any]:
        gathered = (tf.gather(values, rows) for values in (latents, category_ids, strengths, keep))
        first, categories, strength, own_keep = gathered
        own_eta, own_steps = (value if value.shape.rank == 0 else tf.gather(value, rows) for value in (eta, steps))
        own_users, own_typical = users.gather(rows), tf.gather(typical, rows)
        reconstructions = objective.images(first, categories)
        distance, lost = features.distance_to(reconstructions), distances_kept(reconstructions)

        def figures(images: Any) -> tuple[Any, Any, Any]:
            logits = objective.realism_logits(images, categories)
            return objective.preferences(images, own_users), logits, distance(images) / own_typical

        def values(some: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
            images = objective.images(some, categories)
            preferences, logits, distances = figures(images)
            worth = objective.values(strength * preferences, logits, own_eta) - _DISTANCE_WEIGHT * distances
            worth -= _KEPT_WEIGHT * tf.reduce_sum(own_keep * lost(images), axis=1)
            return worth, (preferences, logits, distances)

        last, history, path = adam_ascent(
            values,
            first,
            num_steps=own_steps,
            learning_rate=_TAILOR_RATE,
            num_figures=3,
            keep_path=snapshot_steps is not None,
        )
        images = to_uint8(objective.images(last, categories))
        answer = {"images": images, "latents": last, "history": tf.transpose(history, [2, 1, 0])}
        if snapshot_steps is not None:
            frames = tf.map_fn(
                lambda some: to_uint8(objective.images(some, categories)),
                tf.gather(path, snapshot_steps),
                fn_output_signature=tf.TensorSpec([None, *image_shape], tf.uint8),
            )
            answer["frames"] = tf.transpose(frames, [1, 0, 2, 3, 4])
        return answer

    signature = {
        "images": tf.TensorSpec([None, *image_shape], tf.uint8),
        "latents": tf.TensorSpec([None, latents.shape[1]], tf.float32),
        "history": tf.TensorSpec([None, 3, None], tf.float32),
    }
    if snapshot_steps is not None:
        signature["frames"] = tf.TensorSpec([None, None, *image_shape], tf.uint8)
    found = _chunked(moved, latents, signature)
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


def _chunked(function: Any, rows: Any, signature: Any) -> Any:
    return in_chunks(function, tf.shape(rows)[0], chunk_rows=CHUNK_ROWS, signature=signature)
