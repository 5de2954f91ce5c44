"""The recommender as a SavedModel: rankings, scores, likeness and embeddings. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.errors import RunError
from tfdvbpr.run import Run
from tfdvbpr_export.options import RecommenderOptions
from tfdvbpr_export.recommender.catalogue import ServedCatalogue
from tfdvbpr_export.recommender.folding import ServedFoldIn
from tfdvbpr_export.recommender.images import Pictures
from tfdvbpr_export.recommender.lookup import SeenItems, Tastes
from tfdvbpr_export.saving import run_facts, served, write_version
from tfdvbpr_export.validation.examples import recommender_examples
from tfdvbpr_export.versions import Version, remove_old_versions, version_folder

_ALWAYS = ("recommend", "recommend_for_items", "score", "similar_items")
_OF_PICTURES = ("score_images", "similar_images", "embed_images")


class ServedRecommender(tf.Module):
    """Tastes, items and what searches them, in graph.

    Args:
        run: of any model.
        options: index, bits, limits.
    """

    signature_names: tuple[str, ...] = _ALWAYS

    def __init__(self, run: Run, options: RecommenderOptions) -> None:
        super().__init__()
        self.tastes = Tastes(run.user_ids, run.factors.user_embeddings)
        self.catalogue = ServedCatalogue(run, options)
        seen = [run.seen_items(user) for user in range(run.manifest.num_users)]
        self.seen = SeenItems(seen, num_items=self.catalogue.ids.count)
        self.folding = ServedFoldIn(
            run.folding,
            self.catalogue.ids,
            self.catalogue.table,
            run.factors.user_embeddings.mean(axis=0, dtype=np.float64).astype(np.float32),
            quantize=options.quantize,
            max_liked=options.max_liked,
        )

    @served("score")
    def score(self, user_ids: Any, item_ids: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SCORE`."""
        tastes, _, known_users = self.tastes.lookup(user_ids)
        scores, known_items = self.catalogue.scores(tastes, item_ids)
        return {"scores": scores, "known_users": known_users, "known_items": known_items}

    @served("recommend")
    def recommend(
        self, user_ids: Any, k: Any, categories: Any, exclude_item_ids: Any, exclude_seen: Any
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.RECOMMEND`."""
        tastes, users, known_users = self.tastes.lookup(user_ids)
        excluded, known_excluded = self.catalogue.ids.optional_rows(exclude_item_ids)
        excluded = tf.concat([self.seen.of(users, exclude_seen), excluded], axis=1)
        best = self.catalogue.ranking(self.catalogue.queries(tastes), k, categories, excluded)
        return {**best, "known_users": known_users, "known_excluded_items": known_excluded}

    @served("recommend_for_items")
    def recommend_for_items(
        self, liked_item_ids: Any, k: Any, categories: Any, exclude_item_ids: Any, exclude_liked: Any
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.RECOMMEND_FOR_ITEMS`."""
        tastes, known, liked = self.folding(liked_item_ids)
        excluded, known_excluded = self.catalogue.ids.optional_rows(exclude_item_ids)
        liked = tf.where(exclude_liked[:, None], liked, self.catalogue.ids.count)
        excluded = tf.concat([liked, excluded], axis=1)
        best = self.catalogue.ranking(self.catalogue.queries(tastes), k, categories, excluded)
        return {**best, **known, "known_excluded_items": known_excluded}

    @served("similar_items")
    def similar_items(self, query_item_ids: Any, k: Any, categories: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SIMILAR_ITEMS`."""
        rows, known = self.catalogue.ids.rows(query_item_ids)
        looks = self.catalogue.looks(tf.where(known, rows, 0))
        return {
            **self.catalogue.alike(looks, k, categories, rows[:, None], answered=known),
            "known_items": known,
        }


class ServedVisualRecommender(ServedRecommender):
    """A recommender that also looks at pictures.

    Args:
        run: of a model that learns from pixels.
        options: index, bits, limits.
    """

    signature_names = _ALWAYS + _OF_PICTURES

    def __init__(self, run: Run, options: RecommenderOptions) -> None:
        super().__init__(run, options)
        model = run.recommender
        # Its variables are saved, its Keras objects are not: loading must not need them.
        self.backbone_weights = [weight.value for weight in model.backbone.weights]
        self.pictures = Pictures(run.manifest.image_size, run.manifest.fit, max_pixels=options.max_pixels)
        self._embed: Callable[[Any], Any] = lambda images: model.embed_images(images, training=False)
        self._dim = run.config.embedding_dim

    @served("embed_images")
    def embed_images(self, image_bytes: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.EMBED_IMAGES`."""
        return {"embeddings": self._looks(image_bytes)}

    @served("score_images")
    def score_images(self, user_ids: Any, image_bytes: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SCORE_IMAGES`."""
        tastes, _, known_users = self.tastes.lookup(user_ids)
        scores = tf.reduce_sum(tastes[:, : self._dim] * self._looks(image_bytes), axis=1)
        return {"scores": scores, "known_users": known_users}

    @served("similar_images")
    def similar_images(self, image_bytes: Any, k: Any, categories: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SIMILAR_IMAGES`."""
        nothing = tf.zeros((tf.shape(image_bytes)[0], 0), tf.int32)
        return self.catalogue.alike(self._looks(image_bytes), k, categories, nothing)

    def _looks(self, files: Any) -> Any:
        """Φ of picture files, string [B]: float32 [B, D]."""
        nothing = tf.zeros((0, self._dim))
        # Some of TensorFlow's fused convolutions fail on an empty batch.
        looks = tf.cond(tf.size(files) > 0, lambda: self._embed(self.pictures(files)), lambda: nothing)
        return tf.ensure_shape(looks, (None, self._dim))


def export_recommender(
    run_path: Path | str,
    output: Path | str,
    *,
    options: RecommenderOptions | None = None,
    version: Version = "auto",
    keep: int | None = None,
) -> Path:
    """Writes a run as the next version of a served recommender, in this process.

    TensorFlow Recommenders needs a process in which nothing has touched `tf.keras`; `tfdvbpr.export_recommender` starts
    one.

    Args:
        run_path: a folder made by `tfdvbpr train`, of any model; signatures of pictures are there where the model sees
            them.
        output: the model's base path, such as `models/recommender`.
        options: index, bits, limits.
        version: its number; "auto" is the next, "timestamp" the seconds since 1970.
        keep: how many of the newest versions stay; None for all.

    Returns:
        The version folder.

    Raises:
        RunError: if the run is no recommender run, or its factors are not finite.
        OutputExistsError: if the version is there already.
        ConfigError: if an option is out of range, or ScaNN is asked for and not installed.
    """
    folder = version_folder(Path(output), version, keep=keep)
    run, options = Run.open(run_path), options or RecommenderOptions()
    check_finite(run)
    visual = run.model_class.scores_images
    module = ServedVisualRecommender(run, options) if visual else ServedRecommender(run, options)
    examples = recommender_examples(run, module.signature_names, max_liked=options.max_liked)
    about = _about(run, options, module.catalogue.about)
    write_version(module, folder, examples=examples, about=about, op_namespaces=module.catalogue.needs)
    remove_old_versions(folder, keep=keep)
    return folder


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


def _about(run: Run, options: RecommenderOptions, retrieval: Mapping[str, Any]) -> dict[str, Any]:
    manifest, factors = run.manifest, run.factors
    return {
        "run": run_facts(manifest),
        "embedding_dim": factors.user_embeddings.shape[1],
        "num_users": manifest.num_users,
        "num_items": manifest.num_items,
        "categories": list(manifest.categories),
        "retrieval": dict(retrieval),
        "options": asdict(options),
        "metrics": run.metrics,
    }
