"""The recommender as a SavedModel: score, recommend and embed_images. Imports TensorFlow."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.data.images import decode_and_fit, to_float
from tfdvbpr.errors import RunError
from tfdvbpr.models import LEARNS_FROM_PIXELS
from tfdvbpr.run import Run
from tfdvbpr_export.lookup import Ids, Tastes
from tfdvbpr_export.saving import Arrays, run_facts, served, write_version
from tfdvbpr_export.versions import version_folder

_NOTHING = -float("inf")
_WARMUP_K = 10


class ServedRecommender(tf.Module):
    """Factors, id tables and seen items, in graph; the whole catalogue is searched exactly.

    Args:
        run: of any model.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        factors, items = run.factors, run.items
        self.tastes = Tastes(run.user_ids, factors.user_embeddings)
        self.items = Ids(items.item_ids)
        self.categories = Ids(items.categories)
        self.item_ids = tf.constant(items.item_ids)
        self.category_ids = tf.constant(items.category_ids)
        self.item_embeddings = tf.Variable(factors.item_embeddings, trainable=False, name="item_embeddings")
        self.item_biases = tf.Variable(factors.item_biases, trainable=False, name="item_biases")
        seen = [run.seen_items(user) for user in range(run.manifest.num_users)]
        # An unknown user's row follows the last user's, and is empty.
        splits = np.cumsum([0, *map(len, seen), 0], dtype=np.int64)
        self.seen_items = tf.Variable(np.concatenate(seen), trainable=False, dtype=tf.int32, name="seen_items")
        self.seen_splits = tf.Variable(splits, trainable=False, name="seen_splits")

    @served("score")
    def score(self, user_ids: Any, item_ids: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SCORE`."""
        tastes, _, known_users = self.tastes.lookup(user_ids)
        rows, known_items = self.items.rows(item_ids)
        rows = tf.where(known_items, rows, 0)
        embeddings = tf.gather(self.item_embeddings, rows)  # [B, N, D]
        scores = tf.einsum("bd,bnd->bn", tastes, embeddings) + tf.gather(self.item_biases, rows)
        return {
            "scores": tf.where(known_items, scores, float("nan")),
            "known_users": known_users,
            "known_items": known_items,
        }

    @served("recommend")
    def recommend(self, user_ids: Any, k: Any, categories: Any, exclude_seen: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.RECOMMEND`."""
        tf.debugging.Assert(tf.reduce_all(k >= 1), ["`k` must be 1 or more in every row. Received", k], summarize=64)
        tastes, rows, known_users = self.tastes.lookup(user_ids)
        scores = tf.matmul(tastes, self.item_embeddings, transpose_b=True) + self.item_biases  # [B, num_items]
        every = tf.equal(categories, "")
        category_ids, known_categories = self.categories.rows(categories)
        allowed = every[:, None] | tf.equal(self.category_ids, category_ids[:, None])
        scores = tf.where(allowed, scores, _NOTHING)
        scores = self._without_seen(scores, tf.where(exclude_seen, rows, self.tastes.users.count))
        # Of equal scores, top_k puts the lower row first: the order of the catalogue.
        width = tf.clip_by_value(tf.reduce_max(k), 0, self.items.count)
        best, best_rows = tf.math.top_k(scores, width)
        best = tf.where(tf.range(width) < k[:, None], best, _NOTHING)
        return {
            "item_ids": tf.where(best > _NOTHING, tf.gather(self.item_ids, best_rows), ""),
            "scores": best,
            "known_users": known_users,
            "known_categories": known_categories | every,
        }

    def _without_seen(self, scores: Any, rows: Any) -> Any:
        by_user = tf.RaggedTensor.from_row_splits(self.seen_items, self.seen_splits, validate=False)
        seen = tf.gather(by_user, rows)
        places = tf.stack([tf.cast(seen.value_rowids(), tf.int32), seen.values], axis=1)  # [M, (row, item)]
        return tf.tensor_scatter_nd_update(scores, places, tf.fill([tf.shape(places)[0]], _NOTHING))


class ServedVisualRecommender(ServedRecommender):
    """A recommender that also encodes pictures.

    Args:
        run: a DVBPR run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        model = run.recommender
        # Its variables are saved, its Keras objects are not: loading must not need them.
        self.backbone_weights = [weight.value for weight in model.backbone.weights]
        self._embed = partial(model.embed_images, training=False)
        self._decode = partial(decode_and_fit, image_size=run.manifest.image_size, fit=run.manifest.fit)
        self._pixels = tf.TensorSpec([*run.manifest.image_size, 3], tf.uint8)
        self._embedding_dim = run.config.embedding_dim

    @served("embed_images")
    def embed_images(self, images: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.EMBED_IMAGES`."""
        nothing = tf.zeros((0, self._embedding_dim))
        # Some of TensorFlow's fused convolutions fail on an empty batch.
        embeddings = tf.cond(tf.size(images) > 0, lambda: self._encode(images), lambda: nothing)
        return {"embeddings": tf.ensure_shape(embeddings, (None, self._embedding_dim))}

    def _encode(self, images: Any) -> Any:
        pixels = tf.map_fn(self._decode, images, fn_output_signature=self._pixels)
        return self._embed(to_float(pixels))


def export_recommender(run_path: Path | str, output: Path | str, *, version: int | None = None) -> Path:
    """Writes a run as the next version of a served recommender.

    Args:
        run_path: a folder made by `tfdvbpr train`, of any model; `embed_images` is there where the model sees pictures.
        output: the model's base path, such as `models/recommender`.
        version: its number; left out, the next.

    Returns:
        The version folder.

    Raises:
        RunError: if the run is no recommender run, or its factors are not finite.
        OutputExistsError: if the version is there already.
        ConfigError: if the version is below 1.
    """
    folder = version_folder(Path(output), version)
    run = Run.open(run_path)
    check_finite(run)
    visual = run.manifest.model in LEARNS_FROM_PIXELS
    module = ServedVisualRecommender(run) if visual else ServedRecommender(run)
    return write_version(module, folder, warmup=_warmup(run, visual=visual), about=_about(run))


def check_finite(run: Run) -> None:
    """Refuses a run whose training diverged.

    Raises:
        RunError: if a factor is not a finite number.
    """
    factors = run.factors
    for name in ("user_embeddings", "item_embeddings", "item_biases"):
        if not np.isfinite(getattr(factors, name)).all():
            raise RunError(
                f"`{name}` must be finite to be served. {run.path} holds others. Train with a lower learning rate."
            )


def _warmup(run: Run, *, visual: bool) -> dict[str, Arrays]:
    user_id, item_id = run.user_ids[0], run.items.item_ids[0]
    requests: dict[str, Arrays] = {
        "recommend": {"user_ids": [user_id], "k": [_WARMUP_K], "categories": [""], "exclude_seen": [True]},
        "score": {"user_ids": [user_id], "item_ids": [[item_id]]},
    }
    if visual:
        white = tf.fill([*run.manifest.image_size, 3], tf.constant(255, tf.uint8))
        requests["embed_images"] = {"images": [tf.io.encode_jpeg(white).numpy()]}
    return requests


def _about(run: Run) -> dict[str, Any]:
    manifest, factors = run.manifest, run.factors
    return {
        "run": run_facts(manifest),
        "embedding_dim": factors.user_embeddings.shape[1],
        "num_users": manifest.num_users,
        "num_items": manifest.num_items,
        "categories": list(manifest.categories),
        "metrics": run.metrics,
    }
