"""Small SavedModels with the signatures of `tfdvbpr.signatures`, whose outputs can be computed by hand.

A signature without a method of its own answers 0, False or "" whatever it is given.

Four users u0..u3 and six items i0..i5: x̂ of user u and item i is (u + 1)·i - 1, so the mean user scores 2.5·i - 1.
A new user who likes items of mean number m scores m·i - 1. Items of even number are "tops", the others "shoes". User u1
has acted on i5. An image counts as an item whose number is its mean red; items are similar by 1 - |i - j| / 5.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.signatures import SIGNATURES

NUM_USERS, NUM_ITEMS, NUM_STARTS, SIDE = 4, 6, 2, 4
DEFAULT_K = 3
CATEGORIES = ["tops", "shoes"]
RECOMMENDER_SIGNATURES = [name for name, s in SIGNATURES.items() if s.model == "recommender"]
DESIGNER_SIGNATURES = [name for name, s in SIGNATURES.items() if s.model == "designer"]


def specs(name: str) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(d.shape, d.dtype, name=n) for n, d in SIGNATURES[name].inputs.items()]


def table(keys: list[str]) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(keys)))
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def mean_colors(images: tf.Tensor) -> tf.Tensor:
    """float32 [B, 3] of image files."""

    def mean(file: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(file, channels=3, expand_animations=False)
        return tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[0, 1])

    return tf.map_fn(mean, images, fn_output_signature=tf.TensorSpec([3], tf.float32))


class Recommender(tf.Module):
    def __init__(self, *, offset: float = -1.0) -> None:
        self.item_ids = tf.constant([f"i{i}" for i in range(NUM_ITEMS)])
        self.users = table([f"u{u}" for u in range(NUM_USERS)])
        self.items = table([f"i{i}" for i in range(NUM_ITEMS)])
        self.categories = table(CATEGORIES)
        self.user_embeddings = tf.constant([[u + 1.0, 1.0] for u in range(NUM_USERS)])
        self.item_embeddings = tf.constant([[float(i), offset] for i in range(NUM_ITEMS)])
        self.seen = tf.constant([[u == 1 and i == 5 for i in range(NUM_ITEMS)] for u in range(NUM_USERS)])

    def embeddings_of(self, user_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index = self.users.lookup(user_ids)
        known = index >= 0
        index = tf.maximum(index, 0)
        mean = tf.reduce_mean(self.user_embeddings, axis=0)
        return tf.where(known[:, None], tf.gather(self.user_embeddings, index), mean), known, index

    def folded(self, liked_item_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index = self.items.lookup(liked_item_ids)
        known = tf.cast(index >= 0, tf.float32)
        count = tf.reduce_sum(known, axis=1, keepdims=True)
        mean = tf.reduce_sum(known * tf.cast(index, tf.float32), axis=1, keepdims=True) / tf.maximum(count, 1.0)
        mean = tf.where(count > 0, mean, 2.5)
        flags = (index >= 0) | (liked_item_ids == "")
        return tf.concat([mean, tf.ones_like(mean)], axis=1), flags, count[:, 0] > 0

    def marked(self, item_ids: tf.Tensor) -> tf.Tensor:
        """bool [B, items]: True where a row names the item."""
        return tf.reduce_any(self.items.lookup(item_ids)[:, :, None] == tf.range(NUM_ITEMS), axis=1)

    def ranked(
        self, scores: tf.Tensor, left_out: tf.Tensor, k: tf.Tensor, categories: tf.Tensor, *, named: str = "scores"
    ) -> dict[str, tf.Tensor]:
        tf.debugging.assert_non_negative(k, message="`k` must be 0 or more.")
        k = tf.minimum(tf.where(k == 0, DEFAULT_K, k), NUM_ITEMS)
        category = self.categories.lookup(categories)[:, None]
        every = (categories == "")[:, None]
        allowed = (every | (tf.range(NUM_ITEMS)[None, :] % 2 == category)) & ~left_out
        scores = tf.where(allowed, scores, -float("inf"))
        width = tf.reduce_max(k)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)[:, :width]
        scores = tf.gather(scores, order, batch_dims=1)
        scores = tf.where(tf.range(width)[None, :] < k[:, None], scores, -float("inf"))
        kept = scores > -float("inf")
        return {
            "item_ids": tf.where(kept, tf.gather(self.item_ids, order), ""),
            named: scores,
            "counts": tf.reduce_sum(tf.cast(kept, tf.int32), axis=1),
            "known_categories": (category[:, 0] >= 0) | every[:, 0],
        }

    def known(self, item_ids: tf.Tensor) -> tf.Tensor:
        return (self.items.lookup(item_ids) >= 0) | (item_ids == "")

    @tf.function(input_signature=specs("score"))
    def score(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        user_embeddings, known_users, _ = self.embeddings_of(user_ids)
        index = self.items.lookup(item_ids)
        embeddings = tf.gather(self.item_embeddings, tf.maximum(index, 0))
        scores = tf.einsum("bd,bnd->bn", user_embeddings, embeddings)
        scores = tf.where(index >= 0, scores, -float("inf"))
        return {"scores": scores, "known_users": known_users, "known_items": index >= 0}

    @tf.function(input_signature=specs("recommend"))
    def recommend(
        self,
        user_ids: tf.Tensor,
        k: tf.Tensor,
        categories: tf.Tensor,
        exclude_item_ids: tf.Tensor,
        exclude_seen: tf.Tensor,
        filters: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        user_embeddings, known_users, index = self.embeddings_of(user_ids)
        left_out = exclude_seen[:, None] & known_users[:, None] & tf.gather(self.seen, index)
        left_out |= self.marked(exclude_item_ids)
        scores = tf.matmul(user_embeddings, self.item_embeddings, transpose_b=True)
        return self.ranked(scores, left_out, k, categories) | {
            "known_users": known_users,
            "known_excluded_items": self.known(exclude_item_ids),
            "known_filters": tf.equal(filters, ""),
        }

    @tf.function(input_signature=specs("recommend_for_items"))
    def recommend_for_items(
        self,
        liked_item_ids: tf.Tensor,
        k: tf.Tensor,
        categories: tf.Tensor,
        exclude_item_ids: tf.Tensor,
        exclude_liked: tf.Tensor,
        filters: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        user_embeddings, known, folded_in = self.folded(liked_item_ids)
        left_out = self.marked(exclude_item_ids) | (exclude_liked[:, None] & self.marked(liked_item_ids))
        scores = tf.matmul(user_embeddings, self.item_embeddings, transpose_b=True)
        return self.ranked(scores, left_out, k, categories) | {
            "known_liked_items": known,
            "folded_in": folded_in,
            "known_excluded_items": self.known(exclude_item_ids),
            "known_filters": tf.equal(filters, ""),
        }

    def similar(self, numbers: tf.Tensor, left_out: tf.Tensor, k: tf.Tensor, categories: tf.Tensor) -> Any:
        distances = tf.abs(numbers[:, None] - tf.range(NUM_ITEMS, dtype=tf.float32))
        return self.ranked(1 - distances / 5, left_out, k, categories, named="similarities")

    @tf.function(input_signature=specs("similar_items"))
    def similar_items(self, query_item_ids: tf.Tensor, k: tf.Tensor, categories: tf.Tensor) -> dict[str, tf.Tensor]:
        index = self.items.lookup(query_item_ids)
        known = index >= 0
        left_out = ~known[:, None] | (index[:, None] == tf.range(NUM_ITEMS))
        return self.similar(tf.cast(index, tf.float32), left_out, k, categories) | {"known_items": known}

    @tf.function(input_signature=specs("similar_images"))
    def similar_images(self, image_bytes: tf.Tensor, k: tf.Tensor, categories: tf.Tensor) -> dict[str, tf.Tensor]:
        reds = mean_colors(image_bytes)[:, 0]
        return self.similar(reds, tf.zeros([tf.shape(reds)[0], NUM_ITEMS], tf.bool), k, categories)

    @tf.function(input_signature=specs("score_images"))
    def score_images(self, user_ids: tf.Tensor, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        user_embeddings, known_users, _ = self.embeddings_of(user_ids)
        return {"scores": user_embeddings[:, 0] * mean_colors(image_bytes)[:, 0] - 1, "known_users": known_users}

    @tf.function(input_signature=specs("embed_images"))
    def embed_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embeddings": mean_colors(image_bytes)}


class Designer(tf.Module):
    """Each step of a design is a product of two `work` x `work` matrices, so that many steps take a while."""

    def __init__(self, *, work: int = 8) -> None:
        self.users = table([f"u{u}" for u in range(NUM_USERS)])
        self.items = table([f"i{i}" for i in range(NUM_ITEMS)])
        self.categories = table(CATEGORIES)
        self.work = work

    def files(self, seeds: tf.Tensor, known: tf.Tensor, number: int) -> tf.Tensor:
        """PNG [B, number], a colour each."""

        def generate(seed: tf.Tensor) -> tf.Tensor:
            shape = [number, SIDE, SIDE, 3]
            values = tf.random.stateless_uniform(shape, tf.stack([seed, 0]), minval=0, maxval=256, dtype=tf.int32)
            return tf.stack([tf.io.encode_png(one) for one in tf.unstack(tf.cast(values, tf.uint8))])

        generated = tf.map_fn(generate, seeds, fn_output_signature=tf.TensorSpec([number], tf.string))
        return tf.where(known[:, None], generated, "")

    def ascended(self, steps: tf.Tensor) -> tf.Tensor:
        """The largest number of steps of any row."""
        side = self.work

        def step(number: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return number + 1, tf.tanh(tf.matmul(value, value) / (2.0 * side))

        _, value = tf.while_loop(lambda n, _: n < tf.reduce_max(steps), step, [0, tf.ones([side, side])])
        return tf.reduce_sum(value)

    def common(  # type: ignore[no-untyped-def]
        self, user_ids, liked_item_ids, more_like_item_ids, less_like_item_ids, categories, num_steps
    ) -> Any:
        liked = self.items.lookup(liked_item_ids)
        steps = tf.where(num_steps == 0, 2, num_steps)
        with tf.control_dependencies([self.ascended(steps)]):
            steps = tf.identity(steps)
        return {
            "steps": steps,
            "known_users": self.users.lookup(user_ids) >= 0,
            "known_liked_items": (liked >= 0) | (liked_item_ids == ""),
            "known_more_like_items": (self.items.lookup(more_like_item_ids) >= 0) | (more_like_item_ids == ""),
            "known_less_like_items": (self.items.lookup(less_like_item_ids) >= 0) | (less_like_item_ids == ""),
            "folded_in": tf.reduce_any(liked >= 0, axis=1),
            "known_categories": self.categories.lookup(categories) >= 0,
        }

    @tf.function(input_signature=specs("design"))
    def design(  # type: ignore[no-untyped-def]
        self,
        user_ids,
        liked_item_ids,
        more_like_item_ids,
        less_like_item_ids,
        categories,
        num_designs,
        num_steps,
        seeds,
        realism_weights,
    ) -> dict[str, tf.Tensor]:
        common = self.common(user_ids, liked_item_ids, more_like_item_ids, less_like_item_ids, categories, num_steps)
        known = common["known_categories"]
        counts = tf.where(known, tf.minimum(tf.where(num_designs == 0, NUM_STARTS, num_designs), NUM_STARTS), 0)
        shown = tf.range(NUM_STARTS)[None, :] < counts[:, None]
        values = tf.cast(seeds, tf.float32)[:, None] - tf.range(NUM_STARTS, dtype=tf.float32)[None, :]
        values = tf.where(shown, values, float("nan"))
        return common | {
            "image_bytes": tf.where(shown, self.files(seeds, known, NUM_STARTS), ""),
            "counts": counts,
            "preferences": values,
            "realism_logits": values * 0.5,
            "initial_preferences": values - 1.0,
            "nearest_item_ids": tf.where(shown, "i0", "")[:, :, None],
        }

    @tf.function(input_signature=specs("tailor"))
    def tailor(  # type: ignore[no-untyped-def]
        self,
        image_bytes,
        user_ids,
        liked_item_ids,
        more_like_item_ids,
        less_like_item_ids,
        categories,
        strengths,
        keep,
        num_steps,
        seeds,
        realism_weights,
    ) -> dict[str, tf.Tensor]:
        common = self.common(user_ids, liked_item_ids, more_like_item_ids, less_like_item_ids, categories, num_steps)
        # What is kept moves less.
        gain = tf.cast(tf.reduce_all(keep == "", axis=1), tf.float32)
        reds = mean_colors(image_bytes)[:, 0]
        known = common["known_categories"]
        return common | {
            "image_bytes": self.files(seeds, known, 1)[:, 0],
            "inverted_image_bytes": tf.where(known, image_bytes, ""),
            "preferences": reds + gain,
            "initial_preferences": reds,
            "realism_logits": reds * 0.5,
            "distances": tf.maximum(strengths, 0.0),
            "nearest_item_ids": tf.where(known, "i0", "")[:, None],
        }

    @tf.function(input_signature=specs("generate"))
    def generate(self, categories: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        known = self.categories.lookup(categories) >= 0
        return {
            "image_bytes": self.files(seeds, known, 1)[:, 0],
            "realism_logits": tf.cast(seeds, tf.float32),
            "nearest_item_ids": tf.where(known, "i0", "")[:, None],
            "known_categories": known,
        }


def design_row(*, num_steps: int) -> dict[str, Any]:
    """A REST instance of `design`, one design for a known user, and nothing else in particular."""
    signature = SIGNATURES["design"]
    optional = [name for name, tensor in signature.inputs.items() if tensor.neutral is not None]
    neutral = {name: signature.neutral(name, 1)[0] for name in optional}
    return {**neutral, "user_ids": "u0", "categories": "tops", "num_designs": 1, "num_steps": num_steps}


class Counter(tf.Module):
    """Counts its calls, so that a test sees whether warm-up requests have run."""

    def __init__(self) -> None:
        self.calls = tf.Variable(0, dtype=tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def count(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"calls": tf.fill([tf.shape(x)[0]], self.calls.assign_add(1))}


class OldRecommender(tf.Module):
    """`score` without the flags of this release."""

    @tf.function(input_signature=specs("score"))
    def score(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.zeros(tf.shape(item_ids)), "known_users": tf.fill(tf.shape(user_ids), True)}


class Versioned(tf.Module):
    """Returns its own number beside x, so that a response shows its version."""

    def __init__(self, number: int) -> None:
        self.number = tf.Variable(float(number))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def echo(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": x, "version": tf.fill([tf.shape(x)[0]], self.number)}


def save(module: tf.Module, folder: Path, *names: str, **renamed: str) -> None:
    """Saves methods as signatures of their own name; `renamed` maps a signature to a method."""
    methods = {name: name for name in names} | renamed
    signatures = {
        signature: getattr(module, method) if hasattr(module, method) else nothing(method)
        for signature, method in methods.items()
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def nothing(name: str) -> Any:
    """A function of a signature's inputs to zeros, one column in every dimension after the first."""
    inputs, outputs = SIGNATURES[name].inputs, SIGNATURES[name].outputs

    def zeros(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(tensors[0])[:1]
        shapes = {key: tf.concat([rows, [1] * (len(each.shape) - 1)], axis=0) for key, each in outputs.items()}
        return {key: tf.zeros(shapes[key], each.dtype) for key, each in outputs.items()}

    zeros.__signature__ = Signature([Parameter(key, Parameter.POSITIONAL_OR_KEYWORD) for key in inputs])  # type: ignore[attr-defined]
    return tf.function(zeros, input_signature=specs(name))


def save_recommender(folder: Path, *, offset: float = -1.0) -> None:
    save(Recommender(offset=offset), folder, *RECOMMENDER_SIGNATURES, serving_default="recommend")


def save_designer(folder: Path, *, work: int = 8) -> None:
    save(Designer(work=work), folder, *DESIGNER_SIGNATURES, serving_default="design")


def save_version(folder: Path, number: int) -> None:
    """Appears whole, as exported versions do."""
    staging = folder.parent.parent / f"staging-{number}"
    save(Versioned(number), staging, serving_default="echo")
    folder.parent.mkdir(exist_ok=True)
    staging.rename(folder)
