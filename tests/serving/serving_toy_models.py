"""Small SavedModels with the signatures of `tfdvbpr.signatures`, whose answers a person can work out.

Four users u0..u3 and six items i0..i5: x̂ of user u and item i is (u + 1)·i - 1, so the mean taste scores 2.5·i - 1.
Items of even number are "tops", the others "shoes". User u1 has acted on i5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.signatures import SIGNATURES

NUM_USERS, NUM_ITEMS, NUM_STARTS, SIDE = 4, 6, 2, 4
CATEGORIES = ["tops", "shoes"]


def specs(name: str) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(d.shape, d.dtype, name=n) for n, d in SIGNATURES[name].inputs.items()]


def table(keys: list[str]) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(keys)))
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


class Recommender(tf.Module):
    def __init__(self, *, offset: float = -1.0) -> None:
        self.item_ids = tf.constant([f"i{i}" for i in range(NUM_ITEMS)])
        self.users = table([f"u{u}" for u in range(NUM_USERS)])
        self.items = table([f"i{i}" for i in range(NUM_ITEMS)])
        self.categories = table(CATEGORIES)
        self.user_embeddings = tf.constant([[u + 1.0, 1.0] for u in range(NUM_USERS)])
        self.item_embeddings = tf.constant([[float(i), offset] for i in range(NUM_ITEMS)])
        self.seen = tf.constant([[u == 1 and i == 5 for i in range(NUM_ITEMS)] for u in range(NUM_USERS)])

    def tastes(self, user_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index = self.users.lookup(user_ids)
        known = index >= 0
        index = tf.maximum(index, 0)
        mean = tf.reduce_mean(self.user_embeddings, axis=0)
        return tf.where(known[:, None], tf.gather(self.user_embeddings, index), mean), known, index

    @tf.function(input_signature=specs("score"))
    def score(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        tastes, known_users, _ = self.tastes(user_ids)
        index = self.items.lookup(item_ids)
        embeddings = tf.gather(self.item_embeddings, tf.maximum(index, 0))
        scores = tf.einsum("bd,bnd->bn", tastes, embeddings)
        scores = tf.where(index >= 0, scores, float("nan"))
        return {"scores": scores, "known_users": known_users, "known_items": index >= 0}

    @tf.function(input_signature=specs("recommend"))
    def recommend(
        self, user_ids: tf.Tensor, k: tf.Tensor, categories: tf.Tensor, exclude_seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        tastes, known_users, index = self.tastes(user_ids)
        category = self.categories.lookup(categories)[:, None]
        every = (categories == "")[:, None]
        allowed = every | (tf.range(NUM_ITEMS)[None, :] % 2 == category)
        allowed &= ~(exclude_seen[:, None] & known_users[:, None] & tf.gather(self.seen, index))
        scores = tf.where(allowed, tf.matmul(tastes, self.item_embeddings, transpose_b=True), -float("inf"))
        width = tf.minimum(tf.reduce_max(k), NUM_ITEMS)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)[:, :width]
        scores = tf.gather(scores, order, batch_dims=1)
        scores = tf.where(tf.range(width)[None, :] < k[:, None], scores, -float("inf"))
        item_ids = tf.where(scores > -float("inf"), tf.gather(self.item_ids, order), "")
        known_categories = (category[:, 0] >= 0) | every[:, 0]
        return {
            "item_ids": item_ids,
            "scores": scores,
            "known_users": known_users,
            "known_categories": known_categories,
        }

    @tf.function(input_signature=specs("embed_images"))
    def embed_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        def embed(file: tf.Tensor) -> tf.Tensor:
            pixels = tf.io.decode_image(file, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[0, 1])

        return {"embeddings": tf.map_fn(embed, images, fn_output_signature=tf.TensorSpec([3], tf.float32))}


class Designer(tf.Module):
    def __init__(self) -> None:
        self.users = table([f"u{u}" for u in range(NUM_USERS)])
        self.categories = table(CATEGORIES)

    def pictures(self, seeds: tf.Tensor, known: tf.Tensor, shape: list[int]) -> tf.Tensor:
        def draw(seed: tf.Tensor) -> tf.Tensor:
            values = tf.random.stateless_uniform(shape, tf.stack([seed, 0]), minval=0, maxval=256, dtype=tf.int32)
            return tf.cast(values, tf.uint8)

        drawn = tf.map_fn(draw, seeds, fn_output_signature=tf.TensorSpec(shape, tf.uint8))
        return tf.where(tf.reshape(known, [-1] + [1] * len(shape)), drawn, tf.zeros_like(drawn))

    @tf.function(input_signature=specs("design"))
    def design(self, user_ids: tf.Tensor, categories: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        known = self.categories.lookup(categories) >= 0
        images = self.pictures(seeds, known, [NUM_STARTS, SIDE, SIDE, 3])
        values = tf.cast(seeds, tf.float32)[:, None] - tf.range(NUM_STARTS, dtype=tf.float32)[None, :]
        return {
            "images": images,
            "preferences": values,
            "realism_logits": values * 0.5,
            "initial_preferences": values - 1.0,
            "known_users": self.users.lookup(user_ids) >= 0,
            "known_categories": known,
        }

    @tf.function(input_signature=specs("generate"))
    def generate(self, categories: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        known = self.categories.lookup(categories) >= 0
        images = self.pictures(seeds, known, [SIDE, SIDE, 3])
        return {"images": images, "realism_logits": tf.cast(seeds, tf.float32), "known_categories": known}


class Counter(tf.Module):
    """Counts its calls, so that a test sees whether warm-up requests were answered."""

    def __init__(self) -> None:
        self.calls = tf.Variable(0, dtype=tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def count(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"calls": tf.fill([tf.shape(x)[0]], self.calls.assign_add(1))}


class OldRecommender(tf.Module):
    """Answers `score` without the flags this release expects."""

    @tf.function(input_signature=specs("score"))
    def score(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.zeros(tf.shape(item_ids)), "known_users": tf.fill(tf.shape(user_ids), True)}


def save(module: tf.Module, folder: Path, *names: str, **renamed: str) -> None:
    """Saves methods as signatures of their own name; `renamed` maps a signature to a method."""
    methods = {name: name for name in names} | renamed
    signatures: dict[str, Any] = {signature: getattr(module, method) for signature, method in methods.items()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def save_recommender(folder: Path, *, offset: float = -1.0) -> None:
    save(Recommender(offset=offset), folder, "score", "recommend", "embed_images")


def save_designer(folder: Path) -> None:
    save(Designer(), folder, "design", "generate")
